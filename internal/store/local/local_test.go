package local_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
	"github.com/dokku-backup/dokku-backup/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) backup.Store { return local.New(filepath.Join(t.TempDir(), "made", "by put")) })
}

func TestPermissions(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	s := local.New(root)
	for _, name := range []string{"repository.json", "segments/ab/abc"} {
		if err := s.Put(t.Context(), name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]fs.FileMode{
		"": fs.ModeDir | 0o700, "segments": fs.ModeDir | 0o700, "segments/ab": fs.ModeDir | 0o700, "segments/ab/abc": 0o600, "repository.json": 0o600,
	} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != want {
			t.Errorf("mode of %q: got %v, want %v", name, got, want)
		}
	}
}

func names(t *testing.T, s *local.Store) string {
	t.Helper()
	var names []string
	if err := s.List(t.Context(), "", func(o backup.Object) error {
		names = append(names, o.Name)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// files lists every file below root, objects or not.
func files(t *testing.T, root string) string {
	t.Helper()
	var found []string
	if err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, entry.Name())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(found, " ")
}

// TestCutOff is the state that a crash in the middle of a write leaves.
func TestCutOff(t *testing.T) {
	root := t.TempDir()
	s := local.New(root)
	if err := s.Sweep(); err != nil {
		t.Fatalf("sweep of nothing: %v", err)
	}
	if err := s.Put(t.Context(), "segments/ab/abc", []byte("whole")); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"segments/ab/.part-0123", ".part-4567"} {
		if err := os.WriteFile(filepath.Join(root, part), []byte("hal"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), part); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("get %s: got error %v, want the name refused", part, err)
		}
	}
	if got, want := names(t, s), "segments/ab/abc"; got != want {
		t.Errorf("listed: got %q, want %q", got, want)
	}
	if err := s.Sweep(); err != nil {
		t.Fatalf("sweep: %v", err)
	}
	if got, want := files(t, root), "abc"; got != want {
		t.Errorf("files after Sweep: got %q, want %q", got, want)
	}
}

// TestFullDisk writes beyond what may be written: with a small file system of its own as root, and with a limit on the
// size of files, in a child process, as anybody.
func TestFullDisk(t *testing.T) {
	t.Run("small file system", func(t *testing.T) {
		root := t.TempDir()
		if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=1m"); err != nil {
			t.Skipf("NOT TESTED: a small file system cannot be mounted here: %v", err)
		}
		defer syscall.Unmount(root, 0)
		outOfSpace(t, local.New(root), syscall.ENOSPC)
	})
	t.Run("limit", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLimitedChild$", "-test.v")
		cmd.Env = append(os.Environ(), "STORE_ROOT="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestLimitedChild")) {
			t.Errorf("child: %v\n%s", err, out)
		}
	})
}

// TestLimitedChild runs in the child process that TestFullDisk starts.
func TestLimitedChild(t *testing.T) {
	root := os.Getenv("STORE_ROOT")
	if root == "" {
		t.Skip("only as a child of TestFullDisk")
	}
	// The Go runtime ignores SIGXFSZ, so the write fails with EFBIG.
	limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	outOfSpace(t, local.New(root), syscall.EFBIG)
}

// outOfSpace checks that a write that does not fit fails with cause, leaves nothing behind and keeps the old object.
func outOfSpace(t *testing.T, s *local.Store, cause error) {
	old := bytes.Repeat([]byte("old "), 10_000)
	if err := s.Put(t.Context(), "segments/ab/abc", old); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"segments/ab/abc", "segments/ab/new", "backups/db/new"} {
		err := s.Put(t.Context(), name, make([]byte, 4<<20))
		if !errors.Is(err, cause) {
			t.Errorf("put %s: got error %v, want %v", name, err, cause)
		}
	}
	if got, err := s.Get(t.Context(), "segments/ab/abc"); err != nil || !bytes.Equal(got, old) {
		t.Errorf("the old object: got %d bytes and error %v, want %d bytes as before", len(got), err, len(old))
	}
	if got, want := files(t, s.Root), "abc"; got != want {
		t.Errorf("files left: got %q, want %q", got, want)
	}
}
