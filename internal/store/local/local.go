// Package local is a store in a folder of this host's own file system.
package local

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// PartPrefix begins the names of files that are still being written. They are never listed as objects.
const PartPrefix = ".part-"

var _ backup.Store = (*Store)(nil)

// Store keeps each object as a file below Root, readable by its owner only. A write goes to a temporary file in the
// object's own folder, is flushed to disk, renamed, and the folder is flushed: after a crash at any point there is the
// whole object or none (and perhaps a temporary file, which Sweep removes).
type Store struct {
	Root string
}

// New is a store below the folder root, which is made when the first object is put.
func New(root string) *Store { return &Store{Root: root} }

// Put implements backup.Store.
func (s *Store) Put(ctx context.Context, name string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := s.path(name)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := s.makeDir(dir); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	var random [8]byte
	rand.Read(random[:])
	part := filepath.Join(dir, PartPrefix+hex.EncodeToString(random[:]))
	if err := write(part, data); err != nil {
		return errors.Join(fmt.Errorf("put %s: %w", name, err), remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return errors.Join(fmt.Errorf("put %s: %w", name, err), remove(part))
	}
	return syncDir(dir)
}

// write makes a new file with data that survives a crash.
func write(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// makeDir makes dir and its parents up to Root, and flushes each parent that got a new entry.
func (s *Store) makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		return syncDir(filepath.Dir(dir))
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir):
		if err := s.makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err // not there even below a folder that is: some file systems take no new ones
		}
		return syncDir(filepath.Dir(dir))
	}
	return err
}

// Get implements backup.Store.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// List implements backup.Store.
func (s *Store) List(ctx context.Context, prefix string, fn func(backup.Object) error) error {
	// Only the folder part of the prefix can be walked; the rest filters.
	start := s.Root
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		var err error
		if start, err = s.path(prefix[:i]); err != nil {
			return err
		}
	}
	return filepath.WalkDir(start, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing there yet, or removed while we walked
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), PartPrefix) {
			return nil
		}
		rel, err := filepath.Rel(s.Root, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if !strings.HasPrefix(name, prefix) {
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(backup.Object{Name: name, Size: info.Size(), ModTime: info.ModTime()})
	})
}

// Delete implements backup.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := s.path(name)
	if err != nil {
		return err
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Sweep removes the temporary files of writes that were cut off. Nobody may be writing meanwhile.
func (s *Store) Sweep() error {
	return filepath.WalkDir(s.Root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.Type().IsRegular() && strings.HasPrefix(entry.Name(), PartPrefix) {
			return remove(path)
		}
		return err
	})
}

// path is where the object lies. Names that would leave Root, or hide among the temporary files, are refused.
func (s *Store) path(name string) (string, error) {
	if !fs.ValidPath(name) || name == "." || strings.HasPrefix(filepath.Base(name), PartPrefix) {
		return "", fmt.Errorf("object name %q is not valid", name)
	}
	return filepath.Join(s.Root, filepath.FromSlash(name)), nil
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
