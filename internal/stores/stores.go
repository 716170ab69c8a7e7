// Package stores is which stores this host has: what is kept of each that was added, what is remembered of the copies in it, and sending to them.
// Start at Stores; Send is the way of a backup to a store. It promises that a store is written to by one run of one host at a time (Hold, MayWrite), and
// that never more is remembered of a store than it holds. The stores themselves, a folder or a cloud, are package store's; what lies in them is package
// repository's.
package stores

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store"
)

// Here is the word for this host's own repository where a store is named.
const Here = "here"

// Stores are the stores of a host.
type Stores struct {
	Dir      string             // the plugin's data folder: they are in stores/NAME
	HostName string             // as other hosts are told who writes to a store
	Waiting  func(store string) // is told, once, when another run is to be waited for; nil: nobody
}

// Remote is a store that was added: what is kept of it in stores/NAME/store.json. Its secrets are in a file beside that, sealed.
type Remote struct {
	Name      string    `json:"-"`
	URL       string    `json:"url"`
	Added     time.Time `json:"added"`
	ReadOnly  bool      `json:"read_only,omitempty"` // this host reads it only
	Bandwidth int64     `json:"bandwidth,omitempty"` // bytes a second; 0: as much as there is
	Parallel  int       `json:"parallel,omitempty"`  // transfers at once; 0: as many as are usual
}

// Kind is the store's kind in a word: sftp, s3, ...
func (r Remote) Kind() string {
	kind, _, _ := strings.Cut(r.URL, ":")
	return kind
}

// The files of a store.
const (
	remoteFile  = "store.json"
	secretsFile = "secrets"
	copyFile    = "copy.json" // what is remembered of it
	indexFile   = "index"     // of the backups in it
)

func (s Stores) path(name string, file ...string) string {
	return filepath.Join(append([]string{s.Dir, "stores", name}, file...)...)
}

// All are the stores that were added, by name.
func (s Stores) All() ([]Remote, error) {
	entries, err := os.ReadDir(s.path(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list stores: %w", err)
	}
	var all []Remote
	for _, e := range entries {
		if !store.ValidName(e.Name()) {
			continue // one that is being added
		}
		r, err := s.Get(e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Get is the store of this name; one that was not added is a *backup.Problem.
func (s Stores) Get(name string) (Remote, error) {
	r := Remote{Name: name}
	text, err := []byte(nil), fs.ErrNotExist
	if store.ValidName(name) {
		text, err = os.ReadFile(s.path(name, remoteFile))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return r, &backup.Problem{
			Message: fmt.Sprintf("there is no store %q", name),
			Hints:   []string{"see those that there are: dokku backup:store-list", "add it: dokku backup:store-add NAME URL"},
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read what is kept of store %q: %w", name, err)
	}
	return r, nil
}

// Addressed are the stores that backups are sent to.
func (s Stores) Addressed() ([]Remote, error) {
	all, err := s.All()
	return slices.DeleteFunc(all, func(r Remote) bool { return r.ReadOnly }), err
}

// Add keeps a new store with its secrets, which repo seals: all of it or nothing.
func (s Stores) Add(r Remote, secrets map[string]string, repo *repository.Repository) error {
	sealed, err := repo.Seal(secretsName(r.Name), secrets)
	if err != nil {
		return err
	}
	folder := s.path("." + r.Name + ".new") // no store's name begins with a dot
	if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o700)); err != nil {
		return err
	}
	err = errors.Join(atomicfile.Replace(folder+"/"+secretsFile, sealed), atomicfile.ReplaceJSON(folder+"/"+remoteFile, r))
	if err != nil {
		return errors.Join(err, os.RemoveAll(folder))
	}
	return errors.Join(os.RemoveAll(s.path(r.Name)), os.Rename(folder, s.path(r.Name)))
}

// Change keeps what is new of a store that was added before.
func (s Stores) Change(r Remote) error { return atomicfile.ReplaceJSON(s.path(r.Name, remoteFile), r) }

// Remove forgets a store and its secrets. What it holds stays.
func (s Stores) Remove(name string) error {
	gone := s.path("." + name + ".removed") // no store's name begins with a dot
	if err := errors.Join(os.RemoveAll(gone), os.Rename(s.path(name), gone)); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// PendingKeyPath is where an SSH key is kept that was made for a store that is being added.
func (s Stores) PendingKeyPath(name string) string { return s.path("." + name + ".key") }

// Host is this host as stores know it. Its id is made at the first use.
func (s Stores) Host() (repository.Host, error) {
	path := filepath.Join(s.Dir, "host-id")
	id, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		id = []byte(rand.Text() + "\n")
		err = atomicfile.Replace(path, id)
	}
	if err != nil {
		return repository.Host{}, fmt.Errorf("read this host's id: %w", err)
	}
	return repository.Host{ID: strings.TrimSpace(string(id)), Name: s.HostName, Since: time.Now().UTC().Truncate(time.Second)}, nil
}

// Hold waits until no other run writes to a store, and keeps others out until release is called.
func (s Stores) Hold(ctx context.Context, name string) (release func() error, err error) {
	for told := false; ; told = true {
		folder, err := lock(s.path(name)) // which may be another one by now
		if err == nil {
			return folder.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, err
		}
		if !told && s.Waiting != nil {
			s.Waiting(name)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func lock(folder string) (*os.File, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", folder, err), f.Close())
	}
	return f, nil
}

// MayWrite refuses where this host does not write: in a store that it only reads, or that another host writes to.
func (s Stores) MayWrite(ctx context.Context, there *repository.Repository, name string) error {
	if name == Here {
		return nil
	}
	r, err := s.Get(name)
	if err != nil {
		return err
	}
	if r.ReadOnly {
		return ReadOnly(r)
	}
	host, err := s.Host()
	if err != nil {
		return err
	}
	if err := there.Claim(ctx, host); err != nil {
		return ErrorOf(name, repository.Told(err))
	}
	return nil
}

// ReadOnly is the problem of a store that another host writes to.
func ReadOnly(r Remote) error {
	return &backup.Problem{
		Message: fmt.Sprintf("store %q is read only here: another host writes to it", r.Name),
		Hints:   []string{fmt.Sprintf("when that host is gone, take it over: dokku backup:store-add %s '%s' --take-over", r.Name, r.URL)},
	}
}

// ErrorOf says which store an error is of.
func ErrorOf(name string, err error) error {
	var problem *backup.Problem
	if errors.As(err, &problem) {
		told := *problem
		told.Message = fmt.Sprintf("store %q: %s", name, problem.Message)
		return &told
	}
	return fmt.Errorf("store %q: %w", name, err)
}
