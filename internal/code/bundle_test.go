package code_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/code"
)

func TestBundleClones(t *testing.T) {
	dir, shas := herd(t)
	r := open(t, bare(t, dir))
	for i, sha := range shas {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			path, _, info := bundle(t, r, sha)
			if out := git(t, dir, "bundle", "verify", path); !strings.Contains(out, "complete history") {
				t.Errorf("git bundle verify says %q", out)
			}
			clone := filepath.Join(t.TempDir(), "clone")
			git(t, ".", "-c", "fetch.fsckObjects=true", "clone", "--quiet", path, clone)
			git(t, clone, "fsck", "--strict", "--full")
			if got := git(t, clone, "rev-parse", "HEAD", "refs/remotes/origin/main"); got != sha+"\n"+sha {
				t.Errorf("clone is at %q, want %s", got, sha)
			}
			if got := git(t, clone, "branch", "--show-current"); got != "main" {
				t.Errorf("clone is on branch %q", got)
			}
			if got := git(t, clone, "status", "--porcelain"); got != "" {
				t.Errorf("clone differs from its commit: %s", got)
			}
			if got, want := strconv.Itoa(info.Commits), git(t, dir, "rev-list", "--count", sha); got != want {
				t.Errorf("Commits = %s, want %s", got, want)
			}
			want := len(strings.Split(git(t, dir, "rev-list", "--objects", sha), "\n"))
			if info.Objects != want {
				t.Errorf("Objects = %d, want %d", info.Objects, want)
			}
		})
	}
}

func TestBundleFetches(t *testing.T) {
	dir, shas := herd(t)
	path, _, _ := bundle(t, open(t, bare(t, dir)), shas[2])
	into := t.TempDir()
	git(t, into, "init", "--quiet", "--bare")
	git(t, into, "fetch", "--quiet", path, "main:restored")
	if got := git(t, into, "rev-parse", "restored"); got != shas[2] {
		t.Errorf("fetched %s, want %s", got, shas[2])
	}
}

func TestBundleIsTheSameHoweverPacked(t *testing.T) {
	dir, shas := herd(t)
	_, want, _ := bundle(t, open(t, filepath.Join(dir, ".git")), shas[2])
	packed := bare(t, dir)
	_, got, _ := bundle(t, open(t, packed), shas[2])
	if !bytes.Equal(got, want) {
		t.Error("bundle of a packed repository differs from that of a loose one")
	}
	git(t, packed, "repack", "--quiet", "-adf", "--depth=3", "--window=100")
	_, got, _ = bundle(t, open(t, packed), shas[2])
	if !bytes.Equal(got, want) {
		t.Error("bundle differs after a repack")
	}
}

// Bundles of successive commits have their content in common, so that a store
// which keeps equal stretches once pays for what is new.
func TestBundleGrowsAtItsEnd(t *testing.T) {
	dir, shas := herd(t)
	r := open(t, bare(t, dir))
	entries := func(sha string) []byte {
		_, all, _ := bundle(t, r, sha)
		_, pack, _ := bytes.Cut(all, []byte("\n\n"))
		return pack[12 : len(pack)-20] // without the pack's head and checksum
	}
	for i := range shas[1:] {
		if before, after := entries(shas[i]), entries(shas[i+1]); !bytes.HasPrefix(after, before) {
			t.Errorf("the pack of commit %d does not begin with that of its parent", i+1)
		}
	}
}

func TestBundleKeepsSmallChangesSmall(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "--quiet", "-b", "main")
	noise := make([]byte, 40_000)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	var tip string
	const changes = 60 // more than one chain of differences
	for i := range changes {
		copy(noise[i*500:], fmt.Sprintf("change %d", i))
		put(t, dir, "noise", string(noise))
		tip = commit(t, dir, "change")
	}
	path, all, _ := bundle(t, open(t, filepath.Join(dir, ".git")), tip)
	if got, limit := len(all), 5*len(noise); got > limit {
		t.Errorf("%d versions of %d bytes give a bundle of %d, want at most %d", changes, len(noise), got, limit)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, ".", "clone", "--quiet", path, clone)
	got, err := os.ReadFile(filepath.Join(clone, "noise"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, noise) {
		t.Error("the clone's file differs")
	}
}

func TestBundleLargeFiles(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "--quiet", "-b", "main")
	noise := make([]byte, 3<<20) // too large to be held in memory
	rand.NewChaCha8([32]byte{2}).Read(noise)
	put(t, dir, "noise", string(noise))
	commit(t, dir, "large")
	noise[1000]++
	put(t, dir, "noise", string(noise))
	tip := commit(t, dir, "changed")
	git(t, dir, "repack", "--quiet", "-adf") // the one a delta of the other
	path, _, _ := bundle(t, open(t, filepath.Join(dir, ".git")), tip)
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, ".", "clone", "--quiet", path, clone)
	got, err := os.ReadFile(filepath.Join(clone, "noise"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, noise) {
		t.Error("the clone's file differs")
	}
}

func TestBundleWhileRepacked(t *testing.T) {
	dir, shas := herd(t)
	noise := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{3}).Read(noise)
	put(t, dir, "noise", string(noise))
	tip := commit(t, dir, "large")
	packed := bare(t, dir)
	r := open(t, packed)
	_, want, _ := bundle(t, r, tip)
	git(t, packed, "repack", "--quiet", "-adf", "--depth=2")
	_, got, _ := bundle(t, r, tip)
	if !bytes.Equal(got, want) {
		t.Error("bundle differs after a repack")
	}
	if _, err := r.Resolve(shas[0]); err != nil {
		t.Error(err)
	}
}

func TestBundleSubmodule(t *testing.T) {
	dir, _ := herd(t)
	git(t, dir, "update-index", "--add", "--cacheinfo", "160000,0123456789abcdef0123456789abcdef01234567,vendor/lib")
	git(t, dir, "commit", "--quiet", "-m", "Use a library")
	path, _, info := bundle(t, open(t, bare(t, dir)), git(t, dir, "rev-parse", "HEAD"))
	if got, want := strings.Join(info.Submodules, " "), "vendor/lib"; got != want {
		t.Errorf("Submodules = %q, want %q", got, want)
	}
	git(t, ".", "clone", "--quiet", path, filepath.Join(t.TempDir(), "clone"))
}

func TestBundleAlternates(t *testing.T) {
	dir, shas := herd(t)
	_, want, _ := bundle(t, open(t, filepath.Join(dir, ".git")), shas[3])
	shared := filepath.Join(t.TempDir(), "shared")
	git(t, ".", "clone", "--quiet", "--bare", "--shared", dir, shared)
	_, got, _ := bundle(t, open(t, shared), shas[3])
	if !bytes.Equal(got, want) {
		t.Error("bundle of a repository with alternates differs")
	}
}

func TestBundleShallow(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "--quiet", "-b", "main")
	var shas []string
	for _, content := range []string{"one", "two", "three"} {
		put(t, dir, "file", content)
		shas = append(shas, commit(t, dir, content))
	}
	cut := filepath.Join(t.TempDir(), "cut")
	git(t, ".", "clone", "--quiet", "--bare", "--depth=2", "file://"+dir, cut)
	path, all, info := bundle(t, open(t, cut), shas[2])
	if got, want := strings.Join(info.Missing, " "), shas[0]; got != want {
		t.Errorf("Missing = %q, want %q", got, want)
	}
	if got, want := info.Commits, 2; got != want {
		t.Errorf("Commits = %d, want %d", got, want)
	}
	git(t, dir, "bundle", "verify", path) // has the missing commit
	into := t.TempDir()
	git(t, into, "init", "--quiet")
	if out, err := tryGit(into, "fetch", path, "main"); err == nil || !strings.Contains(out, shas[0]) {
		t.Errorf("fetch without the missing commit: %v, %s", err, out)
	}
	_, pack, _ := bytes.Cut(all, []byte("\n\n"))
	put(t, into, ".git/objects/pack/given.pack", string(pack))
	git(t, into, "index-pack", ".git/objects/pack/given.pack")
	put(t, into, ".git/shallow", shas[1]+"\n")
	git(t, into, "checkout", "--quiet", "-f", shas[2])
	git(t, into, "fsck", "--strict")
}

func TestBundleDamaged(t *testing.T) {
	dir, shas := herd(t)
	tests := []struct{ name, object, exchange string }{
		{name: "folder missing", object: shas[1] + ":app"},
		{name: "file missing", object: shas[1] + ":thing/inside"},
		{name: "changed file missing", object: shas[1] + ":app/long.txt"},
		{name: "file exchanged", object: shas[1] + ":thing/inside", exchange: shas[0] + ":thing"},
		{name: "commit missing", object: shas[0]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "app")
			if err := os.CopyFS(copied, os.DirFS(filepath.Join(dir, ".git"))); err != nil {
				t.Fatal(err)
			}
			file := func(rev string) string {
				hash := git(t, dir, "rev-parse", rev)
				return filepath.Join(copied, "objects", hash[:2], hash[2:])
			}
			if err := os.Remove(file(tt.object)); err != nil {
				t.Fatal(err)
			}
			if tt.exchange != "" {
				if err := os.Link(file(tt.exchange), file(tt.object)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := open(t, copied).Bundle(t.Context(), io.Discard, shas[3], "main")
			if want := git(t, dir, "rev-parse", tt.object); !errors.Is(err, code.ErrDamaged) || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want ErrDamaged naming %s", err, want)
			}
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestBundleFails(t *testing.T) {
	dir, shas := herd(t)
	r := open(t, bare(t, dir))
	if _, err := r.Bundle(t.Context(), full{}, shas[3], "main"); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error %v, want that of the writer", err)
	}
	if _, err := r.Bundle(t.Context(), io.Discard, shas[3], "a..b"); err == nil {
		t.Error("branch \"a..b\" was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Bundle(ctx, io.Discard, shas[3], "main"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
