package archive

import (
	"bytes"
	"io"
	"testing"
)

// FuzzReader holds that any input is parsed without a panic, that what parses survives a round
// trip, and that the raw stream is always the input. Run it with -fuzzminimizetime=1x: minimizing
// inputs of this size takes all the time there is.
func FuzzReader(f *testing.F) {
	for _, archive := range realArchives(f) {
		f.Add(archive)
	}
	for minor := byte(oldestMinor); minor <= newestMinor; minor++ {
		var e encoder
		e.head(minor)
		e.block(Data, 1, "a\tb\n"+terminator, 4)
		e.block(LargeObjects, 2, "", 1)
		f.Add(e.Bytes())
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		rd, _ := NewReader(bytes.NewReader(input))
		if raw, err := io.ReadAll(rd.Raw()); err != nil || !bytes.Equal(raw, input) {
			t.Fatalf("raw stream is not the input: %v", err)
		}
		rd, all, err := readAll(bytes.NewReader(input))
		if err != nil || len(rd.Missing()) > 0 {
			return
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
		if !bytes.Equal(again.Head().Raw, withoutPositions(rd.Head())) {
			t.Error("heads differ after a round trip")
		}
	})
}
