package repository

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Summary is what a listing needs of a backup. Err is set when the manifest cannot be read, which Unreadable tells, or a mark of it.
type Summary struct {
	ID         backup.ID
	Type, Name string // of the service
	CreatedAt  time.Time
	State      backup.State
	Note       string
	Trigger    string
	Warnings   []string
	Stored     backup.Stored
	Took       time.Duration
	Apps       []AppSummary
	Marks      backup.Marks
	Unreadable bool
	Err        error
}

// Service is type:name; of a backup whose manifest cannot be read the name alone.
func (s Summary) Service() string {
	if s.Unreadable {
		return s.ID.Service()
	}
	return s.Type + ":" + s.Name
}

// AppSummary is an app with the commit that it ran, "" when that is not known.
type AppSummary struct {
	Name, Commit string
}

// Summary is the entry in short.
func (e Entry) Summary() Summary {
	m := e.Manifest
	if m == nil || len(m.Services) == 0 {
		err := e.Err
		if err == nil {
			err = &DamageError{"the manifest of " + string(e.ID), "not as its schema says"}
		}
		return Summary{ID: e.ID, Name: e.ID.Service(), CreatedAt: e.ID.Time(), Marks: e.Marks, Unreadable: true, Err: err}
	}
	s := Summary{
		ID: e.ID, Type: m.Services[0].Type, Name: m.Services[0].Name, CreatedAt: m.CreatedAt, State: m.State, Note: m.Note, Trigger: m.Trigger,
		Warnings: m.Warnings, Stored: m.Stored, Took: time.Duration(m.Timings.Total) * time.Millisecond, Marks: e.Marks, Err: e.Err,
	}
	for _, a := range m.Apps {
		s.Apps = append(s.Apps, AppSummary{a.Name, a.Commit})
	}
	return s
}

// indexed is a summary with the state that the backup's objects had when it was read.
type indexed struct {
	State   string
	Summary Summary
}

// index is the content of an index file: an xxh3 of the rest, 8 bytes big-endian, then this as gob.
type index struct {
	Version    int
	Repository string
	Backups    []indexed
}

const indexVersion = 1

// Summaries are the backups of a service ("" for all), newest first. What was read before is taken from the file, a private one that this
// keeps, as long as the objects have the size and the time that they had; others are read. A file that is lost or damaged is made anew.
// What it says is for showing: whoever removes, restores or proves reads the manifest.
func (r *Repository) Summaries(ctx context.Context, service, file string) ([]Summary, error) {
	now, marked, err := r.states(ctx, service)
	if err != nil {
		return nil, err
	}
	old := r.readIndex(file)
	known := make(map[backup.ID]*indexed, len(old.Backups))
	fresh := index{Version: indexVersion, Repository: r.Info.ID}
	for i, b := range old.Backups {
		known[b.Summary.ID] = &old.Backups[i]
		if service != "" && b.Summary.ID.Service() != service {
			fresh.Backups = append(fresh.Backups, b)
		}
	}
	all := make([]Summary, 0, len(now))
	var unknown []Entry
	for id, state := range now {
		if k := known[id]; k != nil && k.State == state {
			all = append(all, k.Summary)
			fresh.Backups = append(fresh.Backups, *k)
		} else {
			unknown = append(unknown, Entry{ID: id})
		}
	}
	if err := r.readAll(ctx, unknown, marked); err != nil {
		return nil, err
	}
	changed := false
	for _, e := range unknown {
		s := e.Summary()
		all = append(all, s)
		if s.Err == nil {
			fresh.Backups = append(fresh.Backups, indexed{now[e.ID], s})
			changed = true
		}
	}
	if changed || len(fresh.Backups) != len(old.Backups) {
		_ = writeIndex(file, fresh) // the next listing reads again what this one read
	}
	slices.SortFunc(all, func(a, b Summary) int { return newestFirst(a.ID, b.ID) })
	return all, nil
}

// states tells by names, sizes and times how each backup's objects are, and which marks there are.
func (r *Repository) states(ctx context.Context, service string) (states map[backup.ID]string, marked map[string]bool, err error) {
	states, marked = map[backup.ID]string{}, map[string]bool{}
	prefix := ""
	if service != "" {
		prefix = service + "/"
	}
	add := func(id backup.ID, what string, o backup.Object) {
		states[id] += fmt.Sprintf("%s %d %d;", what, o.Size, o.ModTime.UnixNano())
	}
	err = r.store.List(ctx, manifestsPrefix+prefix, func(o backup.Object) error {
		add(backup.ID(strings.Clone(o.Name[strings.LastIndexByte(o.Name, '/')+1:])), "", o)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list backups: %w", err)
	}
	err = r.store.List(ctx, marksPrefix+prefix, func(o backup.Object) error {
		marked[strings.Clone(o.Name)] = true
		id := markedBackup(o.Name)
		if _, is := states[id]; is {
			add(id, o.Name[strings.LastIndexByte(o.Name, '/')+1:], o)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list marks: %w", err)
	}
	return states, marked, nil
}

// readIndex is the index in a file; one that cannot be used is empty.
func (r *Repository) readIndex(file string) index {
	data, err := os.ReadFile(file)
	if err != nil || len(data) < 8 || binary.BigEndian.Uint64(data) != xxh3.Hash(data[8:]) {
		return index{}
	}
	var x index
	if err := gob.NewDecoder(bytes.NewReader(data[8:])).Decode(&x); err != nil || x.Version != indexVersion || x.Repository != r.Info.ID {
		return index{}
	}
	return x
}

// writeIndex replaces the file. Several listings may do so at once: the last one stays.
func writeIndex(file string, x index) error {
	var data bytes.Buffer
	data.Write(make([]byte, 8))
	if err := gob.NewEncoder(&data).Encode(x); err != nil {
		return err
	}
	binary.BigEndian.PutUint64(data.Bytes(), xxh3.Hash(data.Bytes()[8:]))
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data.Bytes())
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
