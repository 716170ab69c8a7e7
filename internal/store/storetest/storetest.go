// Package storetest holds the contract of backup.Store as a test suite that every kind of store runs against a real
// place to store things. Model: restic's internal/backend/test/suite.go.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// names are of the shapes that a repository uses.
var names = []string{
	"repository.json",
	"segments/ab/" + strings.Repeat("ab", 32),
	"backups/happycows-db/happycows-db-20261121T074700Z",
	"marks/happycows-db/happycows-db-20261121T074700Z/pinned",
	"backups/A_b-9/A_b-9-20261121T074700Z",
}

// Run tries everything that the contract of backup.Store promises. open returns an empty store.
func Run(t *testing.T, open func(t *testing.T) backup.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s backup.Store)
	}{
		{"objects", testObjects},
		{"replace", testReplace},
		{"delete", testDelete},
		{"not there", testNotThere},
		{"prefixes", testPrefixes},
		{"listing stops", testListStops},
		{"delete while listing", testDeleteWhileListing},
		{"many objects", testMany},
		{"same name at once", testSameName},
		{"the caller's bytes", testCallersBytes},
		{"cancelled", testCancelled},
		{"names that escape", testEscape},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func put(t *testing.T, s backup.Store, name string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), name, data); err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
}

func wantObject(t *testing.T, s backup.Store, name string, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("get %s: %v", name, err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("get %s: got %d bytes (%x), want %d bytes (%x)", name, len(got), sha256.Sum256(got), len(want), sha256.Sum256(want))
	}
}

func wantAbsent(t *testing.T, s backup.Store, name string) {
	t.Helper()
	if data, err := s.Get(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get %s: got %d bytes and error %v, want an error matching fs.ErrNotExist", name, len(data), err)
	}
}

// list returns the listed objects sorted by name, and fails when one is listed twice.
func list(t *testing.T, s backup.Store, prefix string) []backup.Object {
	t.Helper()
	var objects []backup.Object
	err := s.List(t.Context(), prefix, func(o backup.Object) error {
		objects = append(objects, o)
		return nil
	})
	if err != nil {
		t.Fatalf("list %q: %v", prefix, err)
	}
	slices.SortFunc(objects, func(a, b backup.Object) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(objects); i++ {
		if objects[i].Name == objects[i-1].Name {
			t.Errorf("list %q: %s is listed twice", prefix, objects[i].Name)
		}
	}
	return objects
}

func wantList(t *testing.T, s backup.Store, prefix string, want ...string) {
	t.Helper()
	var got []string
	for _, o := range list(t, s, prefix) {
		got = append(got, o.Name)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("list %q: got %q, want %q", prefix, got, want)
	}
}

// random returns size bytes that differ with seed and do not compress.
func random(seed byte, size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func testObjects(t *testing.T, s backup.Store) {
	sizes := []int{0, 1, 4096, 1<<20 + 1, 20 << 20}
	before := time.Now().Add(-time.Minute) // stores keep times coarsely, and by their own clock
	for i, name := range names {
		put(t, s, name, random(byte(i), sizes[i]))
	}
	for i, name := range names {
		wantObject(t, s, name, random(byte(i), sizes[i]))
	}
	for _, o := range list(t, s, "") {
		i := slices.Index(names, o.Name)
		if i < 0 {
			t.Fatalf("list: got %s, which was not put", o.Name)
		}
		if o.Size != int64(sizes[i]) {
			t.Errorf("list: size of %s: got %d, want %d", o.Name, o.Size, sizes[i])
		}
		if o.ModTime.Before(before) || o.ModTime.After(time.Now().Add(time.Minute)) {
			t.Errorf("list: time of %s: got %v, want about now", o.Name, o.ModTime)
		}
	}
	wantList(t, s, "", slices.Clone(names)...)
}

func testReplace(t *testing.T, s backup.Store) {
	const name = "backups/db/one"
	for i, size := range []int{1000, 5000, 10, 0, 100} {
		put(t, s, name, random(byte(i), size))
		wantObject(t, s, name, random(byte(i), size))
	}
	wantList(t, s, "", name)
}

func testDelete(t *testing.T, s backup.Store) {
	put(t, s, "segments/aa/one", []byte("1"))
	put(t, s, "segments/aa/two", []byte("2"))
	for range 2 { // the second time it is not there
		if err := s.Delete(t.Context(), "segments/aa/one"); err != nil {
			t.Fatalf("delete: %v", err)
		}
		wantAbsent(t, s, "segments/aa/one")
		wantObject(t, s, "segments/aa/two", []byte("2"))
		wantList(t, s, "", "segments/aa/two")
	}
	put(t, s, "segments/aa/one", []byte("again"))
	wantObject(t, s, "segments/aa/one", []byte("again"))
}

func testNotThere(t *testing.T, s backup.Store) {
	wantAbsent(t, s, "repository.json")
	wantAbsent(t, s, "segments/ab/abcdef")
	wantList(t, s, "")
	wantList(t, s, "segments/")
	wantList(t, s, "segments/ab/abc")
	if err := s.Delete(t.Context(), "segments/ab/abcdef"); err != nil {
		t.Errorf("delete from an empty store: %v", err)
	}
	put(t, s, "segments/ab/abcdef", []byte("x"))
	wantAbsent(t, s, "segments/ab/abcde")
	wantAbsent(t, s, "segments/ab/abcdefg")
}

func testPrefixes(t *testing.T, s backup.Store) {
	all := []string{"backups/db-2/db-2-x", "backups/db/db-x", "backups/db/db-y", "repository.json", "segments/ab/abc", "segments/ab/abd", "segments/ac/acc"}
	for _, name := range all {
		put(t, s, name, []byte(name))
	}
	for _, prefix := range []string{
		"", "backups/", "backups", "back", "backups/db", "backups/db/", "backups/db/db-x", "backups/db/db-xx", "backups/db-", "segments/ab/ab",
		"segments/ab/abc", "segments/a", "r", "repository.json", "x", "segments/zz/", "Backups/",
	} {
		var want []string
		for _, name := range all {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		wantList(t, s, prefix, want...)
	}
}

func testListStops(t *testing.T, s backup.Store) {
	for i := range 5 {
		put(t, s, fmt.Sprintf("a/%d", i), nil)
	}
	stop, calls := errors.New("stop"), 0
	err := s.List(t.Context(), "a/", func(backup.Object) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("got %d calls and error %v, want 1 call and the error of that call", calls, err)
	}
}

func testDeleteWhileListing(t *testing.T, s backup.Store) {
	for i := range 50 {
		put(t, s, fmt.Sprintf("a/%02d/x", i), []byte("x"))
	}
	err := s.List(t.Context(), "a/", func(o backup.Object) error { return s.Delete(t.Context(), o.Name) })
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	wantList(t, s, "")
}

// testMany is more than a page of any object store's listing.
func testMany(t *testing.T, s backup.Store) {
	const count = 1500
	var want []string
	var mu sync.Mutex
	inParallel(t, 8, func(worker int) error {
		for i := worker; i < count; i += 8 {
			name := fmt.Sprintf("segments/%02x/%064x", i%256, i)
			if err := s.Put(t.Context(), name, []byte(name)); err != nil {
				return err
			}
			mu.Lock()
			want = append(want, name)
			mu.Unlock()
		}
		return nil
	})
	wantList(t, s, "segments/", want...)
	wantObject(t, s, want[count/2], []byte(want[count/2]))
}

// inParallel runs fn in so many goroutines and reports each error.
func inParallel(t *testing.T, workers int, fn func(worker int) error) {
	t.Helper()
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			if err := fn(i); err != nil {
				t.Errorf("worker %d: %v", i, err)
			}
		})
	}
	group.Wait()
}

// testSameName writes one name from all sides while it is read: every read sees one whole object.
func testSameName(t *testing.T, s backup.Store) {
	const name, workers = "segments/ab/same", 8
	whole := map[[32]byte]bool{}
	for i := range workers {
		whole[sha256.Sum256(random(byte(i), 100_000+i))] = true
	}
	put(t, s, name, random(0, 100_000))
	inParallel(t, workers, func(worker int) error {
		data := random(byte(worker), 100_000+worker)
		for range 4 {
			if err := s.Put(t.Context(), name, data); err != nil {
				return err
			}
			got, err := s.Get(t.Context(), name)
			if err != nil {
				return err
			}
			if !whole[sha256.Sum256(got)] {
				return fmt.Errorf("read %d bytes that nobody wrote", len(got))
			}
		}
		return nil
	})
	wantList(t, s, "", name)
}

// testCallersBytes: what was put is the caller's again, and what was got is.
func testCallersBytes(t *testing.T, s backup.Store) {
	data := []byte("as it was put")
	put(t, s, "a/b", data)
	copy(data, "XXXX")
	got, err := s.Get(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	copy(got, "YYYY")
	wantObject(t, s, "a/b", []byte("as it was put"))
}

func testCancelled(t *testing.T, s backup.Store) {
	put(t, s, "a/old", []byte("old"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := s.Get(ctx, "a/old")
	for what, err := range map[string]error{
		"put":    s.Put(ctx, "a/new", []byte("new")),
		"get":    getErr,
		"list":   s.List(ctx, "", func(backup.Object) error { return nil }),
		"delete": s.Delete(ctx, "a/old"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got error %v, want context.Canceled", what, err)
		}
	}
	wantObject(t, s, "a/old", []byte("old"))
	wantList(t, s, "", "a/old")
}

// testEscape: a name is a clean path below the store, whatever a manifest or a user says.
func testEscape(t *testing.T, s backup.Store) {
	for _, name := range []string{"", ".", "..", "../x", "a/../../x", "a/../x", "/x", "/etc/passwd", "a//x", "a/./x", "a/", "./x"} {
		if err := s.Put(t.Context(), name, []byte("x")); err == nil {
			t.Errorf("put %q: got no error", name)
		}
		if _, err := s.Get(t.Context(), name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("get %q: got error %v, want the name refused", name, err)
		}
		if err := s.Delete(t.Context(), name); err == nil {
			t.Errorf("delete %q: got no error", name)
		}
	}
	for _, prefix := range []string{"../", "a/../../", "/", "/etc/"} {
		err := s.List(t.Context(), prefix, func(o backup.Object) error {
			t.Errorf("list %q: got %s", prefix, o.Name)
			return nil
		})
		if err == nil {
			t.Errorf("list %q: got no error", prefix)
		}
	}
	wantList(t, s, "")
}
