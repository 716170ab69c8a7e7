package code

import (
	"bytes"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/utils/binary"
)

func TestEntryHead(t *testing.T) {
	tests := []struct {
		kind plumbing.ObjectType
		size int64
		want []byte
	}{
		{plumbing.BlobObject, 0, []byte{0x30}},
		{plumbing.BlobObject, 15, []byte{0x3f}},
		{plumbing.BlobObject, 16, []byte{0xb0, 0x01}},
		{plumbing.CommitObject, 15 + 127<<4, []byte{0x9f, 0x7f}},
		{plumbing.OFSDeltaObject, 1 << 11, []byte{0xe0, 0x80, 0x01}},
	}
	for _, tt := range tests {
		if got := entryHead(tt.kind, tt.size); !bytes.Equal(got, tt.want) {
			t.Errorf("entryHead(%s, %d) = %x, want %x", tt.kind, tt.size, got, tt.want)
		}
	}
}

func TestDeltaOffset(t *testing.T) {
	for _, want := range []int64{1, 127, 128, 16_511, 16_512, 1 << 21, 1 << 31, 1 << 40} {
		r := bytes.NewReader(deltaOffset(want))
		got, err := binary.ReadVariableWidthInt(r)
		if err != nil || got != want || r.Len() != 0 {
			t.Errorf("deltaOffset(%d) reads as %d, %v, with %d bytes left", want, got, err, r.Len())
		}
	}
}
