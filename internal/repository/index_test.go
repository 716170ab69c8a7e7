package repository

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

// record commits a manifest without content.
func record(t testing.TB, r *Repository, id backup.ID, note string) {
	t.Helper()
	m := &backup.Manifest{
		Schema: backup.Schema, ID: id, CreatedAt: id.Time(), State: backup.Complete, Note: note,
		Services: []backup.Service{{Type: "postgres", Name: id.Service()}}, Stored: backup.Stored{Raw: 876, New: 131},
		Apps: []backup.App{{Name: "happycows", Commit: "82eeec6"}},
	}
	check(t, r.Commit(t.Context(), m))
}

// told is what Summaries tells, a word a backup: its id's seconds, its note, its marks.
func told(t *testing.T, r *Repository, service, file string) string {
	t.Helper()
	all, err := r.Summaries(t.Context(), service, file)
	check(t, err)
	var words []string
	for _, s := range all {
		word := s.ID.Service() + s.ID.Time().Format(":05 ") + s.Note
		if s.Marks.Pinned != nil {
			word += " pinned"
		}
		if s.Marks.Verified != nil {
			word += " verified"
		}
		if s.Err != nil {
			word += " unreadable"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// change changes a file, as a disk does that forgets: size and time stay.
func change(t *testing.T, store *local.Store, name string, at int) {
	t.Helper()
	path := filepath.Join(store.Root, name)
	info, err := os.Stat(path)
	check(t, err)
	flip(t, store, name, at)
	check(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
}

func TestSummaries(t *testing.T) {
	r, store := create(t)
	file := filepath.Join(t.TempDir(), "index")
	want := func(what, service, want string) {
		t.Helper()
		if got := told(t, r, service, file); got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	want("nothing", "", "")
	record(t, r, second(1), "first")
	record(t, r, second(2), "second")
	other := backup.NewID("orders-db", second(3).Time())
	record(t, r, other, "other")
	all := "orders-db:03 other, happycows-db:02 second, happycows-db:01 first"
	want("read", "", all)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("index: got %v, error %v, want a private file", info.Mode(), err)
	}

	// What was read before is not read again: nobody sees that a manifest changed whose size and time did not.
	change(t, store, manifestObject(second(1)), 250)
	want("from the index", "", all)
	want("of one service", service, "happycows-db:02 second, happycows-db:01 first")
	want("of one service, that the others' are kept", "", all)

	// With another time it is.
	flip(t, store, manifestObject(second(1)), 260)
	want("changed", "", "orders-db:03 other, happycows-db:02 second, happycows-db:01  unreadable")
	flip(t, store, manifestObject(second(1)), 260)
	flip(t, store, manifestObject(second(1)), 250)
	want("mended", "", all)

	check(t, r.Pin(t.Context(), second(2), backup.Pinned{At: time.Now()}))
	want("pinned", "", "orders-db:03 other, happycows-db:02 second pinned, happycows-db:01 first")
	check(t, r.SetVerified(t.Context(), second(2), backup.Verified{Segments: 1}))
	want("verified", "", "orders-db:03 other, happycows-db:02 second pinned verified, happycows-db:01 first")
	check(t, r.Unpin(t.Context(), second(2)))
	want("unpinned", "", "orders-db:03 other, happycows-db:02 second verified, happycows-db:01 first")
	flip(t, store, markObject(second(2), markVerified), 250)
	want("damaged mark", "", "orders-db:03 other, happycows-db:02 second unreadable, happycows-db:01 first")
	check(t, r.Delete(t.Context(), second(2)))
	want("deleted", "", "orders-db:03 other, happycows-db:01 first")

	// An index that cannot be used is made anew.
	good, err := os.ReadFile(file)
	check(t, err)
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1
		check(t, os.WriteFile(file, bad, 0o600))
		if x := r.readIndex(file); len(x.Backups) != 0 {
			t.Fatalf("a bit of byte %d: got %d backups, want none", i, len(x.Backups))
		}
	}
	want("damaged index", "", "orders-db:03 other, happycows-db:01 first")
	check(t, os.WriteFile(file, good[:len(good)/2], 0o600))
	want("cut index", "", "orders-db:03 other, happycows-db:01 first")
	check(t, os.Remove(file))
	want("lost index", "", "orders-db:03 other, happycows-db:01 first")
	another, _ := create(t)
	if x := another.readIndex(file); len(x.Backups) != 0 {
		t.Errorf("index of another repository: got %d backups, want none", len(x.Backups))
	}
	check(t, os.Remove(file))
	check(t, os.Mkdir(file, 0o700))
	want("an index that cannot be written", "", "orders-db:03 other, happycows-db:01 first")
	if left, err := filepath.Glob(file + ".new*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v, want nothing", left, err)
	}
}

func TestSizes(t *testing.T) {
	r, _ := create(t)
	first := mustRun(t, r, second(1), rows(1, 100), rows(2, 100))
	mustRun(t, r, second(2), rows(1, 100), rows(3, 100))
	sizes := NewSizes()
	check(t, sizes.Add(t.Context(), r, []backup.ID{second(1), second(2), second(3)}))
	one, two, both := sizes.Of([]backup.ID{second(1)}), sizes.Of([]backup.ID{second(2)}), sizes.Of([]backup.ID{second(1), second(2), second(3)})
	if want := first.Stored.New; one != want {
		t.Errorf("of one: got %d, want %d", one, want)
	}
	listing, err := r.Look(t.Context())
	check(t, err)
	var stored int64
	for name, size := range listing.sizes {
		if strings.HasPrefix(name, segmentsPrefix) {
			stored += size
		}
	}
	if both != stored || both >= one+two {
		t.Errorf("of both: got %d, want all that is stored, %d, and less than %d and %d", both, stored, one, two)
	}
	if got := sizes.Of(nil); got != 0 {
		t.Errorf("of none: got %d, want 0", got)
	}
}
