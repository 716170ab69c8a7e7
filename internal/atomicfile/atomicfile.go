// Package atomicfile replaces small private files, so that a crash, a kill or a full disk leaves what was there or what was written, and never a
// part of it. Files that are more than that write themselves: keys (a cut-off write of one is to be found), journals, which are locked, and the index
// of backups, which need not survive a crash.
package atomicfile

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

// Replace writes a file with mode 0600 in place of the one at path, if there is one, in a folder that exists. When it returns without an error the
// content survives a crash. Several may do so at once: one of them stays. A killed one leaves a file .new-* in the folder.
func Replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	return finish(f, path, content)
}

// ReplaceJSON does that with v as one line of JSON.
func ReplaceJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return Replace(path, append(text, '\n'))
}

// finish writes the content to f, which becomes the file at path, or goes.
func finish(f *os.File, path string, content []byte) error {
	_, err := f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
