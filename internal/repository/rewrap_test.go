package repository

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// TestRewrapAgain: what is sealed as it should be is left alone, so that an interrupted rewrap goes on where it ended.
func TestRewrapAgain(t *testing.T) {
	r, store := create(t)
	mustRun(t, r, second(1), rows(1, 100), rows(2, 100))
	check(t, r.AddRecipient(t.Context(), newIdentity(t).Recipient().String()))
	var first, again int
	var size int64
	check(t, r.Rewrap(t.Context(), func(n int, bytes int64) { first += n; size += bytes }))
	if first != 4 || size < 1000 { // a manifest, two tables and the head
		t.Errorf("progress: got %d objects, %d bytes, want 4 and their bytes", first, size)
	}
	unchanging := open(t, &mortal{Store: store, lives: 1, before: true}, with(r.origin))
	check(t, unchanging.Rewrap(t.Context(), func(int, int64) { again++ }))
	if again != 4 {
		t.Errorf("again: got %d objects read, want 4", again)
	}
}

// TestRewrapObject: the body of a segment stays as it is, and only its recipients open it.
func TestRewrapObject(t *testing.T) {
	r, store := create(t)
	mustRun(t, r, second(1), rows(1, 100))
	old := r.origin
	check(t, r.Rotate(t.Context(), newIdentity(t)))
	body := func(object []byte, identity age.Identity) string {
		t.Helper()
		plain, err := age.Decrypt(bytes.NewReader(object), identity)
		check(t, err)
		var b bytes.Buffer
		_, err = b.ReadFrom(plain)
		check(t, err)
		return b.String()
	}
	for name := range mustSegments(t, r) {
		object := readFile(t, store, segmentObject(name))
		rewrapped, changed, err := r.RewrapObject(segmentObject(name), object)
		check(t, err)
		if !changed || body(rewrapped, r.origin) != body(object, old) {
			t.Errorf("segment %s: changed %v, or another body", name, changed)
		}
		if _, err := age.Decrypt(bytes.NewReader(rewrapped), old); err == nil {
			t.Errorf("segment %s opens with the old key still", name)
		}
		if _, changed, err := r.RewrapObject(segmentObject(name), rewrapped); changed || err != nil {
			t.Errorf("again: got changed %v, error %v, want neither", changed, err)
		}
		if _, _, err := r.RewrapObject(manifestObject(second(1)), object); !errors.As(err, new(*DamageError)) {
			t.Errorf("a segment as a manifest: got error %v, want a DamageError", err)
		}
		for at := 0; at < len(object); at += 17 {
			damaged := bytes.Clone(object)
			damaged[at] ^= 1
			if _, _, err := r.RewrapObject(segmentObject(name), damaged); !errors.As(err, new(*DamageError)) {
				t.Errorf("byte %d flipped: got error %v, want a DamageError", at, err)
			}
		}
	}
	moved := readFile(t, store, manifestObject(second(1)))
	if _, _, err := r.RewrapObject(manifestObject(second(2)), moved); !errors.As(err, new(*DamageError)) {
		t.Errorf("a manifest of another name: got error %v, want a DamageError", err)
	}
}

// TestRewrapDamaged: what is damaged stays, is told, and keeps nothing else from being rewrapped.
func TestRewrapDamaged(t *testing.T) {
	r, store := create(t)
	mustRun(t, r, second(1), rows(1, 100))
	mustRun(t, r, second(2), rows(2, 100))
	other := newIdentity(t)
	check(t, r.AddRecipient(t.Context(), other.Recipient().String()))
	flip(t, store, manifestObject(second(1)), 500)
	before := readFile(t, store, manifestObject(second(1)))
	if err := r.Rewrap(t.Context(), nil); !errors.As(err, new(*DamageError)) || !strings.Contains(err.Error(), string(second(1))) {
		t.Errorf("got error %v, want a DamageError that names the object", err)
	}
	if !bytes.Equal(readFile(t, store, manifestObject(second(1))), before) {
		t.Error("the damaged manifest was changed")
	}
	wantGood(t, open(t, store, with(other)), second(2))
}

// TestFits: a segment of a version that named no list in its header has its size still after a rewrap; a cut one has not.
func TestFits(t *testing.T) {
	r, store := create(t)
	w, err := r.NewWriter(t.Context(), 1, nil)
	check(t, err)
	c, err := w.Bytes(strings.NewReader("moo"))
	check(t, err)
	_, err = w.Close()
	check(t, err)
	name := segmentObject(c.Segments[0].Name)
	var plain bytes.Buffer
	opened, err := age.Decrypt(bytes.NewReader(readFile(t, store, name)), r.origin)
	check(t, err)
	_, err = plain.ReadFrom(opened)
	check(t, err)
	var unmarked bytes.Buffer
	sealed, err := age.Encrypt(&unmarked, r.origin.Recipient())
	check(t, err)
	_, err = sealed.Write(plain.Bytes())
	check(t, err)
	check(t, sealed.Close())
	writeFile(t, store, name, unmarked.Bytes())
	s := &backup.Segment{Name: c.Segments[0].Name, Stored: int64(unmarked.Len())}
	sizes := map[int64]bool{}
	see := func() {
		t.Helper()
		size := int64(len(readFile(t, store, name)))
		sizes[size] = true
		if !r.Fits(s, size) {
			t.Errorf("%d bytes do not fit one of %d", size, s.Stored)
		}
	}
	see()
	check(t, r.Rewrap(t.Context(), nil))
	see()
	_, public := sshKey(t)
	check(t, r.AddRecipient(t.Context(), public))
	check(t, r.Rewrap(t.Context(), nil))
	see()
	check(t, r.AddRecipient(t.Context(), newIdentity(t).Recipient().String()))
	check(t, r.Rewrap(t.Context(), nil))
	see()
	check(t, r.RemoveRecipient(t.Context(), public))
	check(t, r.Rewrap(t.Context(), nil))
	see()
	if len(sizes) != 5 {
		t.Errorf("got %d sizes, want 5", len(sizes))
	}
	fitting := 0
	for size := range s.Stored {
		if r.Fits(s, size) {
			fitting++
		}
	}
	if fitting > 16 {
		t.Errorf("%d sizes of a cut object would do, want a few: by as much as headers differ", fitting)
	}
	if r.Fits(&backup.Segment{Stored: 98}, 0) {
		t.Error("a segment that is not there fits")
	}
}
