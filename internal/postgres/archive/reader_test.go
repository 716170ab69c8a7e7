package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// encoder makes archives that pg_dump would not.
type encoder struct{ bytes.Buffer }

func (e *encoder) int(v int) {
	sign := byte(0)
	if v < 0 {
		sign, v = 1, -v
	}
	e.WriteByte(sign)
	e.Write(binary.LittleEndian.AppendUint32(nil, uint32(v)))
}

func (e *encoder) string(s string) {
	e.int(len(s))
	e.WriteString(s)
}

// head writes a head of two entries: rows with dump id 1, large objects with dump id 2.
func (e *encoder) head(minor byte) {
	e.WriteString(magic)
	e.Write([]byte{1, minor, 0, intSize, 8, customFormat})
	if minor >= 15 {
		e.WriteByte(0)
	} else {
		e.int(0)
	}
	for range 7 {
		e.int(0)
	}
	e.string("db")
	e.string("server")
	e.string("dump")
	e.int(2)
	e.entry(minor, 1, "TABLE DATA", "COPY t FROM stdin;\n")
	e.entry(minor, 2, "BLOBS", "")
}

func (e *encoder) entry(minor byte, id int, desc, copyStmt string) {
	e.int(id)
	e.int(1)
	e.string("0")
	e.string("0")
	e.string("tag")
	e.string(desc)
	e.int(int(SectionData))
	e.int(-1)
	e.int(-1)
	e.string(copyStmt)
	e.string("public")
	e.int(-1)
	if minor >= 14 {
		e.int(-1)
	}
	if minor >= 16 {
		e.int('r')
	}
	e.string("owner")
	e.string("false")
	e.int(-1)
	e.WriteByte(byte(PositionUnset))
	e.Write(make([]byte, 8))
}

// block writes a block's type and id, and content in chunks of at most size bytes.
func (e *encoder) block(typ BlockType, id int, content string, size int) {
	e.WriteByte(byte(typ))
	e.int(id)
	for len(content) > 0 {
		n := min(size, len(content))
		e.string(content[:n])
		content = content[n:]
	}
	e.int(0)
}

func TestVersions(t *testing.T) {
	for minor := byte(oldestMinor - 1); minor <= newestMinor+1; minor++ {
		t.Run(Version{1, minor}.String(), func(t *testing.T) {
			var e encoder
			e.head(minor)
			e.block(Data, 1, "row\n"+terminator, 100)
			e.block(LargeObjects, 2, "", 1)
			rd, all, err := readAll(&e.Buffer)
			if minor < oldestMinor || minor > newestMinor {
				if want := new(VersionError); !errors.As(err, &want) {
					t.Errorf("got error %v, want a VersionError", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := []content{{1, true, []byte("row\n")}, {2, false, make([]byte, intLen)}}
			if !equal(all, want) {
				t.Errorf("got %v, want %v", all, want)
			}
			relkind := byte(0)
			if minor >= 16 {
				relkind = 'r'
			}
			if got := rd.Head().Entries[0]; got.Owner != "owner" || got.Relkind != relkind {
				t.Errorf("entry: got %+v", got)
			}
		})
	}
}

// TestRows cuts rows into chunks and reads into slices of all sizes that could matter.
func TestRows(t *testing.T) {
	long := strings.Repeat("0123456789\t\\\\.\n", 300)
	for _, rows := range []string{"", "\n", "\n\n\n\n\n\n", "a\n", "1234\n", "12345\n", `\N` + "\n", `\\.` + "\n", long} {
		for _, chunk := range []int{1, 2, 3, 4, 5, 6, 7, 511, 1 << 20} {
			for _, size := range []int{1, 5, 6, 511, 512, 513, 1 << 20} {
				var e encoder
				e.head(16)
				e.block(Data, 1, rows+terminator, chunk)
				rd, err := NewReader(iotest.HalfReader(&e.Buffer))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := rd.Next(); err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				if _, err := io.CopyBuffer(&got, rd, make([]byte, size)); err != nil {
					t.Fatal(err)
				}
				if got.String() != rows {
					t.Errorf("chunks of %d read by %d: got %q, want %q", chunk, size, got.String(), rows)
				}
				if n, err := rd.Read(make([]byte, size)); n != 0 || err != io.EOF {
					t.Errorf("read behind the end: got %d, %v, want 0, EOF", n, err)
				}
			}
		}
	}
}

// TestReadFills holds that one Read crosses chunks: one Read for each row would be slow.
func TestReadFills(t *testing.T) {
	var e encoder
	e.head(16)
	e.block(Data, 1, strings.Repeat("a row\n", 100_000)+terminator, 6)
	rd, err := NewReader(&e.Buffer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rd.Next(); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 500_000)
	if n, err := rd.Read(p); n < len(p)-tailLen || err != nil {
		t.Errorf("got %d bytes and error %v, want at least %d", n, err, len(p)-tailLen)
	}
}

func TestBadBlocks(t *testing.T) {
	tests := []struct {
		name  string
		write func(e *encoder)
		want  string // in the error
	}{
		{"no terminator", func(e *encoder) { e.block(Data, 1, "row\n", 9) }, "ends in"},
		{"nothing at all", func(e *encoder) { e.block(Data, 1, "", 9) }, "ends in"},
		{"terminator cut", func(e *encoder) { e.block(Data, 1, "row\n\\.\n\n", 9) }, "ends in"},
		{"terminator too long", func(e *encoder) { e.block(Data, 1, "row\n"+terminator+"\n", 9) }, "ends in"},
		{"last row without newline", func(e *encoder) { e.block(Data, 1, "row"+terminator, 9) }, "ends in"},
		{"longer last row without newline", func(e *encoder) { e.block(Data, 1, strings.Repeat("row", 999)+terminator, 9) }, "ends in"},
		{"unknown dump id", func(e *encoder) { e.block(Data, 3, terminator, 9) }, "no entry has"},
		{"second block", func(e *encoder) { e.block(Data, 1, terminator, 9); e.block(Data, 1, terminator, 9) }, "second block"},
		{"unknown type", func(e *encoder) { e.block(2, 1, terminator, 9) }, "type 2"},
		{"rows as large objects", func(e *encoder) { e.block(LargeObjects, 1, terminator, 9) }, "type 3"},
		{"large objects as rows", func(e *encoder) { e.block(Data, 2, terminator, 9) }, "type 1"},
		{"negative chunk", func(e *encoder) { e.WriteByte(byte(Data)); e.int(1); e.int(-5) }, "chunk of -5 bytes"},
		{"huge chunk", func(e *encoder) { e.WriteByte(byte(Data)); e.int(1); e.int(1 << 31) }, "chunk of 2147483648 bytes"},
		{"negative chunk of a large object", func(e *encoder) { e.WriteByte(byte(LargeObjects)); e.int(2); e.int(7); e.int(-1) }, "chunk of -1 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var e encoder
			e.head(16)
			tt.write(&e)
			rd, _, err := readAll(bytes.NewReader(e.Bytes()))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
			if _, again := rd.Next(); again != err {
				t.Errorf("Next after the error: got %v, want the same error", again)
			}

			skipping, err := NewReader(&e.Buffer)
			for err == nil {
				_, err = skipping.Next()
			}
			if err == io.EOF || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("skipping blocks: got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestBadHeads(t *testing.T) {
	var good encoder
	good.head(16)
	firstEntry := bytes.Index(good.Bytes(), []byte("dump")) + len("dump") + intLen
	change := func(at int, with ...byte) []byte {
		b := bytes.Clone(good.Bytes())
		copy(b[at:], with)
		return b
	}
	tests := []struct {
		name, want string
		head       []byte
	}{
		{"magic", "not an archive", change(0, 'X')},
		{"size of integers", "integers of 8 bytes", change(8, 8)},
		{"directory format", "format number 5", change(10, 5)},
		{"unknown compression", `algorithm "9"`, change(11, 9)},
		{"negative number of entries", "-2 entries", change(firstEntry-intLen, 1)},
		{"huge number of entries", "unexpected EOF", change(firstEntry-intLen, 0, 0xff, 0xff, 0xff, 0x7f)},
		{"dump id of 0", "not positive", change(firstEntry, 0, 0)},
		{"dump id twice", "not unique", change(firstEntry, 0, 2)},
		{"huge string", "larger than", change(firstEntry+2*intLen, 0, 0xff, 0xff, 0xff, 0x7f)},
		{"string of more than an int", "out of range", change(firstEntry+2*intLen, 0, 0xff, 0xff, 0xff, 0xff)},
		{"oid no number", "oid", change(firstEntry+3*intLen, 'x')},
		{"data state", "data state 4", change(good.Len()-9, 4)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewReader(bytes.NewReader(tt.head))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	var e encoder
	e.head(16)
	e.block(LargeObjects, 2, "", 1)
	rd, all, err := readAll(&e.Buffer)
	if err != nil {
		t.Fatal(err)
	}
	if m := rd.Missing(); len(m) != 1 || m[0].DumpID != 1 {
		t.Errorf("missing: got %v, want the entry with dump id 1", m)
	}
	if _, err := rebuild(rd.Head().Raw, all); err == nil || !strings.Contains(err.Error(), "no block was written") {
		t.Errorf("rebuild without the block: got error %v", err)
	}
}

// TestTruncated cuts archives everywhere: each must end in an error or in missing blocks.
func TestTruncated(t *testing.T) {
	var small encoder
	small.head(16)
	small.block(Data, 1, "row\n"+terminator, 3)
	small.block(LargeObjects, 2, "", 1)
	inserts, err := os.ReadFile(filepath.Join("testdata", "pg15-inserts.dump"))
	if err != nil {
		t.Fatal(err)
	}
	for i, archive := range [][]byte{small.Bytes(), inserts} {
		for n := range archive {
			rd, _, err := readAll(bytes.NewReader(archive[:n]))
			if err == nil && len(rd.Missing()) == 0 {
				t.Errorf("archive %d cut to %d of %d bytes passes for whole", i, n, len(archive))
			}
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("archive %d cut to %d bytes: got error %v, want unexpected EOF", i, n, err)
			}
		}
	}
}

// TestFlipped flips bytes, all of a small archive and some of a larger one: reading may fail, but
// not panic, and the head it gives is the stream's beginning.
func TestFlipped(t *testing.T) {
	archives := realArchives(t)
	for name, step := range map[string]int{"pg15-inserts.dump": 1, "pg17.dump": 23} {
		for i := 0; i < len(archives[name]); i += step {
			flipped := bytes.Clone(archives[name])
			flipped[i] ^= 0xff
			rd, _, _ := readAll(bytes.NewReader(flipped))
			if h := rd.Head(); h != nil && !bytes.HasPrefix(flipped, h.Raw) {
				t.Fatalf("%s, byte %d flipped: Head.Raw is not the stream's beginning", name, i)
			}
		}
	}
}

func TestSourceFails(t *testing.T) {
	archive := realArchives(t)["pg17.dump"]
	broken := errors.New("broken")
	for _, n := range []int{0, 3, 100, len(archive) / 2, len(archive) - 1} {
		_, _, err := readAll(io.MultiReader(bytes.NewReader(archive[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("source fails after %d bytes: got error %v, want %v", n, err, broken)
		}
	}
}

func TestWriterErrors(t *testing.T) {
	var e encoder
	e.head(16)
	head := e.Bytes()
	start := func(t *testing.T) *Writer {
		w, err := NewWriter(io.Discard, head)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if _, err := NewWriter(io.Discard, append(bytes.Clone(head), 1)); err == nil {
		t.Error("bytes behind the head: got no error")
	}
	if _, err := NewWriter(io.Discard, head[:len(head)-1]); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("head cut: got error %v", err)
	}
	if _, err := start(t).Write([]byte("x")); err == nil {
		t.Error("content without a block: got no error")
	}
	if err := start(t).Block(3); err == nil {
		t.Error("block of no entry: got no error")
	}
	w := start(t)
	if err := errors.Join(w.Block(1), w.Block(2)); err != nil {
		t.Fatal(err)
	}
	if err := w.Block(1); err == nil {
		t.Error("second block: got no error")
	}
	w = start(t)
	if err := w.Block(1); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, "row")
	if err := w.Block(2); err == nil {
		t.Error("row without a newline: got no error")
	}
}
