package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Listing is what a store holds, as far as names and sizes tell.
type Listing struct {
	At      time.Time // when the listing began
	Objects int64
	Bytes   int64
	Backups []backup.ID      // newest first
	sizes   map[string]int64 // name of an object -> bytes
}

// Look lists the whole store.
func (r *Repository) Look(ctx context.Context) (*Listing, error) {
	l := &Listing{At: time.Now().UTC().Truncate(time.Second), sizes: map[string]int64{}}
	err := r.store.List(ctx, "", func(o backup.Object) error {
		l.Objects++
		l.Bytes += o.Size
		l.sizes[strings.Clone(o.Name)] = o.Size
		id := backup.ID(o.Name[strings.LastIndexByte(o.Name, '/')+1:])
		if _, err := backup.ParseID(string(id)); err == nil && manifestObject(id) == o.Name {
			l.Backups = append(l.Backups, backup.ID(strings.Clone(string(id))))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	slices.SortFunc(l.Backups, newestFirst)
	return l, nil
}

// newestFirst orders ids by the times that they end with, which need not be read for that.
func newestFirst(a, b backup.ID) int {
	return cmp.Or(strings.Compare(ending(b), ending(a)), strings.Compare(string(b), string(a)))
}

// ending is the time of an id as it is written; "" of a name that is too short to hold one.
func ending(id backup.ID) string {
	service := id.Service()
	if service == "" {
		return ""
	}
	return string(id[len(service):])
}

// Lacking names the backups of this repository, newest first, that a copy of it lacks, or has not whole: it compares sizes.
func (r *Repository) Lacking(ctx context.Context, there *Listing) ([]backup.ID, error) {
	here, err := r.Look(ctx)
	if err != nil {
		return nil, err
	}
	var lacking []backup.ID
	for _, id := range here.Backups {
		whole, err := r.wholeIn(ctx, id, here, there)
		if err != nil {
			return nil, err
		}
		if !whole {
			lacking = append(lacking, id)
		}
	}
	return lacking, nil
}

// wholeIn tells whether the manifest of a backup that is here, and all of its segments, are there in the size that they have here.
func (r *Repository) wholeIn(ctx context.Context, id backup.ID, here, there *Listing) (bool, error) {
	if size, ok := there.sizes[manifestObject(id)]; !ok || size != here.sizes[manifestObject(id)] {
		return false, nil
	}
	manifest, err := r.Manifest(ctx, id)
	if errors.As(err, new(*DamageError)) || errors.Is(err, fs.ErrNotExist) {
		return false, nil // damaged here, or deleted meanwhile: nothing is known of it
	}
	if err != nil {
		return false, err
	}
	for _, name := range segmentNames(manifest) {
		size, ok := there.sizes[segmentObject(name)]
		if known, isHere := here.sizes[segmentObject(name)]; !ok || isHere && !r.alike(size, known) {
			return false, nil
		}
	}
	return true, nil
}

// alike tells whether a segment may have these two sizes in two stores, one of which may have been rewrapped and the other not.
func (r *Repository) alike(a, b int64) bool { return r.sizesDiffer[a-b] }

// segmentNames names the segments that a backup needs, each once, bases of deltas included.
func segmentNames(m *backup.Manifest) []string {
	var names []string
	for _, s := range distinct(m) {
		names = append(names, s.Name)
		if s.Base != "" {
			names = append(names, s.Base)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
