package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Collected is what Collect removed.
type Collected struct {
	Segments int
	Bytes    int64 // sealed
}

// Collect removes the segments that no manifest refers to, marks of backups that are gone, and what cut-off writes left. Nobody may write to
// the repository meanwhile: the caller holds its lock exclusively. It refuses to remove anything while a manifest cannot be read,
// since that one's segments are not known. It can be killed at any point and be run again: manifests go before
// segments, never after.
func (r *Repository) Collect(ctx context.Context) (Collected, error) {
	needed, err := r.needed(ctx)
	if err != nil {
		return Collected{}, err
	}
	var garbage []backup.Object
	for _, prefix := range []string{segmentsPrefix, marksPrefix} {
		err = r.store.List(ctx, prefix, func(o backup.Object) error {
			of := o.Name[strings.LastIndexByte(o.Name, '/')+1:]
			if prefix == marksPrefix {
				of = string(markedBackup(o.Name))
			}
			if !needed[of] {
				o.Name = strings.Clone(o.Name)
				garbage = append(garbage, o)
			}
			return nil
		})
		if err != nil {
			return Collected{}, fmt.Errorf("list %s: %w", prefix, err)
		}
	}
	done, err := r.sweep(ctx, garbage)
	if err != nil {
		return done, err
	}
	if s, ok := r.store.(interface{ Sweep() error }); ok {
		if err := s.Sweep(); err != nil {
			return done, fmt.Errorf("remove unfinished files: %w", err)
		}
	}
	return done, nil
}

// sweep deletes objects, several at once.
func (r *Repository) sweep(ctx context.Context, garbage []backup.Object) (Collected, error) {
	var mu sync.Mutex
	var done Collected
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(listWorkers)
	for _, o := range garbage {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := r.store.Delete(groupCtx, o.Name); err != nil {
				return fmt.Errorf("remove %s: %w", shortName(o.Name), err)
			}
			if strings.HasPrefix(o.Name, segmentsPrefix) {
				mu.Lock()
				defer mu.Unlock()
				done.Segments++
				done.Bytes += o.Size
			}
			return nil
		})
	}
	err := group.Wait()
	return done, errors.Join(err, ctx.Err())
}

// needed names the backups that there are, and the segments that they refer to.
func (r *Repository) needed(ctx context.Context) (map[string]bool, error) {
	entries, err := r.List(ctx, "")
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, e := range entries {
		var newer *backup.Problem
		if errors.As(e.Err, &newer) {
			return nil, &backup.Problem{Message: "no space can be freed: " + newer.Message, Hints: newer.Hints, Err: newer}
		}
		if e.Manifest == nil {
			return nil, &backup.Problem{
				Message: fmt.Sprintf("no space can be freed while the manifest of %s cannot be read: what it needs is not known", e.ID),
				Hints:   []string{fmt.Sprintf("put it back from a copy of the repository, or give it up: dokku backup:delete %s", e.ID)},
				Err:     e.Err,
			}
		}
		needed[string(e.ID)] = true
		e.Manifest.Contents(func(_ string, c *backup.Content) error {
			for _, s := range c.Segments {
				needed[s.Name] = true
				needed[s.Base] = true // of a delta that a newer program wrote
			}
			return nil
		})
	}
	return needed, nil
}
