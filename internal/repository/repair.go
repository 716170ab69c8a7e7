package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Repaired is what Repair brought.
type Repaired struct {
	Segments int   `json:"segments"`
	Marks    int   `json:"marks"`
	Manifest bool  `json:"manifest"`
	Bytes    int64 `json:"bytes"` // sealed, of the segments
}

// Repair replaces each segment of a backup, and its manifest, that is missing or damaged by the one of source, another copy of the same
// repository, after that was checked. What is damaged there too stays, and is told by the error, a *DamageError, when all else is mended.
func (r *Repository) Repair(ctx context.Context, id backup.ID, source *Repository) (Repaired, error) {
	var done Repaired
	manifest, err := r.Manifest(ctx, id)
	if errors.As(err, new(*DamageError)) || errors.Is(err, fs.ErrNotExist) {
		if manifest, err = source.Manifest(ctx, id); err != nil {
			return done, err
		}
		done.Manifest = true
	}
	if err != nil {
		return done, err
	}
	var lost error
	for _, s := range distinct(manifest) {
		brought, err := r.mend(ctx, s, source)
		if errors.As(err, new(*DamageError)) {
			lost = err
			continue
		}
		if err != nil {
			return done, err
		}
		if brought > 0 {
			done.Segments++
			done.Bytes += brought
		}
	}
	for _, kind := range markKinds {
		name := markObject(id, kind)
		if _, err := r.getRecord(ctx, name); !errors.As(err, new(*DamageError)) {
			continue
		}
		if _, err := source.getRecord(ctx, name); err != nil {
			lost = errors.Join(lost, err)
			continue
		}
		if err := copyObject(ctx, source.store, r.store, name); err != nil {
			return done, err
		}
		done.Marks++
	}
	if lost != nil || !done.Manifest {
		return done, lost
	}
	return done, copyObject(ctx, source.store, r.store, manifestObject(id)) // last, as always
}

// mend replaces a segment that is not what it should be, and tells how many bytes it brought: 0 for one that was whole.
func (r *Repository) mend(ctx context.Context, s *backup.Segment, source *Repository) (int64, error) {
	got := r.fetch(ctx, s)
	if got.err == nil || !errors.As(got.err, new(*DamageError)) {
		return 0, got.err
	}
	if got := source.fetch(ctx, s); got.err != nil {
		return 0, got.err
	}
	object, err := source.store.Get(ctx, segmentObject(s.Name))
	if err != nil {
		return 0, err
	}
	if err := r.store.Put(ctx, segmentObject(s.Name), object); err != nil {
		return 0, fmt.Errorf("store segment: %w", err)
	}
	return int64(len(object)), r.fetch(ctx, s).err
}

func copyObject(ctx context.Context, from, to backup.Store, name string) error {
	object, err := from.Get(ctx, name)
	if err != nil {
		return err
	}
	return to.Put(ctx, name, object)
}

// distinct are the segments of a backup, each once.
func distinct(m *backup.Manifest) []*backup.Segment {
	var all []*backup.Segment
	seen := map[string]bool{}
	m.Contents(func(_ string, c *backup.Content) error {
		for _, s := range c.Segments {
			if !seen[s.Name] {
				seen[s.Name] = true
				all = append(all, s)
			}
		}
		return nil
	})
	return all
}

// Sample looks that all segments of a backup are there in full size, and reads a random share of them, one at least: share is above 0 and at
// most 1. Segments that were read are checked against their names. Tables are not counted again: that is Verify's.
func (r *Repository) Sample(ctx context.Context, m *backup.Manifest, share float64, progress func(n int64)) (backup.Verified, error) {
	result := backup.Verified{Share: share}
	if _, _, err := r.Check(ctx, m); err != nil {
		if damage := (*DamageError)(nil); errors.As(err, &damage) {
			result.Problems = append(result.Problems, damage.Error())
			return result, nil
		}
		return result, err
	}
	all := distinct(m)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	chosen := all[:min(len(all), int(share*float64(len(all)))+1)]
	found := make([]error, len(chosen))
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(ahead)
	for i, s := range chosen {
		group.Go(func() error {
			got := r.fetch(groupCtx, s)
			if found[i] = got.err; got.err != nil && !errors.As(got.err, new(*DamageError)) {
				return got.err
			}
			mu.Lock()
			defer mu.Unlock()
			progress(s.Bytes)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return result, err
	}
	result.Segments, result.Of = len(chosen), len(all)
	for _, err := range found {
		if err != nil {
			result.Problems = append(result.Problems, err.Error())
		}
	}
	return result, nil
}
