package archive

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// BenchmarkRead reads 64 MiB of rows of 130 bytes, each in a chunk of its own as pg_dump makes them.
func BenchmarkRead(b *testing.B) {
	var e encoder
	e.head(16)
	row := strings.Repeat("x", 129) + "\n"
	e.block(Data, 1, strings.Repeat(row, 64<<20/len(row))+terminator, len(row))
	p := make([]byte, 256<<10)
	b.SetBytes(int64(e.Len()))
	b.ReportAllocs()
	for b.Loop() {
		rd, err := NewReader(bytes.NewReader(e.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := rd.Next(); err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := rd.Read(p); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkWrite writes 64 MiB of rows by 256 KiB.
func BenchmarkWrite(b *testing.B) {
	var e encoder
	e.head(16)
	rows := bytes.Repeat([]byte(strings.Repeat("x", 127)+"\n"), 2048)
	b.SetBytes(64 << 20)
	for b.Loop() {
		w, err := NewWriter(io.Discard, e.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Block(1); err != nil {
			b.Fatal(err)
		}
		for range 64 << 20 / len(rows) {
			if _, err := w.Write(rows); err != nil {
				b.Fatal(err)
			}
		}
	}
}
