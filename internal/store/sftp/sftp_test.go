package sftp_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/sftp"
	"github.com/dokku-backup/dokku-backup/internal/store/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	folders := 0
	for name, config := range map[string]func() sftp.Config{
		"password, absolute path": server.config,
		"key, relative path": func() sftp.Config {
			c := server.config()
			c.Password, c.Key, c.Path = "", server.key, "relative"
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) backup.Store {
				folders++
				c := config()
				c.Path = fmt.Sprintf("%s/%d", c.Path, folders)
				return open(t, c)
			})
		})
	}
}

// files lists every file below root by its path, objects or not.
func files(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	if err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, strings.TrimPrefix(path, root+"/"))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// names lists the objects.
func names(t *testing.T, s backup.Store, prefix string) []string {
	t.Helper()
	var names []string
	if err := s.List(t.Context(), prefix, func(o backup.Object) error {
		names = append(names, o.Name)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// TestPlainServer is a server with nothing but version 3 of the protocol: no flush, no rename that replaces.
func TestPlainServer(t *testing.T) {
	server := startServer(t, "ForceCommand internal-sftp -P posix-rename,fsync,statvfs,fstatvfs,limits,hardlink,lsetstat,expand-path")
	s := open(t, server.config())
	for _, data := range []string{"first", "second and longer", ""} {
		if err := s.Put(t.Context(), "marks/db/one", []byte(data)); err != nil {
			t.Fatalf("put: %v", err)
		}
		if got, err := s.Get(t.Context(), "marks/db/one"); err != nil || string(got) != data {
			t.Errorf("get: got %q and error %v, want %q", got, err, data)
		}
	}
	if got, want := files(t, server.home), []string{"a repository/für Dokku/marks/db/one"}; !slices.Equal(got, want) {
		t.Errorf("files: got %q, want %q", got, want)
	}
	if got, want := s.Finish(), "written beside, then renamed; an old one is removed just before"; got != want {
		t.Errorf("finish: got %q, want %q", got, want)
	}
}

// TestCutOff is the state that a cut in the middle of a write leaves.
func TestCutOff(t *testing.T) {
	server := startServer(t)
	s := open(t, server.config())
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	if err := s.CutOff(t.Context(), "segments/ab/abc", data); err == nil {
		t.Fatal("cut off: got no error")
	}
	left := files(t, server.home)
	if len(left) != 1 || !strings.HasPrefix(left[0], "a repository/für Dokku/segments/ab/.part-") {
		t.Fatalf("files after the cut: got %q, want one temporary file", left)
	}
	if info, err := os.Stat(filepath.Join(server.home, left[0])); err != nil || info.Size() == 0 || info.Size() >= int64(len(data)) {
		t.Errorf("temporary file: got %v and error %v, want a part of %d bytes", info, err, len(data))
	}
	if got := names(t, s, ""); len(got) != 0 {
		t.Errorf("listed after the cut: got %q, want nothing", got)
	}
	if err := s.Put(t.Context(), "segments/ab/abc", data); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(); err != nil {
		t.Fatalf("sweep: %v", err)
	}
	if got, want := files(t, server.home), []string{"a repository/für Dokku/segments/ab/abc"}; !slices.Equal(got, want) {
		t.Errorf("files after Sweep: got %q, want %q", got, want)
	}
}

func TestReadRange(t *testing.T) {
	s := open(t, startServer(t).config())
	data := make([]byte, 200_000)
	for i := range data {
		data[i] = byte(i * i / 251)
	}
	if err := s.Put(t.Context(), "segments/ab/abc", data); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]int64{{0, 1}, {0, 200_000}, {1, 150_000}, {199_999, 1}, {32_768, 32_768}, {5, 0}} {
		got, err := s.ReadRange(t.Context(), "segments/ab/abc", r[0], r[1])
		if want := data[r[0] : r[0]+r[1]]; err != nil || !bytes.Equal(got, want) {
			t.Errorf("range %v: got %d bytes and error %v, want those %d bytes", r, len(got), err, len(want))
		}
	}
	for _, r := range [][2]int64{{200_000, 1}, {199_999, 2}, {0, 200_001}} {
		if got, err := s.ReadRange(t.Context(), "segments/ab/abc", r[0], r[1]); err == nil || !strings.Contains(err.Error(), "the server gave") {
			t.Errorf("range %v: got %d bytes and error %v, want it to say how few the server gave", r, len(got), err)
		}
	}
}

func TestRemoveFolder(t *testing.T) {
	server := startServer(t)
	s := open(t, server.config())
	folder := filepath.Join(server.home, "a repository", "für Dokku", "proof")
	if err := s.Put(t.Context(), "proof/a", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveFolder(t.Context(), "proof"); err == nil {
		t.Error("a folder with an object in it: got no error")
	}
	if err := s.Delete(t.Context(), "proof/a"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is not there
		if err := s.RemoveFolder(t.Context(), "proof"); err != nil {
			t.Errorf("an empty folder: %v", err)
		}
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("the folder afterwards: got error %v, want it gone", err)
		}
	}
}

// TestForeignFiles: what is no object is not listed, and never read into memory.
func TestForeignFiles(t *testing.T) {
	server := startServer(t)
	c := server.config()
	c.Path = ""
	s := open(t, c)
	if err := s.Put(t.Context(), "segments/ab/abc", []byte("x")); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(server.home, "segments", "ab")
	if err := os.Mkdir(filepath.Join(folder, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("abc", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, s, ""), []string{"segments/ab/abc"}; !slices.Equal(got, want) {
		t.Errorf("listed: got %q, want %q", got, want)
	}
	if err := os.Truncate(filepath.Join(folder, "abc"), 1<<40); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"segments/ab/folder", "segments/ab/abc"} {
		if got, err := s.Get(t.Context(), name); err == nil || !strings.Contains(err.Error(), "something else") {
			t.Errorf("get %s: got %d bytes and error %v, want it refused", name, len(got), err)
		}
	}
}
