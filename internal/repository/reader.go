package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// DamageError says that an object of the repository is missing or is not what was stored.
type DamageError struct {
	Object string
	Reason string // missing, damaged, ...
}

func (e *DamageError) Error() string { return e.Object + " is " + e.Reason }

// segment reads, unseals and checks one segment. Whatever is wrong with it is a *DamageError; on a sealed host it is a *backup.Problem.
func (r *Repository) segment(ctx context.Context, codec *codec, s *backup.Segment) ([]byte, error) {
	short := "segment " + s.Name[:min(12, len(s.Name))]
	if len(s.Name) != 64 || s.Bytes < 0 || s.Bytes > maxPlain {
		return nil, &DamageError{short, "described wrongly"}
	}
	if r.Sealed() {
		return nil, errSealed()
	}
	object, err := r.store.Get(ctx, segmentObject(s.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamageError{short, "missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", short, err)
	}
	plain := &limited{data: make([]byte, 0, s.Bytes)}
	err = codec.unseal(object, kindFull, plain)
	if kind := kindError(0); errors.As(err, &kind) {
		return nil, &DamageError{short, "of a kind that only a newer version of this program reads"}
	}
	if r.origin == nil && errors.As(err, new(*age.NoIdentityMatchError)) && sealedFor(object) != r.recipients.list {
		return nil, &DamageError{short, "sealed to other keys than the one given, which was added later and opens it when it was rewrapped"}
	}
	if err != nil {
		return nil, &DamageError{short, "damaged"}
	}
	if !r.keys.named(s.Name, plain.data) {
		return nil, &DamageError{short, "not what its name says"}
	}
	return plain.data, nil
}

// ahead is how many segments a reader fetches and decodes at once.
const ahead = 2

// Reader returns the plain content, checked segment by segment. Its errors about missing or damaged segments are
// *DamageError. The caller closes it.
func (r *Repository) Reader(ctx context.Context, c *backup.Content) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	reader := &contentReader{ctx: ctx, cancel: cancel, queue: make(chan chan fetched, ahead-1)}
	go func() {
		defer close(reader.queue)
		for _, s := range c.Segments {
			result := make(chan fetched, 1)
			select {
			case reader.queue <- result:
			case <-ctx.Done():
				return
			}
			go func() { result <- r.fetch(ctx, s) }()
		}
	}()
	return reader
}

type fetched struct {
	plain []byte
	err   error
}

func (r *Repository) fetch(ctx context.Context, s *backup.Segment) fetched {
	codec, err := r.borrowCodec()
	if err != nil {
		return fetched{err: err}
	}
	defer r.codecs.Put(codec)
	plain, err := r.segment(ctx, codec, s)
	return fetched{plain, err}
}

// contentReader gives the segments in order while later ones are being fetched.
type contentReader struct {
	ctx    context.Context
	cancel context.CancelFunc
	queue  chan chan fetched // in order; closed after the last, or when ctx ends
	rest   []byte
	err    error
}

func (c *contentReader) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		result, more := <-c.queue
		if !more {
			if c.err = context.Cause(c.ctx); c.err == nil {
				c.err = io.EOF
			}
			continue
		}
		got := <-result
		c.rest, c.err = got.plain, got.err
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Close stops the fetching.
func (c *contentReader) Close() error {
	c.cancel()
	return nil
}
