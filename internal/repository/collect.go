package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Collected is what Collect removed.
type Collected struct {
	Segments int
	Bytes    int64 // sealed
}

// Collect removes the segments that no manifest refers to, and what cut-off writes left. Nobody may write to the
// repository meanwhile: the caller holds its lock exclusively. It refuses to remove anything while a manifest cannot be read,
// since that one's segments are not known. It can be killed at any point and be run again: manifests go before
// segments, never after.
func (r *Repository) Collect(ctx context.Context) (Collected, error) {
	needed, err := r.needed(ctx)
	if err != nil {
		return Collected{}, err
	}
	var garbage []backup.Object
	err = r.store.List(ctx, segmentsPrefix, func(o backup.Object) error {
		if !needed[o.Name[strings.LastIndexByte(o.Name, '/')+1:]] {
			garbage = append(garbage, o)
		}
		return nil
	})
	if err != nil {
		return Collected{}, fmt.Errorf("list segments: %w", err)
	}
	var done Collected
	for _, o := range garbage {
		if err := r.store.Delete(ctx, o.Name); err != nil {
			return done, fmt.Errorf("remove segment: %w", err)
		}
		done.Segments++
		done.Bytes += o.Size
	}
	if s, ok := r.store.(interface{ Sweep() error }); ok {
		if err := s.Sweep(); err != nil {
			return done, fmt.Errorf("remove unfinished files: %w", err)
		}
	}
	return done, nil
}

// needed is the set of segments that manifests refer to.
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
