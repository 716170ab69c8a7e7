package repository

import (
	"bytes"
	"runtime"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// sealRaw seals bytes that are no valid frame.
func sealRaw(t testing.TB, r *Repository, inner []byte) []byte {
	t.Helper()
	var object bytes.Buffer
	w, err := age.Encrypt(&object, &envelope{to: r.recipients})
	check(t, err)
	_, err = w.Write(inner)
	check(t, err)
	check(t, w.Close())
	return object.Bytes()
}

// TestBomb: an object that would expand without bounds is refused, in bounded memory.
func TestBomb(t *testing.T) {
	r, _ := create(t)
	var inner bytes.Buffer
	inner.WriteByte(kindFull)
	encoder, err := zstd.NewWriter(&inner)
	check(t, err)
	for range 256 {
		_, err := encoder.Write(make([]byte, 1<<20))
		check(t, err)
	}
	check(t, encoder.Close())
	object := sealRaw(t, r, inner.Bytes())
	codec, err := r.newCodec()
	check(t, err)
	runtime.GC()
	stop, peak := watchHeap()
	err = codec.unseal(object, kindFull, &limited{})
	stop()
	if err == nil {
		t.Error("got no error")
	}
	if got := <-peak; got > 250<<20 {
		t.Errorf("peak of the heap: got %d MiB, want less than 250", got>>20)
	}
}

// FuzzUnseal: whatever somebody with the public key seals, unsealing does not panic, gives no more than the limit, and
// what it gives seals and unseals to the same.
func FuzzUnseal(f *testing.F) {
	r, _ := create(f)
	codec, err := r.newCodec()
	check(f, err)
	frame := codec.encoder.EncodeAll([]byte("1\tcow\n"), []byte{kindFull})
	for _, seed := range [][]byte{frame, frame[:5], append(bytes.Clone(frame), frame[1:]...), {kindFull}, {2, 0}, {kindRecord, 0x28, 0xb5, 0x2f, 0xfd}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, inner []byte) {
		plain := &limited{}
		if codec.unseal(sealRaw(t, r, inner), kindFull, plain) != nil {
			return
		}
		if len(plain.data) == 0 {
			return // no frame at all: an object that holds nothing
		}
		object, err := codec.seal(kindFull, plain.data)
		check(t, err)
		check(t, codec.compare(object, kindFull, plain.data))
	})
}

// FuzzObject: whatever lies in the store is an error or an object, never a panic.
func FuzzObject(f *testing.F) {
	r, _ := create(f)
	codec, err := r.newCodec()
	check(f, err)
	whole, err := codec.seal(kindRecord, []byte("{}"))
	check(f, err)
	f.Add(bytes.Clone(whole))
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, object []byte) {
		if err := codec.unseal(object, kindRecord, &limited{}); err == nil && !bytes.HasPrefix(object, []byte("age-encryption.org/v1")) {
			t.Error("unsealed what is no age file")
		}
	})
}
