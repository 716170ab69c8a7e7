package cli

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestReplaceFileOnFullDisk: what was kept stays as it was, and nothing half-written beside it.
func TestReplaceFileOnFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	if err := replaceFile(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(path, []byte("new")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want ENOSPC", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("got %q, error %v, want what was there", got, err)
	}
	if _, err := os.Lstat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unfinished file: got error %v, want it gone", err)
	}
}
