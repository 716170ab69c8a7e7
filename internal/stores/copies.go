package stores

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
)

// Summaries are the backups of a service ("" for all) in a place, newest first, as far as a listing needs them. The name may bear a type; one that no
// service can have is a *backup.Problem.
func (s Stores) Summaries(ctx context.Context, repo *repository.Repository, at, service string) ([]repository.Summary, error) {
	typ, name, err := backup.SplitService(service)
	if err != nil {
		return nil, err
	}
	index := filepath.Join(s.Dir, indexFile)
	if at != Here {
		index = s.path(at, indexFile)
	}
	all, err := repo.Summaries(ctx, name, index)
	if typ != "" {
		all = slices.DeleteFunc(all, func(b repository.Summary) bool { return !b.Unreadable && b.Type != typ })
	}
	return all, err
}

// Remembered is what this host remembers of a store.
func (s Stores) Remembered(name string) (*repository.Copy, error) {
	c := &repository.Copy{}
	text, err := os.ReadFile(s.path(name, copyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is remembered of store %q: %w", name, err)
	}
	if json.Unmarshal(text, c) != nil {
		return &repository.Copy{}, nil // a memory only: the store itself is asked again
	}
	return c, nil
}

// Remember replaces what is remembered of a store. The caller holds it.
func (s Stores) Remember(name string, c *repository.Copy) error {
	return atomicfile.ReplaceJSON(s.path(name, copyFile), c)
}

// Copies tells, for a backup, which stores have it and which lack it, as far as this host remembers.
type Copies struct {
	ByStore map[string]*repository.Copy
	names   []string
}

// Copies is what is remembered of all stores that backups are sent to.
func (s Stores) Copies() (Copies, error) {
	all, err := s.Addressed()
	if err != nil {
		return Copies{}, err
	}
	c := Copies{ByStore: map[string]*repository.Copy{}}
	for _, r := range all {
		c.names = append(c.names, r.Name)
		if c.ByStore[r.Name], err = s.Remembered(r.Name); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Of is the state of a backup in each store, those left out whose own retention does not keep it.
func (c Copies) Of(id backup.ID) []CopyState {
	var states []CopyState
	for _, name := range c.names {
		state := CopyState{Store: name, Confirmed: c.ByStore[name].Confirmed[id]}
		if state.Confirmed.IsZero() && c.ByStore[name].Unwanted[id] {
			continue
		}
		if v, verified := c.ByStore[name].Verified[id]; verified {
			state.Verified = &v
		}
		states = append(states, state)
	}
	return states
}

// CopyState says whether a store has a backup: when that was confirmed, or never.
type CopyState struct {
	Store     string           `json:"store"`
	Confirmed time.Time        `json:"confirmed_at,omitzero"`
	Verified  *backup.Verified `json:"verified,omitempty"` // by verify --from
}

// Missing are the stores that lack the backup.
func Missing(states []CopyState) []string {
	var names []string
	for _, s := range states {
		if s.Confirmed.IsZero() {
			names = append(names, s.Store)
		}
	}
	return names
}
