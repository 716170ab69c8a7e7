// Package settings keeps what an owner set for the host, a service or an app: a private file a value, below one folder. What keys there
// are, what they mean and which values they take is the command line's business.
//
// They are not among Dokku's own properties, because Dokku removes the folder config/<app> when an app is destroyed, and an app may be
// called backup (plugins/config/triggers.go in Dokku 0.38).
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
)

// Settings is the folder. It is made when needed.
type Settings struct {
	Dir string
}

// Owner is what a value is set for: Host, a Service or an App. No name of Dokku's holds a colon, so none is taken for another.
type Owner string

// Host is the owner of what holds for the whole host.
const Host Owner = "host:"

// Service is the owner of a service's values. Its name must be one that Dokku takes.
func Service(name string) Owner { return Owner(name) }

// App is the owner of an app's values. Its name must be one that Dokku takes.
func App(name string) Owner { return Owner("app:" + name) }

// Get is the value of a key, "" when it is not set.
func (s Settings) Get(o Owner, key string) (string, error) {
	value, err := os.ReadFile(s.path(o, key))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read setting %q: %w", key, err)
	}
	return string(value), nil
}

// Set sets the value of a key; "" clears it. A crash, or a full disk, leaves the old value or the new one.
func (s Settings) Set(o Owner, key, value string) error {
	path := s.path(o, key)
	if value == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear setting %q: %w", key, err)
		}
		return nil
	}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = atomicfile.Replace(path, []byte(value))
	}
	if err != nil {
		return fmt.Errorf("keep setting %q: %w", key, err)
	}
	return nil
}

// Of are all values of an owner, by key.
func (s Settings) Of(o Owner) (map[string]string, error) {
	entries, err := os.ReadDir(s.folder(o))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	values := map[string]string{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // left by a crash
		}
		if values[e.Name()], err = s.Get(o, e.Name()); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Owners are all that have a folder of values.
func (s Settings) Owners() ([]Owner, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	var owners []Owner
	for _, e := range entries {
		owners = append(owners, Owner(e.Name()))
	}
	return owners, nil
}

// Copy gives an owner all values of another.
func (s Settings) Copy(from, to Owner) error {
	values, err := s.Of(from)
	if err != nil {
		return err
	}
	for key, value := range values {
		if err := s.Set(to, key, value); err != nil {
			return err
		}
	}
	return nil
}

// Rename gives all values of an owner to another, which has none yet. An owner without values is no error.
func (s Settings) Rename(from, to Owner) error {
	if err := os.Rename(s.folder(from), s.folder(to)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rename settings: %w", err)
	}
	return nil
}

// Remove clears all values of an owner.
func (s Settings) Remove(o Owner) error {
	if err := os.RemoveAll(s.folder(o)); err != nil {
		return fmt.Errorf("clear settings: %w", err)
	}
	return nil
}

func (s Settings) folder(o Owner) string { return filepath.Join(s.Dir, string(o)) }

func (s Settings) path(o Owner, key string) string { return filepath.Join(s.folder(o), key) }
