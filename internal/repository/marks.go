package repository

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

const marksPrefix = "marks/"

// The kinds of marks, each an object of its own, so that setting one never loses another.
const (
	markPinned    = "pinned"
	markVerified  = "verified"
	markPractised = "practised"
)

var markKinds = []string{markPinned, markVerified, markPractised}

func markObject(id backup.ID, kind string) string {
	return marksPrefix + id.Service() + "/" + string(id) + "/" + kind
}

// Pin marks a backup as never to be removed.
func (r *Repository) Pin(ctx context.Context, id backup.ID, mark backup.Pinned) error {
	return r.putRecord(ctx, markObject(id, markPinned), mark)
}

// Unpin takes that back.
func (r *Repository) Unpin(ctx context.Context, id backup.ID) error {
	if err := r.store.Delete(ctx, markObject(id, markPinned)); err != nil {
		return fmt.Errorf("unpin %s: %w", id, err)
	}
	return nil
}

// SetVerified keeps the result of a verify.
func (r *Repository) SetVerified(ctx context.Context, id backup.ID, mark backup.Verified) error {
	return r.putRecord(ctx, markObject(id, markVerified), mark)
}

// SetPractised keeps the report of a practice run.
func (r *Repository) SetPractised(ctx context.Context, id backup.ID, report *backup.Report) error {
	return r.putRecord(ctx, markObject(id, markPractised), report)
}

// Marks reads the marks of one backup.
func (r *Repository) Marks(ctx context.Context, id backup.ID) (backup.Marks, error) {
	marked, err := r.markedObjects(ctx, id.Service())
	if err != nil {
		return backup.Marks{}, err
	}
	return r.marks(ctx, id, marked)
}

// markedObjects lists the objects of all marks, or of one service's.
func (r *Repository) markedObjects(ctx context.Context, service string) (map[string]bool, error) {
	prefix := marksPrefix
	if service != "" {
		prefix += service + "/"
	}
	marked := map[string]bool{}
	err := r.store.List(ctx, prefix, func(o backup.Object) error {
		marked[strings.Clone(o.Name)] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list marks: %w", err)
	}
	return marked, nil
}

func (r *Repository) marks(ctx context.Context, id backup.ID, marked map[string]bool) (backup.Marks, error) {
	var m backup.Marks
	for kind, v := range map[string]any{markPinned: &m.Pinned, markVerified: &m.Verified, markPractised: &m.Practised} {
		name := markObject(id, kind)
		if !marked[name] {
			continue
		}
		text, err := r.getRecord(ctx, name)
		if err != nil {
			return backup.Marks{}, err
		}
		if err := json.Unmarshal(text, v); err != nil {
			return backup.Marks{}, &DamageError{name, "not as its schema says"}
		}
	}
	return m, nil
}
