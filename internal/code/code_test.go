package code_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/code"
)

// git runs git with a fixed author and no configuration of this machine.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func tryGit(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.fsync", "GIT_CONFIG_VALUE_0=none",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2026-01-05T09:00:00Z",
		"GIT_COMMITTER_NAME=Bob", "GIT_COMMITTER_EMAIL=bob@example.com", "GIT_COMMITTER_DATE=2026-01-05T10:00:00+02:00")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// put writes a file into a work tree.
func put(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, dir, message string) string {
	t.Helper()
	git(t, dir, "add", "--all")
	git(t, dir, "commit", "--quiet", "--allow-empty", "-m", message)
	return git(t, dir, "rev-parse", "HEAD")
}

// herd makes a work tree with a merge, folders, a long file that changes a
// little, a file that becomes a folder, a link and an empty file. It returns
// the folder and the commits of main, oldest first.
func herd(t *testing.T) (string, []string) {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "init", "--quiet", "-b", "main")
	long := strings.Repeat("a line of some length, as code has\n", 500)
	put(t, dir, "app/long.txt", long+"one\n")
	put(t, dir, "thing", "a file\n")
	put(t, dir, "empty", "")
	shas := []string{commit(t, dir, "Show the herd\nand count it\n\nBody.")}
	put(t, dir, "app/long.txt", "zero\n"+long+"two\n")
	git(t, dir, "rm", "--quiet", "thing")
	put(t, dir, "thing/inside", "a folder\n")
	if err := os.Symlink("app", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	shas = append(shas, commit(t, dir, "Change much"))
	git(t, dir, "checkout", "--quiet", "-b", "side", "HEAD~1")
	put(t, dir, "side.txt", "side\n")
	commit(t, dir, "Side")
	git(t, dir, "checkout", "--quiet", "main")
	git(t, dir, "merge", "--quiet", "--no-ff", "-m", "Merge side", "side")
	return dir, append(shas, git(t, dir, "rev-parse", "HEAD"), commit(t, dir, "Nothing new"))
}

// bare clones a work tree as Dokku keeps an app: without one.
func bare(t *testing.T, dir string, args ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "app")
	git(t, ".", append([]string{"clone", "--quiet", "--bare", "--no-local", dir, to}, args...)...)
	return to
}

func open(t *testing.T, dir string) *code.Repository {
	t.Helper()
	r, err := code.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// bundle writes a bundle to a file and to memory.
func bundle(t *testing.T, r *code.Repository, sha string) (string, []byte, code.BundleInfo) {
	t.Helper()
	var b bytes.Buffer
	info, err := r.Bundle(t.Context(), &b, sha, "main")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Bytes, int64(b.Len()); got != want {
		t.Errorf("BundleInfo.Bytes = %d, wrote %d", got, want)
	}
	path := filepath.Join(t.TempDir(), "app.bundle")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, b.Bytes(), info
}

func TestOpen(t *testing.T) {
	if _, err := code.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open of a missing folder: %v, want os.ErrNotExist", err)
	}
	if _, err := code.Open(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open of an empty folder: %v, want os.ErrNotExist", err)
	}
	sha256 := t.TempDir()
	git(t, sha256, "init", "--quiet", "--bare", "--object-format=sha256")
	if _, err := code.Open(sha256); !errors.Is(err, code.ErrUnsupported) {
		t.Errorf("Open of a SHA-256 repository: %v, want ErrUnsupported", err)
	}
}

// Dokku's repositories belong to user dokku; git refuses those of others.
func TestOpenOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir, shas := herd(t)
	app := bare(t, dir)
	err := filepath.WalkDir(app, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 65534, 65534))
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := tryGit(app, "log"); err == nil || !strings.Contains(out, "dubious ownership") {
		t.Errorf("git reads it: %v, %s", err, out)
	}
	bundle(t, open(t, app), shas[3])
}

func TestResolve(t *testing.T) {
	dir, shas := herd(t)
	git(t, dir, "branch", shas[1][:8], shas[0]) // git takes a branch before a short SHA
	tree := git(t, dir, "rev-parse", "main^{tree}")
	for _, packing := range []struct{ name, dir string }{{"loose", filepath.Join(dir, ".git")}, {"packed", bare(t, dir)}} {
		r := open(t, packing.dir)
		tests := []struct {
			name, rev, want string
			err             error
		}{
			{name: "full", rev: shas[0], want: shas[0]},
			{name: "upper case", rev: strings.ToUpper(shas[0]), want: shas[0]},
			{name: "10 digits", rev: shas[2][:10], want: shas[2]},
			{name: "7 digits", rev: shas[2][:7], want: shas[2]},
			{name: "branch", rev: "main", want: shas[3]},
			{name: "branch like a short SHA", rev: shas[1][:8], want: shas[0]},
			{name: "3 digits", rev: shas[2][:3], err: code.ErrNoCommit},
			{name: "unknown", rev: "0123456789abcdef0123456789abcdef01234567", err: code.ErrNoCommit},
			{name: "unknown short", rev: "0123456789", err: code.ErrNoCommit},
			{name: "odd digit that is none", rev: shas[2][:6] + "g", err: code.ErrNoCommit},
			{name: "no name", rev: "", err: code.ErrNoCommit},
			{name: "expression", rev: "main~1", err: code.ErrNoCommit},
			{name: "tree", rev: tree, err: code.ErrNoCommit},
			{name: "short tree", rev: tree[:12], err: code.ErrNoCommit},
		}
		for _, tt := range tests {
			t.Run(packing.name+"/"+tt.name, func(t *testing.T) {
				got, err := r.Resolve(tt.rev)
				if !errors.Is(err, tt.err) {
					t.Fatalf("error %v, want %v", err, tt.err)
				}
				if got.SHA != tt.want {
					t.Errorf("got %q, want %q", got.SHA, tt.want)
				}
			})
		}
	}
}

func TestResolveDescribes(t *testing.T) {
	dir, shas := herd(t)
	got, err := open(t, bare(t, dir)).Resolve(shas[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := got.Short, shas[0][:7]; got != want {
		t.Errorf("Short = %q, want %q", got, want)
	}
	if got, want := got.Subject, "Show the herd and count it"; got != want {
		t.Errorf("Subject = %q, want %q", got, want)
	}
	if got, want := got.Author, "Ada"; got != want {
		t.Errorf("Author = %q, want %q", got, want)
	}
	if got, want := got.When.String(), "2026-01-05 08:00:00 +0000 UTC"; got != want {
		t.Errorf("When = %q, want %q", got, want)
	}
}

func TestResolveAmbiguous(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "--quiet", "-b", "main")
	tree := git(t, dir, "write-tree")
	first := map[string]string{}
	for i := 0; ; i++ {
		// 65,536 prefixes of 4 digits: two of a thousand commits share one, all but surely.
		sha := git(t, dir, "commit-tree", tree, "-m", strings.Repeat("x", i+1))
		if other, ok := first[sha[:4]]; ok {
			_, err := open(t, filepath.Join(dir, ".git")).Resolve(sha[:4])
			if !errors.Is(err, code.ErrAmbiguous) || !strings.Contains(err.Error(), other) {
				t.Errorf("error %v, want ErrAmbiguous naming %s", err, other)
			}
			return
		}
		first[sha[:4]] = sha
	}
}

func TestBranch(t *testing.T) {
	dir, shas := herd(t)
	git(t, dir, "branch", "old", shas[0])
	git(t, dir, "branch", "a/b", shas[2])
	git(t, dir, "tag", "kept")
	gone := git(t, dir, "commit-tree", "-m", "on no branch", shas[0]+"^{tree}")
	git(t, dir, "tag", "gone", gone)
	r := open(t, bare(t, dir))
	tests := []struct{ name, sha, deploy, branches, want string }{
		{"in all", shas[0], "main", "a/b main old side", "main"},
		{"deploy branch without it", shas[2], "old", "a/b main", "a/b"},
		{"no deploy branch", shas[3], "master", "main", "main"},
		{"on no branch", gone, "main", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			branches, err := r.Branches(t.Context(), tt.sha)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(branches, " "); got != tt.branches {
				t.Errorf("Branches = %q, want %q", got, tt.branches)
			}
			got, err := r.Branch(t.Context(), tt.sha, tt.deploy)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("Branch = %q, want %q", got, tt.want)
			}
		})
	}
}
