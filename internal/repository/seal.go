package repository

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Kinds of a sealed object, the first byte inside the age envelope.
const (
	kindFull = 1 // a segment: one zstd frame with the content
	// 2 is a delta, described in doc/format.md; this program does not write it yet.
	kindRecord = 3 // a manifest or a mark: one zstd frame with a line that holds the MAC, then JSON
)

// maxPlain bounds what an object may expand to, so that a forged one cannot fill the memory. Segments are at most
// 16 MiB; a manifest of 100,000 segments stays below this too.
const maxPlain = 64 << 20

// errDamaged is what unsealing an object that was cut or changed matches.
var errDamaged = errors.New("damaged")

// kindError is the kind of an object where another belongs: made by a newer program, or damaged.
type kindError byte

func (k kindError) Error() string { return fmt.Sprintf("object of unexpected kind %d", byte(k)) }

// codec seals and unseals. It holds buffers, so each goroutine has its own.
type codec struct {
	repository *Repository
	encoder    *zstd.Encoder
	decoder    *zstd.Decoder
	compressed []byte
	sealed     bytes.Buffer
}

func (r *Repository) newCodec() (*codec, error) {
	// The level's own window of 4 MiB finds nothing more in rows (measured: 0.3502 of the plain size with 512 KiB, 0.3510
	// with 4 MiB), is slower, and costs encoder and decoder 10 MiB more.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(512<<10), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false)) // age authenticates and the name is a hash: a third checksum adds nothing
	if err != nil {
		return nil, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain))
	if err != nil {
		return nil, err
	}
	return &codec{repository: r, encoder: encoder, decoder: decoder}, nil
}

// borrowCodec takes a codec from the pool; give it back with r.codecs.Put.
func (r *Repository) borrowCodec() (*codec, error) {
	if c, ok := r.codecs.Get().(*codec); ok {
		return c, nil
	}
	return r.newCodec()
}

// seal returns plain as the bytes of an object, after unsealing them again and comparing. They are valid until the
// codec's next use.
func (c *codec) seal(kind byte, plain []byte) ([]byte, error) {
	if len(plain) > maxPlain {
		return nil, fmt.Errorf("seal: %d bytes are more than an object may hold", len(plain))
	}
	c.compressed = c.encoder.EncodeAll(plain, append(c.compressed[:0], kind))
	if need := len(c.compressed) + len(c.compressed)/1024 + 4096; c.sealed.Cap() < need {
		c.sealed = *bytes.NewBuffer(make([]byte, 0, need)) // a buffer that grows by itself takes twice as much
	}
	c.sealed.Reset()
	w, err := age.Encrypt(&c.sealed, c.repository.recipients...)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if _, err := w.Write(c.compressed); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := c.compare(c.sealed.Bytes(), kind, plain); err != nil {
		return nil, fmt.Errorf("seal: what was encoded does not decode: %w", err)
	}
	return c.sealed.Bytes(), nil
}

// compare returns nil when object unseals to exactly plain.
func (c *codec) compare(object []byte, kind byte, plain []byte) error {
	same := &comparer{want: plain}
	if err := c.unseal(object, kind, same); err != nil {
		return err
	}
	if len(same.want) > 0 {
		return errors.New("decoded content is shorter")
	}
	return nil
}

// unseal writes the plain content of an object to w. Content that does not decode is an error matching errDamaged;
// an object of another kind is a kindError.
func (c *codec) unseal(object []byte, kind byte, w io.Writer) error {
	plain, err := age.Decrypt(bytes.NewReader(object), c.repository.identity)
	if err != nil {
		return fmt.Errorf("%w: %v", errDamaged, err)
	}
	var got [1]byte
	if _, err := io.ReadFull(plain, got[:]); err != nil {
		return fmt.Errorf("%w: %v", errDamaged, err)
	}
	if got[0] != kind {
		return kindError(got[0])
	}
	if err := c.decoder.Reset(plain); err != nil {
		return fmt.Errorf("%w: %v", errDamaged, err)
	}
	if _, err := c.decoder.WriteTo(w); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}

// comparer is a writer that fails at the first byte that is not the wanted one.
type comparer struct{ want []byte }

func (c *comparer) Write(p []byte) (int, error) {
	if len(p) > len(c.want) || !bytes.Equal(p, c.want[:len(p)]) {
		return 0, errors.New("decoded content differs")
	}
	c.want = c.want[len(p):]
	return len(p), nil
}

// limited is a writer that collects at most maxPlain bytes.
type limited struct{ data []byte }

func (l *limited) Write(p []byte) (int, error) {
	if len(l.data)+len(p) > maxPlain {
		return 0, errors.New("content is larger than any object may be")
	}
	l.data = append(l.data, p...)
	return len(p), nil
}
