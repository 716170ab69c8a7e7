package archive

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// magic opens each archive (pg_backup_archiver.c: WriteHead).
const magic = "PGDMP"

// customFormat is the number of the custom format in the header (pg_backup.h: archCustom).
const customFormat = 1

// maxHead bounds the head, which is held in memory: 1 GiB, some millions of entries.
const maxHead = 1 << 30

// headParser reads the head and keeps all bytes that it took from in, also those of a head that it
// cannot parse. After its first error it gives zero values.
type headParser struct {
	in  *bufio.Reader
	raw []byte
	err error
}

// parse gives a head even with a *CompressionError, as the head itself is never compressed.
func (p *headParser) parse() (*Head, error) {
	h := &Head{}
	p.header(h)
	p.contents(h)
	if p.err != nil {
		return nil, p.err
	}
	h.Raw = p.raw
	if h.Compression != "none" {
		return h, &CompressionError{h.Compression}
	}
	return h, nil
}

// header follows ReadHead of pg_backup_archiver.c.
func (p *headParser) header(h *Head) {
	if got := p.take(len(magic)); p.err == nil && string(got) != magic {
		p.fail(errors.New("not an archive of pg_dump's custom format"))
	}
	h.Version = Version{p.byte(), p.byte()}
	if p.err == nil && !h.Version.known() {
		p.fail(&VersionError{h.Version})
	}
	p.byte() // revision
	if n := p.byte(); p.err == nil && n != intSize {
		p.fail(fmt.Errorf("integers of %d bytes instead of %d", n, intSize))
	}
	h.offsetSize = int(p.byte())
	if f := p.byte(); p.err == nil && f != customFormat {
		p.fail(fmt.Errorf("archive format number %d instead of %d, custom", f, customFormat))
	}
	h.Compression = p.compression(h.Version)
	h.Created = p.created()
	h.Database, _ = p.string()
	h.ServerVersion, _ = p.string()
	h.DumpVersion, _ = p.string()
}

// compression follows ReadHead: before 1.15 there is a level, and any but 0 means gzip. The
// algorithms are numbered in src/include/common/compression.h, pg_compress_algorithm.
func (p *headParser) compression(v Version) string {
	if !v.atLeast(15) {
		if p.int() == 0 {
			return "none"
		}
		return "gzip"
	}
	names := []string{"none", "gzip", "lz4", "zstd"}
	n := int(p.byte())
	if n >= len(names) {
		return fmt.Sprintf("algorithm %q", strconv.Itoa(n))
	}
	return names[n]
}

// created reads a C struct tm.
func (p *headParser) created() time.Time {
	sec, minute, hour := p.int(), p.int(), p.int()
	day, month, year := p.int(), p.int(), p.int()
	p.int() // tm_isdst
	return time.Date(1900+year, time.Month(month+1), day, hour, minute, sec, 0, time.UTC)
}

// contents follows ReadToc of pg_backup_archiver.c.
func (p *headParser) contents(h *Head) {
	count := p.int()
	if count < 0 {
		p.fail(fmt.Errorf("table of contents of %d entries", count))
	}
	h.byID = make(map[int]int)
	for i := 0; i < count && p.err == nil; i++ {
		e := p.entry(h)
		if p.err != nil {
			p.err = fmt.Errorf("entry %d of %d: %w", i+1, count, p.err)
			return
		}
		if _, twice := h.byID[e.DumpID]; twice || e.DumpID <= 0 {
			p.fail(fmt.Errorf("entry %d of %d: dump id %d is not positive or not unique", i+1, count, e.DumpID))
			return
		}
		h.byID[e.DumpID] = len(h.Entries)
		h.Entries = append(h.Entries, e)
	}
}

func (p *headParser) entry(h *Head) (e Entry) {
	e.DumpID = p.int()
	e.HadDumper = p.int() != 0
	e.TableOID = p.oid()
	e.OID = p.oid()
	e.Tag, _ = p.string()
	e.Desc, _ = p.string()
	e.Section = Section(p.int())
	e.Defn, _ = p.string()
	e.DropStmt, _ = p.string()
	e.CopyStmt, _ = p.string()
	e.Namespace, _ = p.string()
	e.Tablespace, _ = p.string()
	if h.Version.atLeast(14) {
		e.TableAM, _ = p.string()
	}
	if h.Version.atLeast(16) {
		e.Relkind = byte(p.int())
	}
	e.Owner, _ = p.string()
	p.string() // whether the table has oids: "false" since PostgreSQL 12
	e.Dependencies = p.dependencies()
	e.stateAt = len(p.raw)
	e.DataState = DataState(p.byte())
	if p.err == nil && (e.DataState < PositionUnset || e.DataState > NoData) {
		p.fail(fmt.Errorf("data state %d", e.DataState))
	}
	p.take(h.offsetSize)
	return e
}

// dependencies reads a list of dump ids, each a decimal string, that NULL ends.
func (p *headParser) dependencies() (ids []int) {
	for p.err == nil {
		s, ok := p.string()
		if !ok {
			break
		}
		id, err := strconv.Atoi(s)
		if err != nil {
			p.fail(fmt.Errorf("dependency: %w", err))
		}
		ids = append(ids, id)
	}
	return ids
}

// oid reads a number that is a decimal string "for historical reasons" (WriteToc).
func (p *headParser) oid() uint32 {
	s, _ := p.string()
	if p.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		p.fail(fmt.Errorf("oid: %w", err))
	}
	return uint32(n)
}

// string reads a string; ok is false for NULL.
func (p *headParser) string() (s string, ok bool) {
	n := p.int()
	if n < 0 {
		return "", false
	}
	b := p.take(n)
	return string(b), p.err == nil
}

func (p *headParser) int() int {
	b := p.take(intLen)
	if p.err != nil {
		return 0
	}
	v, ok := decodeInt(b)
	if !ok {
		p.fail(fmt.Errorf("number %d out of range", v))
		return 0
	}
	return v
}

func (p *headParser) byte() byte {
	b := p.take(1)
	if p.err != nil {
		return 0
	}
	return b[0]
}

// take gives the next n bytes, valid until the next call. It allocates as bytes arrive, never by
// what a length claims.
func (p *headParser) take(n int) []byte {
	start := len(p.raw)
	if p.err == nil && n > maxHead-start {
		p.fail(fmt.Errorf("head is larger than %d bytes", maxHead))
	}
	for p.err == nil && n > 0 {
		b, err := p.in.Peek(min(n, p.in.Size()))
		p.raw = append(p.raw, b...)
		p.in.Discard(len(b))
		n -= len(b)
		if err != nil {
			p.fail(unexpected(err))
		}
	}
	return p.raw[start:]
}

func (p *headParser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}
