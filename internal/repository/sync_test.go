package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

var thisHost = Host{ID: "A", Name: "one.example"}

// counting counts what reaches a store.
type counting struct {
	backup.Store
	mu                     sync.Mutex
	puts, lists, gets, del int
	sent                   int64
}

func (c *counting) count(n *int, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
	c.sent += int64(bytes)
}

func (c *counting) Put(ctx context.Context, name string, data []byte) error {
	c.count(&c.puts, len(data))
	return c.Store.Put(ctx, name, data)
}

func (c *counting) Get(ctx context.Context, name string) ([]byte, error) {
	c.count(&c.gets, 0)
	return c.Store.Get(ctx, name)
}

func (c *counting) List(ctx context.Context, prefix string, fn func(backup.Object) error) error {
	c.count(&c.lists, 0)
	return c.Store.List(ctx, prefix, fn)
}

func (c *counting) Delete(ctx context.Context, name string) error {
	c.count(&c.del, 0)
	return c.Store.Delete(ctx, name)
}

func mirror(r *Repository, to backup.Store, remembered *Copy) *Mirror {
	return &Mirror{From: r, To: to, Host: thisHost, Copy: remembered, Workers: 4, Keep: func() error { return nil }}
}

// wantSame sees that the copy holds every object of the original as it is, and opens on its own.
func wantSame(t *testing.T, r *Repository, to backup.Store) {
	t.Helper()
	names := 0
	check(t, r.store.List(t.Context(), "", func(o backup.Object) error {
		names++
		want, err := r.store.Get(t.Context(), o.Name)
		check(t, err)
		got, err := to.Get(t.Context(), o.Name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes and error %v, want %d bytes", o.Name, len(got), err, len(want))
		}
		return nil
	}))
	there, err := Open(t.Context(), to, with(r.origin))
	check(t, err)
	entries, err := there.List(t.Context(), "")
	check(t, err)
	for _, e := range entries {
		check(t, e.Err)
		wantGood(t, there, e.ID)
	}
	if names == 0 || len(entries) == 0 {
		t.Error("there is nothing to compare")
	}
}

func TestSync(t *testing.T) {
	r, _ := create(t)
	to := &counting{Store: local.New(t.TempDir())}
	remembered := &Copy{}
	many := make([][]byte, 40) // more segments than are asked for one by one
	for i := range many {
		many[i] = rows(i+1, 50)
	}
	mustRun(t, r, second(1), many...)
	mustRun(t, r, second(2), append(slices.Clone(many[:30]), rows(90, 60))...)
	check(t, r.Pin(t.Context(), second(1), backup.Pinned{At: time.Now()}))
	m := mirror(r, to, remembered)
	check(t, m.Sync(t.Context()))
	wantSame(t, r, to)
	if m.Sent != 2 || len(remembered.Confirmed) != 2 || remembered.Newest != second(2) {
		t.Errorf("got %d sent, %v confirmed, newest %s; want 2 and %s", m.Sent, remembered.Confirmed, remembered.Newest, second(2))
	}

	before := to.puts
	check(t, mirror(r, to, remembered).Sync(t.Context()))
	if to.puts != before {
		t.Errorf("nothing changed: got %d puts, want none", to.puts-before)
	}

	// A backup in which nothing changed but the head of its dump costs a bounded number of requests, however many segments there are.
	mustRun(t, r, second(3), append(slices.Clone(many[:30]), rows(90, 60))...)
	puts, lists, gets := to.puts, to.lists, to.gets
	check(t, mirror(r, to, remembered).Sync(t.Context()))
	if puts, requests := to.puts-puts, to.puts+to.lists+to.gets-puts-lists-gets; puts != 1 || requests > 8 {
		t.Errorf("an unchanged backup: got %d puts and %d requests, want 1 and at most 8", puts, requests)
	}
	wantSame(t, r, to)

	check(t, r.Unpin(t.Context(), second(1)))
	check(t, r.SetVerified(t.Context(), second(3), backup.Verified{At: time.Now(), Segments: 5}))
	check(t, mirror(r, to, remembered).Sync(t.Context()))
	wantSame(t, r, to)
	there, err := Open(t.Context(), to, with(r.origin))
	check(t, err)
	if marks, err := there.Marks(t.Context(), second(1)); err != nil || marks.Pinned != nil {
		t.Errorf("unpinned here: got %+v there, error %v, want no pin", marks.Pinned, err)
	}

	// What is deleted here stays there.
	check(t, r.Delete(t.Context(), second(1)))
	if _, err := r.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, mirror(r, to, remembered).Sync(t.Context()))
	wantGood(t, there, second(1))
	wantSame(t, r, to)
}

// TestSyncHeals: what a listing shows to be missing or short is sent again, and until then it is not confirmed.
func TestSyncHeals(t *testing.T) {
	r, _ := create(t)
	to := local.New(t.TempDir())
	m := mustRun(t, r, second(1), rows(1, 100), rows(2, 100), rows(3, 100))
	remembered := &Copy{}
	check(t, mirror(r, to, remembered).Sync(t.Context()))
	names := segmentNames(m)
	short := readFile(t, to, segmentObject(names[0]))
	for what, harm := range map[string]func(){
		"short segment":    func() { writeFile(t, to, segmentObject(names[0]), short[:len(short)/2]) },
		"missing segment":  func() { check(t, to.Delete(t.Context(), segmentObject(names[1]))) },
		"missing manifest": func() { check(t, to.Delete(t.Context(), manifestObject(second(1)))) },
	} {
		harm()
		there, err := r.At(to).Look(t.Context())
		check(t, err)
		lacking, err := r.Lacking(t.Context(), there)
		check(t, err)
		if len(lacking) != 1 {
			t.Errorf("%s: got %v lacking, want the backup", what, lacking)
		}
		remembered.Looked = time.Time{} // as backup:sync does
		check(t, mirror(r, to, remembered).Sync(t.Context()))
		wantSame(t, r, to)
	}
}

func TestSyncRefuses(t *testing.T) {
	r, store := create(t)
	m := mustRun(t, r, second(1), rows(1, 100))
	mustRun(t, r, second(2), rows(2, 100))

	t.Run("another host", func(t *testing.T) {
		to := local.New(t.TempDir())
		check(t, mirror(r, to, &Copy{}).Sync(t.Context()))
		other := mirror(r, to, &Copy{})
		other.Host = Host{ID: "B", Name: "two.example"}
		var refused *OtherWriterError
		if err := other.Sync(t.Context()); !errors.As(err, &refused) || refused.Writer.Name != "one.example" {
			t.Errorf("got error %v, want an OtherWriterError of one.example", err)
		}
		check(t, r.At(to).TakeOver(t.Context(), other.Host))
		check(t, other.Sync(t.Context()))
		if err := mirror(r, to, &Copy{}).Sync(t.Context()); !errors.As(err, &refused) {
			t.Errorf("the host before: got error %v, want an OtherWriterError", err)
		}
	})
	t.Run("another repository", func(t *testing.T) {
		_, foreign := create(t)
		if err := mirror(r, foreign, &Copy{}).Sync(t.Context()); exitCode(err) != backup.ExitFailed || !strings.Contains(fmt.Sprint(err), "another repository") {
			t.Errorf("got error %v, want a problem that says so", err)
		}
	})
	t.Run("an empty place where backups were", func(t *testing.T) {
		remembered := &Copy{}
		check(t, mirror(r, local.New(t.TempDir()), remembered).Sync(t.Context()))
		unmounted := local.New(t.TempDir())
		err := mirror(r, unmounted, remembered).Sync(t.Context())
		if exitCode(err) != backup.ExitFailed || !strings.Contains(fmt.Sprint(err), "holds no repository any more") {
			t.Errorf("got error %v, want a problem that says so", err)
		}
		if n := objects(t, unmounted); n != 0 {
			t.Errorf("got %d objects there, want none", n)
		}
	})
	t.Run("damaged here", func(t *testing.T) {
		flip(t, store, segmentObject(m.Services[0].Databases[0].Tables[0].Segments[0].Name), 200)
		to, remembered := local.New(t.TempDir()), &Copy{}
		err := mirror(r, to, remembered).Sync(t.Context())
		if damage := (*DamageError)(nil); !errors.As(err, &damage) || !strings.Contains(err.Error(), string(second(1))) {
			t.Errorf("got error %v, want a DamageError that names the backup", err)
		}
		if got := slices.Collect(maps.Keys(remembered.Confirmed)); !slices.Equal(got, []backup.ID{second(2)}) {
			t.Errorf("confirmed: got %v, want the other backup", got)
		}
		there, err := Open(t.Context(), to, with(r.origin))
		check(t, err)
		entries, err := there.List(t.Context(), "")
		if err != nil || len(entries) != 1 {
			t.Errorf("there: got %d backups, error %v, want 1", len(entries), err)
		}
	})
}

// TestKilledWhileSyncing kills a sync at each of its changes in the store. What is listed there is whole, and the next sync goes on.
func TestKilledWhileSyncing(t *testing.T) {
	r, _ := create(t)
	mustRun(t, r, second(1), rows(1, 100), rows(2, 100))
	mustRun(t, r, second(2), rows(1, 100), rows(3, 100))
	check(t, r.Pin(t.Context(), second(1), backup.Pinned{}))
	untilItLives(t, 8, func(t *testing.T, lives int, before bool) error {
		to, remembered := local.New(t.TempDir()), &Copy{}
		died := mirror(r, &mortal{Store: to, lives: lives, before: before}, remembered).Sync(t.Context())
		if there, err := Open(t.Context(), to, with(r.origin)); err == nil {
			entries, err := there.List(t.Context(), "")
			check(t, err)
			for _, e := range entries {
				wantGood(t, there, e.ID)
			}
		}
		for id := range remembered.Confirmed {
			wantGood(t, r.At(to), id)
		}
		again := &counting{Store: to}
		check(t, mirror(r, again, &Copy{}).Sync(t.Context())) // what it remembered may be lost too
		wantSame(t, r, to)
		return died
	})
}

// TestRepair heals every kind of damage from a copy, whichever object it hit.
func TestRepair(t *testing.T) {
	r, store := create(t)
	m := mustRun(t, r, second(1), rows(1, 100), rows(2, 100), rows(3, 100))
	check(t, r.Pin(t.Context(), second(1), backup.Pinned{}))
	to := local.New(t.TempDir())
	check(t, mirror(r, to, &Copy{}).Sync(t.Context()))
	names := segmentNames(m)
	for what, harm := range map[string]func(){
		"flipped segment":  func() { flip(t, store, segmentObject(names[0]), 200) },
		"missing segment":  func() { check(t, store.Delete(t.Context(), segmentObject(names[1]))) },
		"short segment":    func() { writeFile(t, store, segmentObject(names[2]), []byte("x")) },
		"flipped manifest": func() { flip(t, store, manifestObject(second(1)), 200) },
		"flipped mark":     func() { flip(t, store, markObject(second(1), markPinned), 200) },
		"exchanged segments": func() {
			one, two := readFile(t, store, segmentObject(names[0])), readFile(t, store, segmentObject(names[1]))
			writeFile(t, store, segmentObject(names[0]), two)
			writeFile(t, store, segmentObject(names[1]), one)
		},
	} {
		harm()
		repaired, err := r.Repair(t.Context(), second(1), r.At(to))
		if err != nil || repaired.Segments == 0 && !repaired.Manifest && repaired.Marks == 0 {
			t.Errorf("%s: got %+v, error %v, want something mended", what, repaired, err)
		}
		wantSame(t, r, to)
	}
	flip(t, store, segmentObject(names[0]), 200)
	flip(t, store, segmentObject(names[1]), 200)
	flip(t, to, segmentObject(names[0]), 200)
	repaired, err := r.Repair(t.Context(), second(1), r.At(to))
	if !errors.As(err, new(*DamageError)) || repaired.Segments != 1 {
		t.Errorf("damaged there too: got %+v, error %v, want one segment mended and a DamageError", repaired, err)
	}
}

// TestSample reads a part, and says how much. With all of it, every flipped byte is found.
func TestSample(t *testing.T) {
	r, store := create(t)
	tables := make([][]byte, 30)
	for i := range tables {
		tables[i] = rows(i+1, 20)
	}
	m := mustRun(t, r, second(1), tables...)
	for _, tt := range []struct {
		share float64
		want  int
	}{{0.001, 1}, {0.1, 4}, {1, 31}} {
		result, err := r.Sample(t.Context(), m, tt.share, func(int64) {})
		if err != nil || !result.OK() || result.Segments != tt.want || result.Of != 31 || result.Share != tt.share {
			t.Errorf("share %v: got %+v, error %v, want %d of 31 segments and no problem", tt.share, result, err, tt.want)
		}
	}
	name := segmentObject(segmentNames(m)[rand.IntN(31)])
	flip(t, store, name, 200)
	if result, err := r.Sample(t.Context(), m, 1, func(int64) {}); err != nil || len(result.Problems) != 1 {
		t.Errorf("flipped: got %+v, error %v, want one problem", result, err)
	}
	check(t, store.Delete(t.Context(), name))
	if result, err := r.Sample(t.Context(), m, 0.001, func(int64) {}); err != nil || len(result.Problems) != 1 {
		t.Errorf("missing: got %+v, error %v, want one problem, whichever segment is read", result, err)
	}
}
