package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// content is a block as a test compares it.
type content struct {
	dumpID int
	rows   bool
	data   []byte
}

// readAll reads a whole archive.
func readAll(r io.Reader) (*Reader, []content, error) {
	rd, err := NewReader(r)
	if err != nil {
		return rd, nil, err
	}
	var all []content
	for {
		b, err := rd.Next()
		if err == io.EOF {
			return rd, all, nil
		}
		if err != nil {
			return rd, all, err
		}
		data, err := io.ReadAll(rd)
		if err != nil {
			return rd, all, err
		}
		all = append(all, content{b.DumpID, b.Rows, data})
	}
}

// rebuild writes what readAll gave.
func rebuild(head []byte, all []content) ([]byte, error) {
	var out bytes.Buffer
	w, err := NewWriter(&out, head)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if err := w.Block(c.dumpID); err != nil {
			return nil, err
		}
		if _, err := w.Write(c.data); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return out.Bytes(), err
}

func equal(a, b []content) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].dumpID != b[i].dumpID || a[i].rows != b[i].rows || !bytes.Equal(a[i].data, b[i].data) {
			return false
		}
	}
	return true
}

// realArchives gives the archives in testdata that can be split, by name.
func realArchives(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.dump")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives in testdata: %v", err)
	}
	archives := make(map[string][]byte)
	for _, f := range files {
		if strings.Contains(f, "gzip") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		archives[filepath.Base(f)] = b
	}
	return archives
}

// listing is a golden file: what an archive holds.
type listing struct {
	Version, Compression, Created, Database, ServerVersion, DumpVersion string
	HeadBytes                                                           int
	Entries                                                             []string
	Blocks                                                              []blockListing
}

type blockListing struct {
	Entry  string
	Type   BlockType
	IsRows bool
	Rows   int
	Bytes  int
	SHA256 string
}

func list(h *Head, all []content) listing {
	l := listing{
		Version: h.Version.String(), Compression: h.Compression, Created: h.Created.String(),
		Database: h.Database, ServerVersion: h.ServerVersion, DumpVersion: h.DumpVersion, HeadBytes: len(h.Raw),
	}
	for _, e := range h.Entries {
		l.Entries = append(l.Entries, fmt.Sprintf(
			"%d %s %q schema %q owner %q section %d catalog %d oid %d am %q relkind %d dumper %v data %d needs %v copy %q defn %d bytes, drop %d bytes",
			e.DumpID, e.Desc, e.Tag, e.Namespace, e.Owner, e.Section, e.TableOID, e.OID, e.TableAM, e.Relkind,
			e.HadDumper, e.DataState, e.Dependencies, e.CopyStmt, len(e.Defn), len(e.DropStmt)))
	}
	for _, c := range all {
		e := h.Entries[h.byID[c.dumpID]]
		b := blockListing{e.name(), e.blockType(), c.rows, 0, len(c.data), fmt.Sprintf("%x", sha256.Sum256(c.data))}
		if c.rows {
			b.Rows = bytes.Count(c.data, []byte("\n"))
		}
		l.Blocks = append(l.Blocks, b)
	}
	return l
}

func TestGolden(t *testing.T) {
	for name, archive := range realArchives(t) {
		t.Run(name, func(t *testing.T) {
			rd, all, err := readAll(bytes.NewReader(archive))
			if err != nil {
				t.Fatal(err)
			}
			if m := rd.Missing(); len(m) != 0 {
				t.Errorf("missing entries: got %v, want none", m)
			}
			got, err := json.MarshalIndent(list(rd.Head(), all), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			golden := filepath.Join("testdata", strings.TrimSuffix(name, ".dump")+".json")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("listing differs from %s; got:\n%s", golden, got)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	for name, archive := range realArchives(t) {
		t.Run(name, func(t *testing.T) {
			rd, all, err := readAll(bytes.NewReader(archive))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(archive, rd.Head().Raw) {
				t.Error("Head.Raw is not the archive's beginning")
			}
			rebuilt, err := rebuild(rd.Head().Raw, all)
			if err != nil {
				t.Fatal(err)
			}
			again, got, err := readAll(bytes.NewReader(rebuilt))
			if err != nil {
				t.Fatal(err)
			}
			if !equal(got, all) {
				t.Error("blocks differ after a round trip")
			}
			for _, e := range again.Head().Entries {
				if e.DataState == PositionSet {
					t.Errorf("%s has a position, which cannot be right", e.name())
				}
			}
			same := bytes.Equal(again.Head().Raw, rd.Head().Raw)
			if want := !strings.Contains(name, "positions"); same != want {
				t.Errorf("head unchanged: got %v, want %v", same, want)
			}
		})
	}
}

func TestRaw(t *testing.T) {
	archive := realArchives(t)["pg15.dump"]
	newer := bytes.Clone(archive)
	newer[len(magic)+1] = 99
	gzip, err := os.ReadFile("testdata/pg15-gzip.dump")
	if err != nil {
		t.Fatal(err)
	}
	var version *VersionError
	var compression *CompressionError
	tests := []struct {
		name   string
		stream []byte
		want   any // error to match
	}{
		{"known", archive, nil},
		{"newer version", newer, &version},
		{"compressed", gzip, &compression},
		{"cut in the header", archive[:30], nil},
		{"cut in the table of contents", archive[:3000], nil},
		{"something else", []byte("PK\x03\x04 and more"), nil},
		{"empty", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rd, err := NewReader(bytes.NewReader(tt.stream))
			if tt.want != nil && !errors.As(err, tt.want) {
				t.Errorf("error: got %v, want a %T", err, tt.want)
			}
			got, err := io.ReadAll(rd.Raw())
			if err != nil || !bytes.Equal(got, tt.stream) {
				t.Errorf("raw: got %d bytes and error %v, want the stream's %d", len(got), err, len(tt.stream))
			}
			if _, err := rd.Next(); err == nil || err == io.EOF {
				t.Errorf("Next after Raw: got %v, want an error", err)
			}
		})
	}
	if version == nil || version.Found != (Version{1, 99}) {
		t.Errorf("version found: got %v, want 1.99", version)
	}
	if compression == nil || compression.Method != "gzip" {
		t.Errorf("compression: got %v, want gzip", compression)
	}
}

func TestRawTooLate(t *testing.T) {
	var e encoder
	e.head(16)
	head := bytes.Clone(e.Bytes())
	e.block(Data, 1, terminator, 5)
	for name, stream := range map[string][]byte{
		"after a block":     e.Bytes(),
		"after a bad block": append(bytes.Clone(head), 1, 0, 9, 9, 9, 9),
		"after the end":     head,
	} {
		rd, err := NewReader(bytes.NewReader(stream))
		if err != nil {
			t.Fatal(err)
		}
		rd.Next()
		if _, err := io.ReadAll(rd.Raw()); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestHeadOfCompressed(t *testing.T) {
	gzip, err := os.ReadFile("testdata/pg15-gzip.dump")
	if err != nil {
		t.Fatal(err)
	}
	rd, _ := NewReader(bytes.NewReader(gzip))
	if h := rd.Head(); h == nil || h.Compression != "gzip" || len(h.Entries) == 0 {
		t.Errorf("head of a compressed archive: got %+v", h)
	}
}
