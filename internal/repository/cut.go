package repository

import (
	"bytes"
	"errors"
	"io"

	"github.com/zeebo/xxh3"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Segment sizes in bytes. Rows are cut where a row's hash says so, so that an inserted row moves one border only; which
// border is chosen matters for reuse, never for reading.
const (
	minSegment = 4 << 20
	maxSegment = 16 << 20
	rawSegment = 8 << 20 // of content that has no rows
	readSize   = 1 << 20
)

// isBorder tells whether a segment of size bytes ends after a row of rowSize bytes with this hash. Past the minimum a
// border comes every 4 MiB on average, whatever the size of the rows: 2^42 is 2^64 / 4 MiB.
func isBorder(size, rowSize int, hash uint64) bool {
	return size >= minSegment && (rowSize >= minSegment || hash < uint64(rowSize)<<42)
}

// rowCutter splits COPY text into segments at row borders, and fingerprints the rows on the way. A row that is larger
// than a segment may be goes on in the next one.
type rowCutter struct {
	src     io.Reader
	digest  backup.RowDigest
	partial *xxh3.Hasher // the row that began in an earlier segment; nil when none did
	started int          // bytes of that row so far
	buf     []byte       // begins at a segment's start
	rest    []byte       // what was read beyond the last segment
	row     int          // where the first unfinished row begins in buf
	scanned int          // no newline between row and here
	eof     bool
}

// begin gives the buffer for the next segment, empty.
func (c *rowCutter) begin(buf []byte) { c.buf = append(buf, c.rest...) }

// next returns the next segment, which is in the buffer that begin was given, or grown out of it. At the end it returns
// io.EOF.
func (c *rowCutter) next() ([]byte, error) {
	for {
		if n := c.border(); n > 0 {
			segment := c.buf[:n]
			c.rest = append(c.rest[:0], c.buf[n:]...)
			c.row, c.scanned = max(c.row-n, 0), max(c.scanned-n, 0)
			return segment, nil
		}
		if c.eof {
			if len(c.buf) == 0 && c.partial == nil {
				return nil, io.EOF
			}
			return nil, errors.New("the last row does not end")
		}
		if err := c.read(); err != nil {
			return nil, err
		}
	}
}

// border consumes rows until a segment is complete and returns its size, or 0 when more must be read.
func (c *rowCutter) border() int {
	for {
		i := bytes.IndexByte(c.buf[c.scanned:], '\n')
		if i < 0 {
			break
		}
		end := c.scanned + i
		size := c.started + end - c.row + 1
		hash := c.finish(c.buf[c.row:end])
		c.row, c.scanned = end+1, end+1
		if isBorder(end+1, size, hash) || end+1 >= maxSegment {
			return end + 1
		}
	}
	c.scanned = len(c.buf)
	if len(c.buf) >= maxSegment {
		return c.splitRow()
	}
	if c.eof {
		return c.row
	}
	return 0
}

// splitRow ends the segment before the unfinished row, or inside it when the segment holds nothing else.
func (c *rowCutter) splitRow() int {
	if c.row > 0 {
		return c.row
	}
	if c.partial == nil {
		c.partial = xxh3.New()
	}
	c.partial.Write(c.buf)
	c.started += len(c.buf)
	c.row, c.scanned = len(c.buf), len(c.buf)
	return len(c.buf)
}

// finish adds the row that ends with tail to the digest.
func (c *rowCutter) finish(tail []byte) uint64 {
	if c.partial == nil {
		return c.digest.Add(tail)
	}
	c.partial.Write(tail)
	sum := c.partial.Sum128()
	c.partial, c.started = nil, 0
	return c.digest.AddHash(sum)
}

func (c *rowCutter) read() error {
	if cap(c.buf)-len(c.buf) < readSize {
		grown := make([]byte, len(c.buf), min(2*cap(c.buf)+readSize, maxSegment+readSize))
		copy(grown, c.buf)
		c.buf = grown
	}
	n, err := c.src.Read(c.buf[len(c.buf):min(cap(c.buf), len(c.buf)+readSize)])
	c.buf = c.buf[:len(c.buf)+n]
	if err == io.EOF {
		c.eof, err = true, nil
	}
	return err
}
