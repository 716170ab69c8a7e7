package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// privateFolder makes a folder for one run below data, the plugin's data folder, and removes those that killed runs of the same kind
// left. Each is locked by the process that uses it, so that one is left over when its lock is free. Its name has a dot, which no
// service's has. remove removes it.
func privateFolder(data, kind string) (folder string, remove func() error, err error) {
	all := filepath.Join(data, "tmp")
	if err := os.MkdirAll(all, 0o700); err != nil {
		return "", nil, err
	}
	// Nobody else makes or sweeps folders meanwhile: a new one is never seen without its lock.
	guard, err := lockFolder(all, unix.LOCK_EX)
	if err != nil {
		return "", nil, err
	}
	defer guard.Close()
	left, err := filepath.Glob(filepath.Join(all, kind+".*"))
	if err != nil {
		return "", nil, err
	}
	for _, path := range left {
		lock, err := lockFolder(path, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue // in use
		}
		err = os.RemoveAll(path)
		if err := errors.Join(err, lock.Close()); err != nil {
			return "", nil, fmt.Errorf("clear away what a killed run left: %w", err)
		}
	}
	if folder, err = os.MkdirTemp(all, kind+"."); err != nil {
		return "", nil, err
	}
	lock, err := lockFolder(folder, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return "", nil, errors.Join(err, os.Remove(folder))
	}
	return folder, func() error { return errors.Join(os.RemoveAll(folder), lock.Close()) }, nil
}

func lockFolder(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}
