package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Copy is what a host remembers of the copy of its repository that a store holds. It is a memory and no proof: a listing makes it true again.
type Copy struct {
	Confirmed map[backup.ID]time.Time       `json:"confirmed"`          // backups that were whole there, and when that was seen
	Marks     map[string]string             `json:"marks"`              // name of a mark here -> the state of it that was copied
	Verified  map[backup.ID]backup.Verified `json:"verified,omitempty"` // what a verify of the copy itself found
	Looked    time.Time                     `json:"looked"`             // when all of the store was listed
	Newest    backup.ID                     `json:"newest,omitempty"`   // there
	Unwanted  map[backup.ID]bool            `json:"unwanted,omitempty"` // backups here that the store's own retention does not keep there: they are not sent
}

// Forget forgets a backup that was deleted there.
func (c *Copy) Forget(id backup.ID) {
	delete(c.Confirmed, id)
	delete(c.Verified, id)
	maps.DeleteFunc(c.Marks, func(name, _ string) bool { return markedBackup(name) == id })
}

// Mirror copies a repository into another store and keeps the copy up to date: only what is lacking is sent, a backup's manifest after
// all of its segments. It may be cut off at any point; the next run goes on there. One run at a time.
type Mirror struct {
	From     *Repository
	To       backup.Store
	Host     Host
	Copy     *Copy            // is kept up to date
	Workers  int              // transfers at once
	Keep     func() error     // keeps Copy; called whenever a backup was confirmed
	Progress func(sent int64) // called with bytes; never at once
	Sent     int              // backups that were sent

	here    *Listing
	there   *Listing // nil until the store was listed
	mu      sync.Mutex
	present map[string]bool // segments that are known to be there in full size
}

// lookAgain is how long the memory of a store is relied on.
const lookAgain = 24 * time.Hour

// few is how many segments are asked for one by one, before all are listed.
const few = 16

// Sync sends all that the store lacks, newest backup first. A backup that is damaged here is left out and told by the error, when all others
// were sent; any other failure ends the run. What the store has and this repository has not stays there.
func (m *Mirror) Sync(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	if age := time.Since(m.Copy.Looked); age > lookAgain || age < 0 {
		if err := m.look(ctx); err != nil {
			return err
		}
	}
	var damaged []error
	for _, id := range m.here.Backups {
		if _, there := m.Copy.Confirmed[id]; there || m.Copy.Unwanted[id] {
			continue
		}
		err := m.send(ctx, id)
		if errors.As(err, new(*DamageError)) {
			damaged = append(damaged, fmt.Errorf("%s cannot be sent: %w", id, err))
			continue
		}
		if err != nil {
			return err
		}
	}
	if err := m.sendMarks(ctx); err != nil {
		return err
	}
	return errors.Join(append(damaged, m.Keep())...)
}

// Look lists the store and finds out which backups are whole there, as far as sizes tell.
func (m *Mirror) Look(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	if err := m.look(ctx); err != nil {
		return err
	}
	return m.Keep()
}

// begin makes sure that the store holds this repository or none, and that this host is the one that writes to it.
func (m *Mirror) begin(ctx context.Context) error {
	if m.Copy.Confirmed == nil {
		m.Copy.Confirmed = map[backup.ID]time.Time{}
	}
	if m.Copy.Marks == nil {
		m.Copy.Marks = map[string]string{}
	}
	m.present = map[string]bool{}
	var err error
	if m.here, err = m.From.Look(ctx); err != nil {
		return err
	}
	_, err = Peek(ctx, m.To)
	if errors.Is(err, fs.ErrNotExist) && len(m.Copy.Confirmed) > 0 {
		return &backup.Problem{
			Message: "the backups that were there are gone: it holds no repository any more",
			Hints:   []string{"is the right disk mounted? if they are lost, remove the store and add it again"},
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := m.From.CopyKeys(ctx, m.To); err != nil {
		return err
	}
	return m.From.At(m.To).Claim(ctx, m.Host)
}

// look lists the store and replaces what was remembered of it.
func (m *Mirror) look(ctx context.Context) error {
	there, err := m.From.At(m.To).Look(ctx)
	if err != nil {
		return err
	}
	confirmed := map[backup.ID]time.Time{}
	for _, id := range m.here.Backups {
		whole, err := m.From.wholeIn(ctx, id, m.here, there)
		if err != nil {
			return err
		}
		if whole {
			confirmed[id] = there.At
		}
	}
	maps.DeleteFunc(m.Copy.Marks, func(name, _ string) bool {
		_, is := there.sizes[name]
		return !is
	})
	m.there, m.Copy.Confirmed, m.Copy.Looked, m.Copy.Newest = there, confirmed, there.At, ""
	if len(there.Backups) > 0 {
		m.Copy.Newest = there.Backups[0]
	}
	return nil
}

// send copies one backup: segments, then the manifest, which is read back.
func (m *Mirror) send(ctx context.Context, id backup.ID) error {
	manifest, err := m.From.Manifest(ctx, id)
	if err != nil {
		return err
	}
	if err := m.rely(ctx, id); err != nil {
		return err
	}
	lacking, err := m.lacking(ctx, manifest)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, m.Workers))
	for _, name := range lacking {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error { return m.sendSegment(groupCtx, name) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := m.sendObject(ctx, manifestObject(id)); err != nil {
		return err
	}
	if err := m.readBack(ctx, manifestObject(id)); err != nil {
		return err
	}
	m.Sent++
	m.Copy.Confirmed[id] = time.Now().UTC().Truncate(time.Second)
	if m.Copy.Newest == "" || newestFirst(id, m.Copy.Newest) < 0 {
		m.Copy.Newest = id
	}
	return m.Keep()
}

// rely takes the segments of the newest confirmed backup of the same service for present, where the store was not listed in this run: what
// did not change need not be asked for.
func (m *Mirror) rely(ctx context.Context, id backup.ID) error {
	if m.there != nil {
		return nil
	}
	for _, earlier := range m.here.Backups {
		if _, confirmed := m.Copy.Confirmed[earlier]; !confirmed || earlier.Service() != id.Service() {
			continue
		}
		manifest, err := m.From.Manifest(ctx, earlier)
		if err != nil {
			return ctx.Err() // damaged here: nothing is relied on
		}
		for _, name := range segmentNames(manifest) {
			m.present[name] = true
		}
		return nil
	}
	return nil
}

// lacking names the segments of a backup that the store has not, or has in another size than this repository.
func (m *Mirror) lacking(ctx context.Context, manifest *backup.Manifest) ([]string, error) {
	var unknown []string
	for _, name := range segmentNames(manifest) {
		if !m.present[name] {
			unknown = append(unknown, name)
		}
	}
	there := m.there
	var err error
	switch {
	case there != nil:
	case len(unknown) <= few:
		there, err = m.askFor(ctx, unknown)
	default:
		m.there, err = m.From.At(m.To).Look(ctx)
		there = m.there
	}
	if err != nil {
		return nil, err
	}
	var lacking []string
	for _, name := range unknown {
		size, ok := there.sizes[segmentObject(name)]
		if known, isHere := m.here.sizes[segmentObject(name)]; !ok || isHere && !m.From.alike(size, known) {
			lacking = append(lacking, name)
		} else {
			m.present[name] = true
		}
	}
	return lacking, nil
}

// askFor finds out, one by one, which of the segments the store has.
func (m *Mirror) askFor(ctx context.Context, names []string) (*Listing, error) {
	there := &Listing{sizes: map[string]int64{}}
	for _, name := range names {
		err := m.To.List(ctx, segmentObject(name), func(o backup.Object) error {
			there.sizes[strings.Clone(o.Name)] = o.Size
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look for segment: %w", err)
		}
	}
	return there, nil
}

func (m *Mirror) sendSegment(ctx context.Context, name string) error {
	if err := m.sendObject(ctx, segmentObject(name)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.present[name] = true
	return nil
}

// sendObject copies one object as it is, after it was seen to be whole here.
func (m *Mirror) sendObject(ctx context.Context, name string) error {
	object, err := m.From.store.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return &DamageError{shortName(name), "missing here"}
	}
	if err != nil {
		return err
	}
	if !m.From.sound(object) {
		return &DamageError{shortName(name), "damaged here"}
	}
	if err := m.To.Put(ctx, name, object); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Progress != nil {
		m.Progress(int64(len(object)))
	}
	return nil
}

// readBack sees that the store gives an object as it is here.
func (m *Mirror) readBack(ctx context.Context, name string) error {
	want, err := m.From.store.Get(ctx, name)
	if err != nil {
		return err
	}
	got, err := m.To.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("read back %s: %w", shortName(name), err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("the store gives back %s otherwise than it was put: %d bytes of %d", shortName(name), len(got), len(want))
	}
	return nil
}

// sendMarks copies the marks that changed here, and takes away those that were taken away here.
func (m *Mirror) sendMarks(ctx context.Context) error {
	here := map[string]string{}
	err := m.From.store.List(ctx, marksPrefix, func(o backup.Object) error {
		here[strings.Clone(o.Name)] = fmt.Sprintf("%d bytes of %s", o.Size, o.ModTime.UTC().Format(time.RFC3339Nano))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list marks: %w", err)
	}
	for name, state := range here {
		if _, confirmed := m.Copy.Confirmed[markedBackup(name)]; !confirmed || m.Copy.Marks[name] == state {
			continue
		}
		err := m.sendObject(ctx, name)
		if errors.As(err, new(*DamageError)) {
			continue // taken away meanwhile, or damaged, which its reader says
		}
		if err != nil {
			return err
		}
		m.Copy.Marks[name] = state
	}
	for name := range m.Copy.Marks {
		_, marked := here[name]
		if marked || !slices.Contains(m.here.Backups, markedBackup(name)) {
			continue // a backup that was deleted here stays there as it was
		}
		if err := m.To.Delete(ctx, name); err != nil {
			return err
		}
		delete(m.Copy.Marks, name)
	}
	return nil
}

// markedBackup is the backup that the mark of this name belongs to.
func markedBackup(name string) backup.ID {
	parts := strings.Split(name, "/")
	return backup.ID(parts[max(0, len(parts)-2)])
}

// shortName is an object's name for a person.
func shortName(name string) string {
	base := name[strings.LastIndexByte(name, '/')+1:]
	switch {
	case strings.HasPrefix(name, segmentsPrefix):
		return "segment " + base[:min(12, len(base))]
	case strings.HasPrefix(name, manifestsPrefix):
		return "the manifest of " + base
	}
	return name
}
