package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// memory is a store in memory: a disk's flushes would take most of the time of thousands of histories.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

func (m *memory) Put(_ context.Context, name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[name] = slices.Clone(data)
	return nil
}

func (m *memory) Get(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, there := m.objects[name]
	if !there {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(data), nil
}

func (m *memory) List(_ context.Context, prefix string, fn func(backup.Object) error) error {
	m.mu.Lock()
	var found []backup.Object
	for _, name := range slices.Sorted(maps.Keys(m.objects)) {
		if strings.HasPrefix(name, prefix) {
			found = append(found, backup.Object{Name: name, Size: int64(len(m.objects[name]))})
		}
	}
	m.mu.Unlock()
	for _, o := range found {
		if err := fn(o); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

// life is a random history of a repository: backups, marks and prunes, any of which may die before or after any of its changes.
type life struct {
	t      *testing.T
	random *rand.Rand
	store  *memory
	repo   *Repository
	clock  int                  // seconds
	there  map[backup.ID]string // backups that must be there, with a word on what was done last
	doubt  map[backup.ID]bool   // backups that may be there or not, since the run that made or removed them died
	deaths int
}

// TestHistories lives through random histories with retention. What retention keeps is there and reads back whole whenever a run died, nothing
// protected is gone, and in the end only what is kept takes space. HISTORIES is how many.
func TestHistories(t *testing.T) {
	histories := 400
	if n, err := strconv.Atoi(os.Getenv("HISTORIES")); err == nil {
		histories = n
	}
	if raceEnabled {
		histories /= 10
	}
	identity := newIdentity(t)
	var mu sync.Mutex
	var group sync.WaitGroup
	deaths, removed := 0, 0
	seeds := make(chan int)
	for range 2 {
		group.Go(func() {
			for seed := range seeds {
				l := newLife(t, uint64(seed), identity)
				gone := l.live()
				mu.Lock()
				deaths, removed = deaths+l.deaths, removed+gone
				mu.Unlock()
			}
		})
	}
	for seed := range histories {
		seeds <- seed
	}
	close(seeds)
	group.Wait()
	t.Logf("%d histories, %d deaths, %d backups removed", histories, deaths, removed)
	if deaths < histories || removed < histories {
		t.Errorf("the histories prove little: %d deaths, %d backups removed", deaths, removed)
	}
}

func newLife(t *testing.T, seed uint64, identity *age.X25519Identity) *life {
	l := &life{
		t: t, random: rand.New(rand.NewPCG(seed, 2)), store: &memory{objects: map[string][]byte{}},
		there: map[backup.ID]string{}, doubt: map[backup.ID]bool{},
	}
	var err error
	if l.repo, err = Create(t.Context(), l.store, identity); err != nil {
		t.Error(err)
	}
	return l
}

// live returns how many backups were removed.
func (l *life) live() (removed int) {
	for range 4 + l.random.IntN(10) {
		l.clock += 1 + l.random.IntN(40*3600)
		switch l.random.IntN(8) {
		case 0, 1, 2, 3:
			l.create()
		case 4, 5:
			removed += l.prune()
		case 6:
			l.mark()
		case 7:
			l.unpin()
		}
	}
	removed += l.prune()
	l.settle()
	return removed
}

// mortally runs a change through a store that may die, and tells whether it did.
func (l *life) mortally(do func(*Repository) error) (died bool) {
	lives := 1 << 30
	if l.random.IntN(2) == 0 {
		lives = 1 + l.random.IntN(6)
	}
	err := do(l.repo.At(&mortal{Store: l.store, lives: lives, before: l.random.IntN(2) == 0}))
	if err != nil && !errors.Is(err, errDead) {
		l.t.Errorf("got error %v, want none but that of a death", err)
	}
	if err != nil {
		l.deaths++
	}
	return err != nil
}

func (l *life) now() time.Time { return time.Unix(1_800_000_000+int64(l.clock), 0) }

func (l *life) create() {
	id := backup.NewID(service, l.now())
	contents := []string{fmt.Sprint("shared ", l.random.IntN(6)), fmt.Sprint("shared ", l.random.IntN(6)), "own of " + string(id)}
	died := l.mortally(func(r *Repository) error { return small(l.t.Context(), r, id, contents) })
	if died {
		l.doubt[id] = true
	} else {
		l.there[id] = "created"
	}
	l.look("create")
}

// small makes a backup of a few bytes, as capture does.
func small(ctx context.Context, r *Repository, id backup.ID, contents []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := r.NewWriter(ctx, 1, nil)
	if err != nil {
		return err
	}
	m := &backup.Manifest{Schema: backup.Schema, ID: id, State: backup.Complete, Services: []backup.Service{{Type: "postgres", Name: service}}}
	for _, text := range contents {
		content, err := w.Bytes(strings.NewReader(text))
		if err != nil {
			return err
		}
		m.Apps = append(m.Apps, backup.App{Name: "happycows", Config: content})
	}
	if m.Stored, err = w.Close(); err != nil {
		return err
	}
	return r.Commit(ctx, m)
}

// any is a backup that is there, "" without one.
func (l *life) any() backup.ID {
	ids := slices.Sorted(maps.Keys(l.there))
	if len(ids) == 0 {
		return ""
	}
	return ids[l.random.IntN(len(ids))]
}

func (l *life) mark() {
	id := l.any()
	if id == "" {
		return
	}
	l.mortally(func(r *Repository) error {
		switch l.random.IntN(4) {
		case 0:
			return r.SetVerified(l.t.Context(), id, backup.Verified{At: l.now(), Problems: []string{"a segment is damaged"}})
		case 1:
			return r.SetVerified(l.t.Context(), id, backup.Verified{At: l.now()})
		case 2:
			return r.SetPractised(l.t.Context(), id, &backup.Report{Passed: l.random.IntN(3) > 0})
		}
		return r.Pin(l.t.Context(), id, backup.Pinned{At: l.now()})
	})
	l.look("mark")
}

func (l *life) unpin() {
	if id := l.any(); id != "" {
		l.mortally(func(r *Repository) error { return r.Unpin(l.t.Context(), id) })
		l.look("unpin")
	}
}

// candidates are the backups as retention sees them.
func (l *life) candidates() (all []backup.Candidate) {
	entries, err := l.repo.List(l.t.Context(), service)
	if err != nil {
		l.t.Error(err)
	}
	for _, e := range entries {
		v, p := e.Marks.Verified, e.Marks.Practised
		all = append(all, backup.Candidate{
			ID: e.ID, Unreadable: e.Err != nil, Damaged: v != nil && !v.OK(), Pinned: e.Marks.Pinned != nil,
			Practised: p != nil && p.Passed, PracticeFailed: p != nil && !p.Passed,
		})
	}
	return all
}

func (l *life) prune() (removed int) {
	rule := backup.Retention{KeepLast: l.random.IntN(3), KeepDaily: l.random.IntN(3), MaxTotal: int64(l.random.IntN(2) * 2000 * l.random.IntN(5))}
	var gone []backup.ID
	sizes := NewSizes()
	all := l.candidates()
	var ids []backup.ID
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	if err := sizes.Add(l.t.Context(), l.repo, ids); err != nil {
		l.t.Error(err)
	}
	for _, d := range rule.Plan(all, l.now(), sizes.Of) {
		if d.Keep {
			l.there[d.ID] = fmt.Sprintf("kept by %v", d.Rules)
		} else {
			gone = append(gone, d.ID)
			delete(l.there, d.ID)
			l.doubt[d.ID] = true
		}
	}
	died := l.mortally(func(r *Repository) error {
		if err := r.Delete(l.t.Context(), gone...); err != nil {
			return err
		}
		_, err := r.Collect(l.t.Context())
		return err
	})
	if !died {
		for _, id := range gone {
			delete(l.doubt, id)
		}
	}
	l.look("prune")
	l.read("prune")
	return len(gone)
}

// look sees that what must be there is, and that nothing is there that must not be.
func (l *life) look(after string) {
	there, err := l.repo.Look(l.t.Context())
	if err != nil {
		l.t.Errorf("after %s: %v", after, err)
		return
	}
	for _, id := range there.Backups {
		if l.there[id] == "" && !l.doubt[id] {
			l.t.Errorf("after %s: %s is there, want it removed", after, id)
		}
	}
	for id, why := range l.there {
		if !slices.Contains(there.Backups, id) {
			l.t.Errorf("after %s: %s (%s) is gone", after, id, why)
		}
	}
}

// read sees that all that is there reads back whole.
func (l *life) read(after string) {
	entries, err := l.repo.List(l.t.Context(), "")
	if err != nil {
		l.t.Errorf("after %s: %v", after, err)
	}
	for _, e := range entries {
		if e.Err != nil {
			l.t.Errorf("after %s, %s: %v", after, e.ID, e.Err)
			continue
		}
		if result, err := l.repo.Verify(l.t.Context(), e.Manifest, func(int64) {}); err != nil || !result.OK() || result.Segments == 0 {
			l.t.Errorf("after %s: verify %s: got %+v, error %v, want all of it whole", after, e.ID, result, err)
		}
	}
}

// settle collects, and sees that only what backups need takes space.
func (l *life) settle() {
	if _, err := l.repo.Collect(l.t.Context()); err != nil {
		l.t.Error(err)
	}
	l.look("collect")
	l.read("collect")
	needed, err := l.repo.needed(l.t.Context())
	if err != nil {
		l.t.Error(err)
	}
	for name := range l.store.objects {
		parts := strings.Split(name, "/")
		switch {
		case strings.HasPrefix(name, segmentsPrefix) && !needed[parts[2]], strings.HasPrefix(name, marksPrefix) && !needed[parts[2]]:
			l.t.Errorf("after collect: %s is left, and nothing needs it", name)
		}
	}
}
