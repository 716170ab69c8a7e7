package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// bufferSize is that of the one buffer between the source and the caller.
const bufferSize = 256 << 10

// Reader reads an archive from start to end: Next goes to the next block, Read gives its content.
// It is not safe for concurrent use.
type Reader struct {
	in    *bufio.Reader
	raw   []byte // all that the head's parser took
	head  *Head
	seen  []bool // by index of head.Entries
	begun bool   // by Next, too late for Raw
	block *Block // nil before the first and after the last
	err   error  // what ended reading; io.EOF at a clean end

	left    int  // bytes until the next integer of the block's framing
	wantOID bool // that integer is a large object's oid, not a length
	end     bool // there is none, the block ends when left is 0

	rows rowBuffer
}

// rowBuffer holds what Read keeps back of a block of rows.
type rowBuffer struct {
	tail  [tailLen]byte // read, but perhaps part of the terminator
	held  int           // bytes in tail
	small [512]byte     // serves calls too small to keep a tail back
	ready []byte        // part of small, to be given out next
	end   bool          // the terminator was found, where it must be
}

// tailLen covers the terminator and the end of the row before it.
const tailLen = 1 + len(terminator)

// NewReader reads an archive's head from r. The error is a *VersionError for a format version that
// is not known, a *CompressionError for a compressed archive, and wraps io.ErrUnexpectedEOF for a
// stream that is cut. The Reader is never nil: Raw serves after any error, Head after a
// *CompressionError.
func NewReader(r io.Reader) (*Reader, error) {
	in := bufio.NewReaderSize(r, bufferSize)
	p := headParser{in: in}
	head, err := p.parse()
	if err != nil {
		err = fmt.Errorf("read archive: %w", err)
	}
	rd := &Reader{in: in, raw: p.raw, head: head, err: err}
	if head != nil {
		rd.seen = make([]bool, len(head.Entries))
	}
	return rd, err
}

// Head gives the head, nil if it could not be parsed.
func (r *Reader) Head() *Head { return r.head }

// Raw gives the whole stream unparsed, what NewReader took included. It takes the place of Next:
// whichever is called first, the other then gives an error.
func (r *Reader) Raw() io.Reader {
	if r.begun {
		return errReader{errors.New("read archive: raw stream asked for after Next")}
	}
	r.err = errors.New("read archive: block asked for after Raw")
	return io.MultiReader(bytes.NewReader(r.raw), r.in)
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// Next goes to the next block, skipping what is left of the current one. It returns io.EOF at the
// end of the stream if that is a block's end, and an error that wraps io.ErrUnexpectedEOF if it is
// not. The format has no end mark: only when Missing is empty too is the archive whole.
func (r *Reader) Next() (*Block, error) {
	if r.err == nil && r.block != nil {
		io.Copy(io.Discard, r) // its error stays in r.err
	}
	if r.err != nil {
		return nil, r.err
	}
	r.begun = true
	b, err := r.in.Peek(1 + intLen)
	if len(b) == 0 && err == io.EOF {
		r.block, r.err = nil, io.EOF
		return nil, io.EOF
	}
	if err != nil {
		return nil, r.fail(fmt.Errorf("read archive: start of a block: %w", unexpected(err)))
	}
	typ := BlockType(b[0])
	id, _ := decodeInt(b[1:])
	r.in.Discard(len(b))
	return r.start(typ, id)
}

// start begins a block that no two entries share and that fits its entry.
func (r *Reader) start(typ BlockType, id int) (*Block, error) {
	i, ok := r.head.byID[id]
	if !ok {
		return nil, r.fail(fmt.Errorf("read archive: block with dump id %d, which no entry has", id))
	}
	e := &r.head.Entries[i]
	switch {
	case !e.HasData():
		return nil, r.fail(fmt.Errorf("read archive: block for %s, which has no data", e.name()))
	case r.seen[i]:
		return nil, r.fail(fmt.Errorf("read archive: second block for %s", e.name()))
	case typ != e.blockType():
		return nil, r.fail(fmt.Errorf("read archive: block of type %d for %s", typ, e.name()))
	}
	r.seen[i] = true
	r.block = &Block{Type: typ, DumpID: id, Entry: e, Rows: e.hasRows()}
	r.left, r.wantOID, r.end = 0, typ == LargeObjects, false
	r.rows = rowBuffer{}
	return r.block, nil
}

// Missing gives the entries that must have a block but had none so far. When Next has returned
// io.EOF and there are any, the archive is not whole.
func (r *Reader) Missing() []Entry {
	var missing []Entry
	for i, seen := range r.seen {
		if e := r.head.Entries[i]; !seen && e.HasData() {
			missing = append(missing, e)
		}
	}
	return missing
}

// Read reads the current block's content (see Block.Rows) and returns io.EOF at its end. It fills p
// unless the block ends before.
func (r *Reader) Read(p []byte) (int, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.block == nil:
		return 0, io.EOF
	case !r.block.Rows:
		return r.fill(p)
	case len(r.rows.ready) == 0 && len(p) >= len(r.rows.small):
		return r.readRows(p)
	}
	if len(r.rows.ready) == 0 {
		n, err := r.readRows(r.rows.small[:])
		if err != nil {
			return 0, err
		}
		r.rows.ready = r.rows.small[:n]
	}
	n := copy(p, r.rows.ready)
	r.rows.ready = r.rows.ready[n:]
	return n, nil
}

// readRows fills p, which must be larger than tailLen, with rows, and keeps the last bytes back
// until it knows whether they are the terminator.
func (r *Reader) readRows(p []byte) (int, error) {
	b := &r.rows
	if b.end {
		return 0, io.EOF
	}
	n := copy(p, b.tail[:b.held])
	m, err := r.fill(p[n:])
	n += m
	if err == nil {
		n -= tailLen
		b.held = copy(b.tail[:], p[n:])
		return n, nil
	}
	if err != io.EOF {
		return 0, err
	}
	// Fewer than tailLen bytes mean that there were no rows at all.
	all := p[:n]
	if string(all) != terminator && !bytes.HasSuffix(all, []byte("\n"+terminator)) {
		return 0, r.fail(fmt.Errorf("read archive: data of %s ends in %q instead of %q",
			r.block.Entry.name(), all[max(0, n-tailLen):], "\n"+terminator))
	}
	b.end = true
	if n == len(terminator) {
		return 0, io.EOF
	}
	return n - len(terminator), nil
}

// fill reads the block's bytes: in a block of rows without the framing, otherwise with it.
func (r *Reader) fill(p []byte) (n int, err error) {
	for n < len(p) {
		if r.left == 0 {
			if r.end {
				return n, io.EOF
			}
			if err := r.frame(); err != nil {
				return n, err
			}
			continue
		}
		m, err := r.in.Read(p[n:min(len(p), n+r.left)])
		n += m
		r.left -= m
		if err != nil {
			return n, r.failBlock(unexpected(err))
		}
	}
	return n, nil
}

// frame reads the next integer of the framing. Data is chunks, each behind its length, closed by a
// length of 0; large objects are each an oid with such data, closed by an oid of 0
// (pg_backup_custom.c: _skipData, _skipLOs).
func (r *Reader) frame() error {
	b, err := r.in.Peek(intLen)
	if err != nil {
		return r.failBlock(unexpected(err))
	}
	v, ok := decodeInt(b)
	if r.block.Rows {
		r.in.Discard(intLen)
	} else {
		r.left = intLen
	}
	switch {
	case r.wantOID:
		r.wantOID, r.end = false, v == 0
	case v < 0 || !ok:
		return r.failBlock(fmt.Errorf("chunk of %d bytes", v))
	case v == 0 && r.block.Type == LargeObjects:
		r.wantOID = true
	case v == 0:
		r.end = true
	default:
		r.left += v
	}
	return nil
}

func (r *Reader) failBlock(err error) error {
	return r.fail(fmt.Errorf("read archive: data of %s: %w", r.block.Entry.name(), err))
}

// fail ends reading.
func (r *Reader) fail(err error) error {
	r.err = err
	return err
}
