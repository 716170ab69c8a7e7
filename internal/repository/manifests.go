package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

const manifestsPrefix = "backups/"

func manifestObject(id backup.ID) string { return manifestsPrefix + id.Service() + "/" + string(id) }

// Commit writes the manifest: with that the backup exists. Every segment must be stored already (Writer.Close). It refuses
// to replace an earlier backup of the same id, which a clock that was set back can ask for.
func (r *Repository) Commit(ctx context.Context, m *backup.Manifest) error {
	if _, err := r.store.Get(ctx, manifestObject(m.ID)); err == nil {
		return fmt.Errorf("there is a backup %s already; was the clock set back?", m.ID)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for %s: %w", m.ID, err)
	}
	return r.putRecord(ctx, manifestObject(m.ID), m)
}

// Manifest reads the manifest of a backup. The error matches fs.ErrNotExist when there is no such backup, and is a
// *DamageError when it was cut or changed.
func (r *Repository) Manifest(ctx context.Context, id backup.ID) (*backup.Manifest, error) {
	text, err := r.getRecord(ctx, manifestObject(id))
	var damage *DamageError
	if errors.As(err, &damage) {
		return nil, &DamageError{"the manifest of " + string(id), damage.Reason}
	}
	if err != nil {
		return nil, err
	}
	var head struct{ Schema int }
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, &DamageError{"the manifest of " + string(id), "not JSON"}
	}
	if err := backup.CheckSchema(id, head.Schema); err != nil {
		return nil, err
	}
	m := &backup.Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, &DamageError{"the manifest of " + string(id), "not as its schema says"}
	}
	return m, nil
}

// listWorkers is how many manifests are read at once: a store elsewhere takes its time to answer.
const listWorkers = 16

// Entry is a backup as a listing has it. Err is set, and Manifest nil, when the manifest cannot be read.
type Entry struct {
	ID       backup.ID
	Manifest *backup.Manifest
	Marks    backup.Marks
	Err      error
}

// List reads all manifests, or those of one service, newest first. Manifests that cannot be read are entries with
// an error, never left out.
func (r *Repository) List(ctx context.Context, service string) ([]Entry, error) {
	prefix := manifestsPrefix
	if service != "" {
		prefix += service + "/"
	}
	var entries []Entry
	err := r.store.List(ctx, prefix, func(o backup.Object) error {
		id := backup.ID(o.Name[strings.LastIndexByte(o.Name, '/')+1:])
		entries = append(entries, Entry{ID: id})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	marked, err := r.markedObjects(ctx, service)
	if err != nil {
		return nil, err
	}
	if err := r.readAll(ctx, entries, marked); err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b Entry) int { return newestFirst(a.ID, b.ID) })
	return entries, nil
}

// ListService does that for a service whose name may bear a type (see backup.SplitService). Of those that cannot be read no type is known.
func (r *Repository) ListService(ctx context.Context, service string) ([]Entry, error) {
	typ, name, err := backup.SplitService(service)
	if err != nil {
		return nil, err
	}
	entries, err := r.List(ctx, name)
	if err != nil || typ == "" {
		return entries, err
	}
	var ofType []Entry
	for _, e := range entries {
		if e.Manifest == nil || len(e.Manifest.Services) > 0 && e.Manifest.Services[0].Type == typ {
			ofType = append(ofType, e)
		}
	}
	return ofType, nil
}

// readAll reads the manifests and marks of entries, several at once.
func (r *Repository) readAll(ctx context.Context, entries []Entry, marked map[string]bool) error {
	var group errgroup.Group
	group.SetLimit(listWorkers)
	for i := range entries {
		group.Go(func() error {
			r.read(ctx, &entries[i], marked)
			return ctx.Err() // a run that was stopped says nothing about the manifests
		})
	}
	return group.Wait()
}

func (r *Repository) read(ctx context.Context, e *Entry, marked map[string]bool) {
	if _, err := backup.ParseID(string(e.ID)); err != nil {
		e.Err = &DamageError{fmt.Sprintf("the object %q among the manifests", string(e.ID)), "not a backup"}
		return
	}
	e.Manifest, e.Err = r.Manifest(ctx, e.ID)
	if e.Err == nil {
		e.Marks, e.Err = r.marks(ctx, e.ID, marked)
	}
}

// Delete removes manifests, each before its marks: with that the backups no longer exist. Collect frees their segments. Cut off, it leaves
// some of them deleted, and can be run again.
func (r *Repository) Delete(ctx context.Context, ids ...backup.ID) error {
	service := ""
	if len(ids) == 1 {
		service = ids[0].Service()
	}
	marked, err := r.markedObjects(ctx, service)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(listWorkers)
	for _, id := range ids {
		group.Go(func() error {
			if err := r.delete(groupCtx, id, marked); err != nil {
				return fmt.Errorf("delete %s: %w", id, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (r *Repository) delete(ctx context.Context, id backup.ID, marked map[string]bool) error {
	if err := r.store.Delete(ctx, manifestObject(id)); err != nil {
		return err
	}
	for _, kind := range markKinds {
		if name := markObject(id, kind); marked[name] {
			if err := r.store.Delete(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}
