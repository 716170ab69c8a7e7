package repository

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// TestFlippedManifest changes every byte of a sealed manifest.
func TestFlippedManifest(t *testing.T) {
	r, store := create(t)
	want := mustRun(t, r, second(1), rows(1, 10))
	name := manifestObject(second(1))
	for i := range readFile(t, store, name) {
		flip(t, store, name, i)
		var damage *DamageError
		if _, err := r.Manifest(t.Context(), second(1)); !errors.As(err, &damage) {
			t.Errorf("byte %d flipped: got error %v, want a *DamageError", i, err)
		}
		flip(t, store, name, i)
	}
	if got, err := r.Manifest(t.Context(), second(1)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, error %v, want %+v", got, err, want)
	}
}

func TestManifestRefused(t *testing.T) {
	whole := func(t *testing.T, r *Repository, id backup.ID, text string) {
		check(t, r.putRecord(t.Context(), manifestObject(id), json.RawMessage(text)))
	}
	tests := []struct {
		name string
		make func(t *testing.T, r *Repository)
		want string
	}{
		{"newer schema", func(t *testing.T, r *Repository) { whole(t, r, second(1), `{"schema":9,"services":"of another form"}`) }, "has schema 9, this program reads schema 1 to 1"},
		{"no schema", func(t *testing.T, r *Repository) { whole(t, r, second(1), `{}`) }, "has schema 0"},
		{"another form", func(t *testing.T, r *Repository) { whole(t, r, second(1), `{"schema":1,"services":7}`) }, "is not as its schema says"},
		{"not an object", func(t *testing.T, r *Repository) { whole(t, r, second(1), `[1]`) }, "is not JSON"},
		{"moved from another name", func(t *testing.T, r *Repository) {
			mustRun(t, r, second(2))
			object, err := r.store.Get(t.Context(), manifestObject(second(2)))
			check(t, err)
			check(t, r.store.Put(t.Context(), manifestObject(second(1)), object))
		}, "is not authentic"},
		{"made without the derived key", func(t *testing.T, r *Repository) {
			forger := r.At(r.store)
			guessed := *r.keys
			guessed.Current.Manifests = []byte("guessed")
			forger.keys = &guessed
			whole(t, forger, second(1), `{"schema":1}`)
		}, "is not authentic"},
		{"sealed to another key", func(t *testing.T, r *Repository) {
			other, _ := create(t)
			other.store = r.store
			whole(t, other, second(1), `{"schema":1}`)
		}, "is damaged"},
		{"cut", func(t *testing.T, r *Repository) {
			mustRun(t, r, second(1))
			object, err := r.store.Get(t.Context(), manifestObject(second(1)))
			check(t, err)
			check(t, r.store.Put(t.Context(), manifestObject(second(1)), object[:len(object)-20]))
		}, "is damaged"},
		{"empty", func(t *testing.T, r *Repository) { check(t, r.store.Put(t.Context(), manifestObject(second(1)), nil)) }, "is damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := create(t)
			mustRun(t, r, second(30))
			tt.make(t, r)
			_, err := r.Manifest(t.Context(), second(1))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got error %v, want %q", err, tt.want)
			}
			entries, err := r.List(t.Context(), service)
			check(t, err)
			if last := entries[len(entries)-1]; last.ID != second(1) || last.Err == nil || last.Manifest != nil || entries[0].Err != nil {
				t.Errorf("list: got %+v, want the unreadable one with its error, and the other whole", entries)
			}
		})
	}
}

func TestManifestNotThere(t *testing.T) {
	r, _ := create(t)
	if _, err := r.Manifest(t.Context(), second(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want fs.ErrNotExist", err)
	}
	if entries, err := r.List(t.Context(), ""); err != nil || len(entries) != 0 {
		t.Errorf("list: got %+v, error %v, want nothing", entries, err)
	}
}

// TestCommitTwice: a clock that was set back must not cost the earlier backup.
func TestCommitTwice(t *testing.T) {
	r, _ := create(t)
	mustRun(t, r, second(1), rows(1, 100))
	if _, err := run(t.Context(), r, second(1), rows(2, 100)); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("got error %v, want one that says that there is one already", err)
	}
	if m, err := r.Manifest(t.Context(), second(1)); err != nil || m.Services[0].Databases[0].Tables[0].Rows != 100 {
		t.Errorf("the first: got error %v", err)
	}
	wantGood(t, r, second(1))
}

func TestList(t *testing.T) {
	r, store := create(t)
	for _, n := range []int{3, 1, 2} {
		mustRun(t, r, second(n))
	}
	check(t, r.Commit(t.Context(), &backup.Manifest{Schema: 1, ID: "happycows-20261121T074701Z"}))
	check(t, store.Put(t.Context(), "backups/happycows-db/notes.txt", []byte("a stranger's")))
	check(t, r.Pin(t.Context(), second(2), backup.Pinned{}))
	check(t, r.SetVerified(t.Context(), second(2), backup.Verified{Segments: 1}))

	list := func(service string) string {
		entries, err := r.List(t.Context(), service)
		check(t, err)
		var b strings.Builder
		for _, e := range entries {
			fmt.Fprintf(&b, "%s", strings.TrimPrefix(string(e.ID), "happycows-"))
			if e.Marks.Pinned != nil {
				b.WriteString(" pinned")
			}
			if e.Marks.Verified.OK() {
				b.WriteString(" verified")
			}
			if e.Err != nil {
				b.WriteString(" unreadable")
			}
			b.WriteString("\n")
		}
		return b.String()
	}
	ours := "db-20261121T074703Z\ndb-20261121T074702Z pinned verified\ndb-20261121T074701Z\n"
	stranger := "notes.txt unreadable\n"
	if got, want := list(service), ours+stranger; got != want {
		t.Errorf("one service: got\n%swant\n%s", got, want)
	}
	if got, want := list(""), ours+"20261121T074701Z\n"+stranger; got != want {
		t.Errorf("all: got\n%swant\n%s", got, want)
	}

	check(t, r.Unpin(t.Context(), second(2)))
	marks, err := r.Marks(t.Context(), second(2))
	if err != nil || marks.Pinned != nil || marks.Verified == nil {
		t.Errorf("after Unpin: got %+v, error %v, want verified only", marks, err)
	}
	flip(t, store, markObject(second(2), markVerified), 250)
	var damage *DamageError
	if _, err := r.Marks(t.Context(), second(2)); !errors.As(err, &damage) {
		t.Errorf("a damaged mark: got error %v, want a *DamageError", err)
	}
	check(t, r.Delete(t.Context(), second(2)))
	if marks, err := r.Marks(t.Context(), second(2)); err != nil || marks != (backup.Marks{}) {
		t.Errorf("after Delete: got %+v, error %v, want no marks", marks, err)
	}
}

// TestLargeManifest: 100 GB in segments of 8 MiB is far from the limit, and a record beyond the limit is not written.
func TestLargeManifest(t *testing.T) {
	r, store := create(t)
	c := &backup.Content{}
	for i := range 100_000 {
		c.Segments = append(c.Segments, &backup.Segment{Name: fmt.Sprintf("%064x", i*7919), Bytes: 8 << 20, Stored: int64(i)})
	}
	m := &backup.Manifest{Schema: 1, ID: second(1), Apps: []backup.App{{Config: c}}}
	check(t, r.Commit(t.Context(), m))
	got, err := r.Manifest(t.Context(), second(1))
	if err != nil || len(got.Apps[0].Config.Segments) != 100_000 {
		t.Fatalf("got error %v, want all segments", err)
	}
	m.ID, m.Note = second(2), strings.Repeat("x", maxPlain)
	if err := r.Commit(t.Context(), m); err == nil {
		t.Error("a manifest beyond the limit: got no error")
	}
	if got := objects(t, store); got != 2 {
		t.Errorf("objects: got %d, want repository.json and one manifest", got)
	}
}
