package repository

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

// fixed is size bytes of rows of 100 bytes, the last one shorter.
func fixed(size int) []byte {
	b := rows(1, size/90+1)[:size]
	for i := range b {
		if b[i] == '\n' {
			b[i] = 'n'
		}
		if i%100 == 99 {
			b[i] = '\n'
		}
	}
	if size > 0 {
		b[size-1] = '\n'
	}
	return b
}

func TestRowsRoundTrip(t *testing.T) {
	long := func(size int) []byte { return append(bytes.Repeat([]byte("x"), size), '\n') }
	tests := []struct {
		name string
		text []byte
	}{
		{"no rows", nil},
		{"one empty row", []byte("\n")},
		{"one row", []byte("1\n")},
		{"empty rows", bytes.Repeat([]byte("\n"), minSegment+10)},
		{"minimum less one", fixed(minSegment - 1)},
		{"minimum", fixed(minSegment)},
		{"minimum and one", fixed(minSegment + 1)},
		{"maximum less one", fixed(maxSegment - 1)},
		{"maximum", fixed(maxSegment)},
		{"maximum and one", fixed(maxSegment + 1)},
		{"40 MB", rows(1, 300_000)},
		{"row of the minimum", long(minSegment - 1)},
		{"row of the maximum less one", long(maxSegment - 2)},
		{"row of the maximum", long(maxSegment - 1)},
		{"row of the maximum and one", long(maxSegment)},
		{"row of two maxima", long(2*maxSegment - 1)},
		{"40 MiB row alone", long(40 << 20)},
		{"40 MiB row among others", append(append(fixed(5<<20), long(40<<20)...), fixed(5<<20)...)},
		{"two long rows", append(long(20<<20), long(20<<20)...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if raceEnabled && len(tt.text) > 20<<20 {
				t.Skip("ten times as slow; tested without -race")
			}
			r, _ := create(t)
			w, err := r.NewWriter(t.Context(), 2, nil)
			check(t, err)
			got, err := w.Rows(bytes.NewReader(tt.text))
			check(t, err)
			_, err = w.Close()
			check(t, err)
			if !bytes.Equal(content(t, r, got), tt.text) {
				t.Error("what was read is not what was written")
			}
			var want backup.RowDigest
			for line := range bytes.Lines(tt.text) {
				want.Add(line[:len(line)-1])
			}
			if got.Bytes != int64(len(tt.text)) || got.Rows != want.Rows || got.Digest != want.String() {
				t.Errorf("got %d bytes, %d rows, %s, want %d, %d, %s", got.Bytes, got.Rows, got.Digest, len(tt.text), want.Rows, want.String())
			}
			again, err := backup.Fingerprint(bytes.NewReader(tt.text), true)
			if err != nil || again.Bytes != got.Bytes || again.Rows != got.Rows || again.Digest != got.Digest {
				t.Errorf("fingerprint: got %+v, error %v, want %+v", again, err, got)
			}
			for i, s := range got.Segments {
				if s.Bytes < 1 || s.Bytes > maxSegment+readSize || (s.Bytes < minSegment && i < len(got.Segments)-2) || s.Stored < 1 || len(s.Name) != 64 {
					t.Errorf("segment %d of %d: got %+v", i, len(got.Segments), *s)
				}
			}
		})
	}
}

// TestCutWherever: segments do not depend on how the source hands its bytes over.
func TestCutWherever(t *testing.T) {
	text := rows(2, 150_000)
	cut := func(src io.Reader) (sizes []int) {
		c := &rowCutter{src: src}
		for {
			c.begin(nil)
			segment, err := c.next()
			if err == io.EOF {
				return sizes
			}
			check(t, err)
			sizes = append(sizes, len(segment))
		}
	}
	want := cut(bytes.NewReader(text))
	if len(want) < 2 {
		t.Fatalf("got %d segments, want some", len(want))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for name, src := range map[string]io.Reader{
		"half of what was asked": iotest.HalfReader(bytes.NewReader(text)),
		"the end with the data":  iotest.DataErrReader(bytes.NewReader(text)),
		"a chunk at a time":      &chunks{text, random},
	} {
		if got := cut(src); !equal(got, want) {
			t.Errorf("%s: got segments of %v bytes, want %v", name, got, want)
		}
	}
}

type chunks struct {
	text   []byte
	random *rand.Rand
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.text[:min(len(c.text), c.random.IntN(5000))])
	c.text = c.text[n:]
	return n, nil
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestBytesRoundTrip(t *testing.T) {
	r, _ := create(t)
	w, err := r.NewWriter(t.Context(), 2, nil)
	check(t, err)
	var texts [][]byte
	var contents []*backup.Content
	for _, size := range []int{0, 1, 65_536, rawSegment - 1, rawSegment, rawSegment + 1, 2 * rawSegment, 20 << 20} {
		text := bytes.Repeat([]byte("no rows here. "), size/14+1)[:size]
		got, err := w.Bytes(iotest.HalfReader(bytes.NewReader(text)))
		check(t, err)
		if got.Bytes != int64(size) || got.Rows != 0 {
			t.Errorf("%d bytes: got %d bytes, %d rows, want none", size, got.Bytes, got.Rows)
		}
		texts, contents = append(texts, text), append(contents, got)
	}
	_, err = w.Close()
	check(t, err)
	for i, c := range contents {
		if !bytes.Equal(content(t, r, c), texts[i]) {
			t.Errorf("%d bytes: what was read is not what was written", len(texts[i]))
		}
	}
	if got, want := contents[0].Digest, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; got != want {
		t.Errorf("digest of nothing: got %s, want %s", got, want)
	}
}

// TestSourceFails: a source that fails, or whose last row does not end, is an error, and the writer can go on with others.
func TestSourceFails(t *testing.T) {
	r, _ := create(t)
	w, err := r.NewWriter(t.Context(), 2, nil)
	check(t, err)
	lost := errors.New("connection lost")
	for range 10 { // more often than there are buffers
		_, err := w.Rows(io.MultiReader(bytes.NewReader(rows(1, 10)), iotest.ErrReader(lost)))
		if !errors.Is(err, lost) {
			t.Fatalf("rows: got error %v, want %v", err, lost)
		}
		if _, err := w.Bytes(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(lost))); !errors.Is(err, lost) {
			t.Fatalf("bytes: got error %v, want %v", err, lost)
		}
		for _, text := range []string{"1\n2", "no end", strings.Repeat("x", maxSegment+1)} {
			if _, err := w.Rows(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "the last row does not end") {
				t.Fatalf("%d bytes without a last newline: got error %v", len(text), err)
			}
		}
	}
	_, err = w.Rows(bytes.NewReader(rows(1, 10)))
	check(t, err)
	_, err = w.Close()
	check(t, err)
}

func TestReuse(t *testing.T) {
	a, b := rows(1, 300_000), rows(2, 30_000)
	r, _ := create(t)
	first := mustRun(t, r, second(1), a, b)
	middle := len(a)/2 + bytes.IndexByte(a[len(a)/2:], '\n') + 1
	inserted := bytes.Join([][]byte{a[:middle], []byte("4711\ta new cow\n"), a[middle:]}, nil)
	tests := []struct {
		name          string
		tables        [][]byte
		most          float64 // of the first backup's bytes that may be new
		wantReusedAll bool
	}{
		{"nothing changed", [][]byte{a, b}, 0, true},
		{"the other order", [][]byte{b, a}, 0, true},
		{"the same table twice", [][]byte{a, a, b}, 0, true},
		{"one row inserted", [][]byte{inserted, b}, 0.35, false},
		{"the small table changed", [][]byte{a, rows(3, 30_000)}, 0.15, false},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			next := mustRun(t, r, second(2+i), tt.tables...)
			share := float64(next.Stored.New) / float64(first.Stored.New)
			if share > tt.most {
				t.Errorf("new: got %.3f of the first backup's, want at most %.2f", share, tt.most)
			}
			if tt.wantReusedAll && next.Stored.Reused != first.Stored.New {
				t.Errorf("reused: got %d bytes, want all %d", next.Stored.Reused, first.Stored.New)
			}
			wantGood(t, r, second(2+i))
		})
	}
}

// TestHeal: a run that needs a segment that was damaged stores it again.
func TestHeal(t *testing.T) {
	table := rows(1, 1000)
	damages := map[string]func(t *testing.T, path string){
		"cut":   func(t *testing.T, path string) { check(t, os.Truncate(path, 100)) },
		"empty": func(t *testing.T, path string) { check(t, os.Truncate(path, 0)) },
		"gone":  func(t *testing.T, path string) { check(t, os.Remove(path)) },
	}
	for name, damage := range damages {
		for _, vouched := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				r, store := create(t)
				m := mustRun(t, r, second(1), table)
				if !vouched { // the newest manifest does not know the segment
					mustRun(t, r, second(2), rows(2, 10))
				}
				damage(t, filepath.Join(store.Root, segmentObject(m.Services[0].Databases[0].Tables[0].Segments[0].Name)))
				if verify(t, r, second(1)) == "" {
					t.Fatal("the damage was not found")
				}
				mustRun(t, r, second(3), table)
				wantGood(t, r, second(3))
				wantGood(t, r, second(1))
			})
		}
	}
	t.Run("flipped, in no manifest that is trusted", func(t *testing.T) {
		r, store := create(t)
		m := mustRun(t, r, second(1), table)
		mustRun(t, r, second(2), rows(2, 10))
		flip(t, store, segmentObject(m.Services[0].Databases[0].Tables[0].Segments[0].Name), 300)
		mustRun(t, r, second(3), table)
		wantGood(t, r, second(3))
	})
}

// TestFlippedSegment changes every byte of a small segment.
func TestFlippedSegment(t *testing.T) {
	r, store := create(t)
	m := mustRun(t, r, second(1), []byte("1\tthe only cow\n"))
	table := m.Services[0].Databases[0].Tables[0]
	name := segmentObject(table.Segments[0].Name)
	for i := range readFile(t, store, name) {
		flip(t, store, name, i)
		var damage *DamageError
		if _, err := io.ReadAll(r.Reader(t.Context(), table.Content)); !errors.As(err, &damage) {
			t.Errorf("byte %d flipped: got error %v, want a *DamageError", i, err)
		}
		flip(t, store, name, i)
	}
	wantGood(t, r, second(1))
}

func TestVerifyNames(t *testing.T) {
	a, b := rows(1, 100), rows(2, 100)
	type state struct {
		r     *Repository
		store *local.Store
		m     *backup.Manifest
		seg   func(i int) *backup.Segment
	}
	tests := []struct {
		name   string
		damage func(s state)
		want   string
	}{
		{"missing", func(s state) { check(t, s.store.Delete(t.Context(), segmentObject(s.seg(1).Name))) }, "table public.t1: segment %s is missing"},
		{"swapped", func(s state) {
			writeFile(t, s.store, segmentObject(s.seg(1).Name), readFile(t, s.store, segmentObject(s.seg(0).Name)))
		}, "table public.t1: segment %s is not what its name says"},
		{"a record", func(s state) {
			writeFile(t, s.store, segmentObject(s.seg(1).Name), readFile(t, s.store, manifestObject(second(1))))
		}, "table public.t1: segment %s is of a kind that only a newer version of this program reads"},
		{"rows", func(s state) { s.m.Services[0].Databases[0].Tables[1].Rows++ }, "table public.t1: holds 100 rows, the manifest says 101"},
		{"bytes", func(s state) { s.m.Services[0].Databases[0].Tables[1].Bytes++ }, "the manifest says"},
		{"digest", func(s state) { s.m.Services[0].Databases[0].Tables[1].Digest = (&backup.RowDigest{}).String() }, "table public.t1: its digest differs from the manifest's"},
		{"name that escapes", func(s state) { s.seg(1).Name = "../../../../../etc/passwd" }, "is described wrongly"},
		{"absurd size", func(s state) { s.seg(1).Bytes = 1 << 60 }, "table public.t1: segment %s is described wrongly"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, store := create(t)
			m := mustRun(t, r, second(1), a, b)
			seg := func(i int) *backup.Segment { return m.Services[0].Databases[0].Tables[i].Segments[0] }
			want := strings.Replace(tt.want, "%s", seg(1).Name[:12], 1)
			tt.damage(state{r, store, m, seg})
			result, err := r.Verify(t.Context(), m, func(int64) {})
			if err != nil || len(result.Problems) != 1 || !strings.Contains(result.Problems[0], want) || result.Segments != 3 {
				t.Errorf("got %+v, error %v, want 3 segments and %q", result, err, want)
			}
		})
	}
}

// TestReaderStops: a reader that is cancelled half-way says so; it never looks as if the content ended there.
func TestReaderStops(t *testing.T) {
	r, _ := create(t)
	m := mustRun(t, r, second(1), rows(1, 60_000))
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		reader := r.Reader(ctx, m.Services[0].Databases[0].Tables[0].Content)
		_, err := io.ReadFull(reader, make([]byte, 1000))
		check(t, err)
		cancel()
		if _, err := io.Copy(io.Discard, reader); !errors.Is(err, context.Canceled) {
			t.Fatalf("got error %v, want context.Canceled", err)
		}
		check(t, reader.Close())
	}
}

// TestMemory: what a writer and a verify hold does not grow with the content.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED in short mode: memory of a large content")
	}
	const most = 160 << 20 // DESIGN: peak of the program
	size := int64(300 << 20)
	if raceEnabled {
		size = 60 << 20 // ten times as slow
	}
	r, _ := create(t)
	block := rows(1, 100_000)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(120 << 20)) // as the program does; garbage alone can take as much again
	stop, peak := watchHeap()
	w, err := r.NewWriter(t.Context(), 2, nil)
	check(t, err)
	c, err := w.Rows(&endless{block: block, left: size})
	check(t, err)
	_, err = w.Close()
	check(t, err)
	m := &backup.Manifest{Services: []backup.Service{{Databases: []backup.Database{{Tables: []backup.Table{{Content: c}}}}}}}
	result, err := r.Verify(t.Context(), m, func(int64) {})
	check(t, err)
	if !result.OK() || c.Bytes < size {
		t.Errorf("got %d bytes and %+v, want %d bytes and no problems", c.Bytes, result, size)
	}
	stop()
	got := <-peak
	if got > most {
		t.Errorf("peak of the heap: got %d MiB, want at most %d", got>>20, most>>20)
	}
	t.Logf("peak of the heap: %d MiB for %d MiB", got>>20, size>>20)
}

// endless repeats block, each time with another first byte in every row, until left is used up.
type endless struct {
	block, rest []byte
	left        int64
	round       byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.left <= 0 {
			return 0, io.EOF
		}
		e.round++
		for i := range e.block {
			if e.block[i] == '\t' {
				e.block[i-1] = 'A' + (e.block[i-1]+e.round*7)%26
			}
		}
		e.rest = e.block
	}
	n := copy(p, e.rest)
	e.rest, e.left = e.rest[n:], e.left-int64(n)
	return n, nil
}

// watchHeap samples the heap until stop is called; then peak gives the most that was in use.
func watchHeap() (stop func(), peak <-chan uint64) {
	done, result := make(chan struct{}), make(chan uint64, 1)
	go func() {
		var most uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-done:
				result <- most
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() { close(done) }, result
}
