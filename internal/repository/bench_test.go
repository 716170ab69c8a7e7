package repository

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// nowhere takes segments and forgets them, so that a benchmark measures the program and not the disk.
type nowhere struct{ backup.Store }

func (n nowhere) Put(context.Context, string, []byte) error { return nil }

func BenchmarkWriter(b *testing.B) {
	r, store := create(b)
	r = r.through(b, nowhere{store})
	text := rows(1, 500_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		w, err := r.NewWriter(b.Context(), 1, nil)
		check(b, err)
		_, err = w.Rows(bytes.NewReader(text))
		check(b, err)
		_, err = w.Close()
		check(b, err)
	}
}

// BenchmarkSeal is one worker's work on a segment.
func BenchmarkSeal(b *testing.B) {
	onHosts(b, func(b *testing.B, r *Repository) {
		codec, err := r.newCodec()
		check(b, err)
		text := rows(1, 60_000)
		b.SetBytes(int64(len(text)))
		var object []byte
		for b.Loop() {
			r.keys.segmentName(text)
			object, err = codec.seal(kindFull, text)
			check(b, err)
		}
		b.ReportMetric(float64(len(object))/float64(len(text)), "stored/plain")
	})
}

// onHosts runs a benchmark on an empty repository as a usual host opens it, and as a sealed one does.
func onHosts(b *testing.B, run func(b *testing.B, r *Repository)) {
	b.Run("host=usual", func(b *testing.B) {
		r, _ := create(b)
		run(b, r)
	})
	b.Run("host=sealed", func(b *testing.B) {
		r, store := create(b)
		sealed, err := Open(b.Context(), store, Unlock{Derived: r.Derived()})
		check(b, err)
		run(b, sealed)
	})
}

// BenchmarkCut is the work of the goroutine that reads the dump.
func BenchmarkCut(b *testing.B) {
	text, buf := rows(1, 500_000), make([]byte, maxSegment+readSize)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		c := &rowCutter{src: bytes.NewReader(text)}
		for {
			c.begin(buf[:0])
			if _, err := c.next(); err == io.EOF {
				break
			} else {
				check(b, err)
			}
		}
	}
}

func BenchmarkReader(b *testing.B) {
	r, _ := create(b)
	m := mustRun(b, r, second(1), rows(1, 500_000))
	b.SetBytes(m.Stored.Raw)
	for b.Loop() {
		_, err := io.Copy(io.Discard, r.Reader(b.Context(), m.Services[0].Databases[0].Tables[0].Content))
		check(b, err)
	}
}

func BenchmarkVerify(b *testing.B) {
	r, _ := create(b)
	m := mustRun(b, r, second(1), rows(1, 500_000))
	b.SetBytes(m.Stored.Raw)
	for b.Loop() {
		_, err := r.Verify(b.Context(), m, func(int64) {})
		check(b, err)
	}
}

// BenchmarkList is what backup:list does with 1,000 backups; the goal of DESIGN.md is 0.3 s.
func BenchmarkList(b *testing.B) {
	onHosts(b, func(b *testing.B, r *Repository) {
		m := mustRun(b, r, second(0), rows(1, 100))
		for i := range 1000 {
			m.ID = second(i)
			check(b, r.putRecord(b.Context(), manifestObject(m.ID), m))
		}
		for b.Loop() {
			entries, err := r.List(b.Context(), "")
			check(b, err)
			if len(entries) != 1000 {
				b.Fatalf("got %d entries", len(entries))
			}
		}
	})
}

func BenchmarkRewrap(b *testing.B) {
	r, _ := create(b)
	m := mustRun(b, r, second(1), rows(1, 500_000))
	b.SetBytes(m.Stored.New)
	for b.Loop() {
		b.StopTimer()
		check(b, r.Rotate(b.Context(), newIdentity(b)))
		b.StartTimer()
		check(b, r.Rewrap(b.Context(), nil))
	}
}
