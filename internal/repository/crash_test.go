package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

var errDead = errors.New("the process is dead")

// mortal is a store that dies at its n-th change: before it or after it. From then on nothing works.
type mortal struct {
	backup.Store
	mu     sync.Mutex
	lives  int
	before bool
}

func (m *mortal) change(do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lives <= 0 {
		return errDead
	}
	m.lives--
	if m.lives == 0 && m.before {
		return errDead
	}
	if err := do(); err != nil || m.lives > 0 {
		return err
	}
	return errDead
}

func (m *mortal) Put(ctx context.Context, name string, data []byte) error {
	return m.change(func() error { return m.Store.Put(ctx, name, data) })
}

func (m *mortal) Delete(ctx context.Context, name string) error {
	return m.change(func() error { return m.Store.Delete(ctx, name) })
}

// untilItLives calls try with a store that dies at its first change, at its second, and so on, until try survives.
// It fails when that is not after at least so many deaths.
func untilItLives(t *testing.T, deaths int, try func(t *testing.T, lives int, before bool) error) {
	t.Helper()
	for lives := 1; ; lives++ {
		for _, before := range []bool{true, false} {
			var err error
			t.Run(fmt.Sprintf("change %d, before %v", lives, before), func(t *testing.T) { err = try(t, lives, before) })
			switch {
			case err == nil && lives <= deaths:
				t.Fatalf("survived with %d lives, want at least %d deaths", lives, deaths)
			case err == nil:
				return
			case !errors.Is(err, errDead):
				t.Fatalf("died of %v, want %v", err, errDead)
			}
		}
	}
}

// TestKilledWhileWriting kills a run at each of its writes. What is listed is whole, and the next run succeeds.
func TestKilledWhileWriting(t *testing.T) {
	tables := [][]byte{rows(1, 100), rows(2, 100), nil, rows(3, 100), rows(4, 100)}
	untilItLives(t, 4, func(t *testing.T, lives int, before bool) error {
		r, store := create(t)
		mustRun(t, r, second(1), tables[0])
		_, died := run(t.Context(), r.through(t, &mortal{Store: store, lives: lives, before: before}), second(2), tables...)

		entries, err := r.List(t.Context(), "")
		check(t, err)
		for _, e := range entries {
			wantGood(t, r, e.ID)
		}
		// The last change is the manifest: only when it was made is there a second backup.
		if died == nil && len(entries) != 2 {
			t.Errorf("got %d backups after a run that lived, want 2", len(entries))
		}
		mustRun(t, r, second(3), tables...)
		wantGood(t, r, second(1))
		wantGood(t, r, second(3))
		_, err = r.Collect(t.Context())
		check(t, err)
		wantGood(t, r, second(1))
		wantGood(t, r, second(3))
		return died
	})
}

// TestKilledWhileCleaning kills Delete and Collect at each of their steps.
func TestKilledWhileCleaning(t *testing.T) {
	shared := rows(1, 100)
	untilItLives(t, 4, func(t *testing.T, lives int, before bool) error {
		r, store := create(t)
		mustRun(t, r, second(1), shared, rows(2, 100), rows(3, 100))
		mustRun(t, r, second(2), shared)
		check(t, r.Pin(t.Context(), second(1), backup.Pinned{}))
		clean := func(r *Repository) error {
			if err := r.Delete(t.Context(), second(1)); err != nil {
				return err
			}
			_, err := r.Collect(t.Context())
			return err
		}
		died := clean(r.through(t, &mortal{Store: store, lives: lives, before: before}))
		wantGood(t, r, second(2))
		if entries, err := r.List(t.Context(), ""); err != nil {
			t.Error(err)
		} else {
			for _, e := range entries {
				wantGood(t, r, e.ID)
			}
		}
		check(t, clean(r)) // again, to the end
		wantGood(t, r, second(2))
		if got, want := objects(t, store), 4; got != want { // repository.json, a manifest, its table and its head
			t.Errorf("objects left: got %d, want %d", got, want)
		}
		return died
	})
}

func objects(t *testing.T, store backup.Store) (count int) {
	t.Helper()
	check(t, store.List(t.Context(), "", func(backup.Object) error { count++; return nil }))
	return count
}

func TestCollect(t *testing.T) {
	r, store := create(t)
	mustRun(t, r, second(1), rows(1, 100), rows(2, 100))
	mustRun(t, r, second(2), rows(1, 100))
	if got, err := r.Collect(t.Context()); err != nil || got != (Collected{}) {
		t.Errorf("nothing to collect: got %+v, error %v", got, err)
	}
	// A cut-off write leaves a part file, a cut-off run a segment.
	part := filepath.Join(store.Root, "segments", ".part-0011")
	check(t, os.WriteFile(part, []byte("x"), 0o600))
	w, err := r.NewWriter(t.Context(), 1, nil)
	check(t, err)
	_, err = w.Rows(bytes.NewReader(rows(9, 100)))
	check(t, err)
	stored, err := w.Close()
	check(t, err)
	got, err := r.Collect(t.Context())
	if want := (Collected{1, stored.New}); err != nil || got != want {
		t.Errorf("after a cut-off run: got %+v, error %v, want %+v", got, err, want)
	}
	if _, err := os.Stat(part); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("part file: got error %v, want it gone", err)
	}
	check(t, r.Delete(t.Context(), second(1)))
	if got, err := r.Collect(t.Context()); err != nil || got.Segments != 1 {
		t.Errorf("after Delete: got %+v, error %v, want 1 segment", got, err)
	}
	wantGood(t, r, second(2))
}

// TestCollectRefuses: while a manifest cannot be read, its segments are not known, and nothing goes.
func TestCollectRefuses(t *testing.T) {
	r, store := create(t)
	mustRun(t, r, second(1), rows(1, 100))
	mustRun(t, r, second(2), rows(2, 100))
	before := objects(t, store)
	flip(t, store, manifestObject(second(1)), 250)
	_, err := r.Collect(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the manifest of "+string(second(1))+" cannot be read") {
		t.Errorf("got error %v, want one that names the manifest", err)
	}
	if got := objects(t, store); got != before {
		t.Errorf("objects: got %d, want all %d", got, before)
	}
	check(t, r.Delete(t.Context(), second(1)))
	if got, err := r.Collect(t.Context()); err != nil || got.Segments != 1 {
		t.Errorf("without it: got %+v, error %v, want 1 segment", got, err)
	}
	wantGood(t, r, second(2))
}

// TestCollectKeepsBases: the base of a delta that a newer program wrote is named by the manifest, and stays.
func TestCollectKeepsBases(t *testing.T) {
	r, _ := create(t)
	base := mustRun(t, r, second(1), rows(1, 100)).Services[0].Databases[0].Tables[0].Segments[0]
	w, err := r.NewWriter(t.Context(), 1, nil)
	check(t, err)
	c, err := w.Rows(bytes.NewReader(rows(2, 100)))
	check(t, err)
	_, err = w.Close()
	check(t, err)
	c.Segments[0].Base = base.Name
	db := backup.Database{Tables: []backup.Table{{Content: c}}}
	check(t, r.Commit(t.Context(), &backup.Manifest{Schema: 1, ID: second(2), Services: []backup.Service{{Databases: []backup.Database{db}}}}))
	check(t, r.Delete(t.Context(), second(1)))
	if got, err := r.Collect(t.Context()); err != nil || got.Segments != 1 { // the first backup's head
		t.Errorf("got %+v, error %v, want 1 segment", got, err)
	}
	if got, err := r.segments(t.Context()); err != nil || got[base.Name] == 0 {
		t.Errorf("the base is gone, error %v", err)
	}
}

// TestTwoWriters: runs of two services at once share what is equal and harm nothing.
func TestTwoWriters(t *testing.T) {
	r, _ := create(t)
	shared := rows(1, 10_000)
	var group sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		group.Go(func() { _, errs[i] = run(t.Context(), r, second(i), shared, rows(i+2, 1000), shared) })
	}
	group.Wait()
	check(t, errors.Join(errs...))
	for i := range errs {
		wantGood(t, r, second(i))
	}
	if got, err := r.Collect(t.Context()); err != nil || got.Segments != 0 {
		t.Errorf("collect: got %+v, error %v, want nothing", got, err)
	}
}

// TestCancel: a cancelled run ends with the cause, and ends its workers.
func TestCancel(t *testing.T) {
	r, _ := create(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	w, err := r.NewWriter(ctx, 2, nil)
	check(t, err)
	_, err = w.Rows(bytes.NewReader(rows(1, 1000)))
	check(t, err)
	cause := errors.New("the user had enough")
	cancel(cause)
	_, err = w.Rows(bytes.NewReader(rows(1, 200_000)))
	if !errors.Is(err, cause) {
		t.Errorf("rows: got error %v, want %v", err, cause)
	}
	if _, err := w.Close(); !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
		t.Errorf("close: got error %v, want %v", err, cause)
	}
}

// TestFullStore: the error of a store that takes no more comes through, and earlier backups stay.
func TestFullStore(t *testing.T) {
	r, store := create(t)
	mustRun(t, r, second(1), rows(1, 100))
	full := errors.New("no space left on device")
	_, err := run(t.Context(), r.through(t, refusing{store, full}), second(2), rows(2, 100_000))
	if !errors.Is(err, full) {
		t.Errorf("got error %v, want %v", err, full)
	}
	wantGood(t, r, second(1))
}

type refusing struct {
	*local.Store
	err error
}

func (r refusing) Put(context.Context, string, []byte) error { return r.err }
