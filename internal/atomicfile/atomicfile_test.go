package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy.json")
	if err := os.WriteFile(path, []byte("a long text that was there"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceJSON(path, map[string]int{"cows": 3}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "{\"cows\":3}\n" {
		t.Errorf("got %q, error %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v, error %v, want 0600", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("got %v, error %v, want nothing beside the file", entries, err)
	}
}

// TestFullDisk: what was kept stays as it was, and nothing half-written beside it.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	if err := Replace(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", path+".new"); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := finish(f, path, []byte("new")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want ENOSPC", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("got %q, error %v, want what was there", got, err)
	}
	if _, err := os.Lstat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unfinished file: got error %v, want it gone", err)
	}
}
