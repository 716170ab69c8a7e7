package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// maxChunk bounds the chunks that a Writer makes: pg_restore holds one in memory.
const maxChunk = 128 << 10

// Writer rebuilds an archive from what a Reader gave: NewWriter takes Head.Raw, Block begins a
// block, Write takes its content, Close ends the archive. Blocks belong in the order in which the
// Reader gave them, as pg_restore cannot go back in a pipe. It is not safe for concurrent use.
type Writer struct {
	out     *bufio.Writer
	head    *Head
	written []bool // by index of head.Entries
	entry   *Entry // of the open block, nil if there is none
	last    byte   // of the rows of the open block
}

// NewWriter starts an archive on w with the bytes of its head. Positions of blocks that the head
// records are cleared, since they need not hold for the new archive; a head from a pipe has none
// and is written unchanged.
func NewWriter(w io.Writer, head []byte) (*Writer, error) {
	r, err := NewReader(bytes.NewReader(head))
	if err != nil {
		return nil, fmt.Errorf("write archive: head: %w", err)
	}
	if _, err := r.Next(); err != io.EOF {
		return nil, errors.New("write archive: bytes behind the head")
	}
	out := bufio.NewWriterSize(w, bufferSize)
	if _, err := out.Write(withoutPositions(r.head)); err != nil {
		return nil, fmt.Errorf("write archive: head: %w", err)
	}
	return &Writer{out: out, head: r.head, written: r.seen}, nil
}

func withoutPositions(h *Head) []byte {
	raw := slices.Clone(h.Raw)
	for i := range h.Entries {
		if e := &h.Entries[i]; e.DataState == PositionSet {
			raw[e.stateAt] = byte(PositionUnset)
			clear(raw[e.stateAt+1 : e.stateAt+1+h.offsetSize])
		}
	}
	return raw
}

// Block ends the open block and begins that of the entry with the given dump id, which also says
// what content the block takes: see Block.Rows.
func (w *Writer) Block(dumpID int) error {
	if err := w.endBlock(); err != nil {
		return err
	}
	i, ok := w.head.byID[dumpID]
	if !ok || !w.head.Entries[i].HasData() || w.written[i] {
		return fmt.Errorf("write archive: no block, or no second one, belongs to dump id %d", dumpID)
	}
	w.written[i] = true
	w.entry, w.last = &w.head.Entries[i], '\n'
	_, err := w.out.Write(appendInt([]byte{byte(w.entry.blockType())}, dumpID))
	return w.wrap(err)
}

// Write adds to the open block's content, of rows in chunks of at most maxChunk bytes.
func (w *Writer) Write(p []byte) (n int, err error) {
	if w.entry == nil {
		return 0, errors.New("write archive: no block is open")
	}
	if !w.entry.hasRows() {
		n, err = w.out.Write(p)
		return n, w.wrap(err)
	}
	for len(p) > 0 {
		m, err := w.chunk(p[:min(len(p), maxChunk)])
		n += m
		if err != nil {
			return n, err
		}
		w.last = p[m-1]
		p = p[m:]
	}
	return n, nil
}

// chunk writes one chunk; an empty one is the end mark.
func (w *Writer) chunk(p []byte) (int, error) {
	if _, err := w.out.Write(appendInt(w.out.AvailableBuffer(), len(p))); err != nil {
		return 0, w.wrap(err)
	}
	n, err := w.out.Write(p)
	return n, w.wrap(err)
}

func (w *Writer) endBlock() error {
	if w.entry != nil && w.entry.hasRows() {
		if w.last != '\n' {
			return fmt.Errorf("write archive: last row of %s does not end in a newline", w.entry.name())
		}
		if _, err := w.chunk([]byte(terminator)); err != nil {
			return err
		}
		if _, err := w.chunk(nil); err != nil {
			return err
		}
	}
	w.entry = nil
	return nil
}

// Close ends the archive; it does not close the underlying writer. An entry without its block is
// an error, since pg_restore would fail on it.
func (w *Writer) Close() error {
	if err := w.endBlock(); err != nil {
		return err
	}
	for i, written := range w.written {
		if e := &w.head.Entries[i]; !written && e.HasData() {
			return fmt.Errorf("write archive: no block was written for %s", e.name())
		}
	}
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

func (w *Writer) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write archive: data of %s: %w", w.entry.name(), err)
}
