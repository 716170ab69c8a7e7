package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

const service = "happycows-db"

// second is the id of the backup that is made in this second of a test's clock.
func second(n int) backup.ID {
	return backup.NewID(service, time.Date(2026, 11, 21, 7, 47, n, 0, time.UTC))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newIdentity(t testing.TB) *age.X25519Identity {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	check(t, err)
	return identity
}

// create makes an empty repository in a folder of this test.
func create(t testing.TB) (*Repository, *local.Store) {
	t.Helper()
	store := local.New(t.TempDir())
	r, err := Create(context.Background(), store, newIdentity(t))
	check(t, err)
	return r, store
}

// through is the same repository seen through another store.
func (r *Repository) through(t testing.TB, store backup.Store) *Repository {
	t.Helper()
	opened, err := Open(context.Background(), store, with(r.origin))
	check(t, err)
	return opened
}

// with unlocks a repository with these identities.
func with(identities ...age.Identity) Unlock { return Unlock{Identities: identities} }

// flip changes one bit of a file of the store.
func flip(t testing.TB, store *local.Store, name string, at int) {
	t.Helper()
	path := filepath.Join(store.Root, name)
	data, err := os.ReadFile(path)
	check(t, err)
	data[at] ^= 1
	check(t, os.WriteFile(path, data, 0o600))
}

func readFile(t testing.TB, store *local.Store, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(store.Root, name))
	check(t, err)
	return data
}

func writeFile(t testing.TB, store *local.Store, name string, data []byte) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(store.Root, name), data, 0o600))
}

// rows are count rows of about 130 bytes that differ, as COPY writes them.
func rows(seed, count int) []byte {
	var b bytes.Buffer
	for i := range count {
		n := uint64(i+1) * uint64(2*seed+1) * 0x9e3779b97f4a7c15
		fmt.Fprintf(&b, "%d\tcow %d of herd %d\t2026-11-%02d 07:%02d:%02d+00\t%x\tt\t\\N\tgrazing in the %d. field, north of the barn\n",
			i+seed*1_000_000, n%100_000, n>>60, n%28+1, n>>8%60, n>>16%60, n, n>>24%50)
	}
	return b.Bytes()
}

// run makes a backup of tables and a bundle, as capture does.
func run(ctx context.Context, r *Repository, id backup.ID, tables ...[]byte) (*backup.Manifest, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	entries, err := r.List(ctx, service)
	if err != nil {
		return nil, err
	}
	var trusted *backup.Manifest
	if len(entries) > 0 {
		trusted = entries[0].Manifest
	}
	w, err := r.NewWriter(ctx, 2, trusted)
	if err != nil {
		return nil, err
	}
	m := &backup.Manifest{Schema: backup.Schema, ID: id, State: backup.Complete}
	db := backup.Database{Name: "happycows_db"}
	for i, table := range tables {
		content, err := w.Rows(bytes.NewReader(table))
		if err != nil {
			return nil, err
		}
		db.Tables = append(db.Tables, backup.Table{Schema: "public", Name: fmt.Sprint("t", i), Content: content})
	}
	if db.Dump.Head, err = w.Bytes(strings.NewReader("PGDMP, and the same in every backup")); err != nil {
		return nil, err
	}
	m.Services = []backup.Service{{Name: service, Databases: []backup.Database{db}}}
	if m.Stored, err = w.Close(); err != nil {
		return nil, err
	}
	return m, r.Commit(ctx, m)
}

func mustRun(t testing.TB, r *Repository, id backup.ID, tables ...[]byte) *backup.Manifest {
	t.Helper()
	m, err := run(context.Background(), r, id, tables...)
	check(t, err)
	return m
}

// verify returns what Verify found, joined.
func verify(t testing.TB, r *Repository, id backup.ID) string {
	t.Helper()
	m, err := r.Manifest(context.Background(), id)
	check(t, err)
	result, err := r.Verify(context.Background(), m, func(int64) {})
	check(t, err)
	return strings.Join(result.Problems, "; ")
}

func wantGood(t testing.TB, r *Repository, id backup.ID) {
	t.Helper()
	if problems := verify(t, r, id); problems != "" {
		t.Errorf("verify %s: got %q, want no problems", id, problems)
	}
}

func content(t testing.TB, r *Repository, c *backup.Content) []byte {
	t.Helper()
	reader := r.Reader(context.Background(), c)
	defer reader.Close()
	data, err := io.ReadAll(reader)
	check(t, err)
	return data
}

func exitCode(err error) int {
	var problem *backup.Problem
	if errors.As(err, &problem) {
		return problem.ExitCode()
	}
	return 0
}

func TestCreate(t *testing.T) {
	r, store := create(t)
	if _, err := Create(t.Context(), store, r.origin); err == nil {
		t.Error("create over a repository: got no error")
	}
	if got := r.through(t, store).Info; got.MAC != r.Info.MAC || got.Format != 1 || len(got.ID) != 32 {
		t.Errorf("info: got %+v, want what was created, %+v", got, r.Info)
	}
	if _, err := Open(t.Context(), local.New(t.TempDir()), with(r.origin)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open an empty folder: got error %v, want fs.ErrNotExist", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	r, store := create(t)
	ours := string(readFile(t, store, infoName))
	tests := []struct {
		name, text string
		identity   *age.X25519Identity
		code       int
		want       string
	}{
		{"wrong key", ours, newIdentity(t), backup.ExitKey, "the key does not open this repository"},
		{"added recipient", strings.Replace(ours, `"age1`, `"`+newIdentity(t).Recipient().String()+`", "age1`, 1), r.origin, backup.ExitKey, "changed by somebody without the key"},
		{"newer format", strings.Replace(ours, `"format": 1`, `"format": 7`, 1), r.origin, backup.ExitFailed, "has format 7, this program knows format 1"},
		{"empty", "", r.origin, backup.ExitFailed, "damaged, or belongs to another program"},
		{"cut", ours[:len(ours)/2], r.origin, backup.ExitFailed, "damaged, or belongs to another program"},
		{"another program's", `{"version":2,"id":"5956a3f67a6230d4a92cefb29529f10196c7d92582ec305fd71ff6d331d6271b"}`, r.origin, backup.ExitFailed, "belongs to another program"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			writeFile(t, store, infoName, []byte(tt.text))
			_, err := Open(t.Context(), store, with(tt.identity))
			if exitCode(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got exit code %d, error %v, want %d, %q", exitCode(err), err, tt.code, tt.want)
			}
		})
	}
}

// TestFlippedInfo changes every byte of repository.json.
func TestFlippedInfo(t *testing.T) {
	r, store := create(t)
	for i := range readFile(t, store, infoName) {
		flip(t, store, infoName, i)
		if _, err := Open(t.Context(), store, with(r.origin)); err == nil {
			t.Errorf("byte %d flipped: got no error", i)
		}
		flip(t, store, infoName, i)
	}
	r.through(t, store)
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config", "key")
	_, err := ReadKey(path)
	if exitCode(err) != backup.ExitKey || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want exit code %d and fs.ErrNotExist", err, backup.ExitKey)
	}
	part := path + ".part" // of a run that was killed
	check(t, os.MkdirAll(filepath.Dir(path), 0o700))
	check(t, os.WriteFile(part, []byte("AGE-SECRET-KEY-1 of another key, and longer than the one that is made now, so that its end would stay"), 0o600))
	made, err := CreateKey(path)
	check(t, err)
	if _, err := os.Stat(part); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unfinished file: got error %v, want it gone", err)
	}
	if got, err := ReadKey(path); err != nil || got.String() != made.String() {
		t.Errorf("as made: got error %v, want the identity", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode: got %v, error %v, want -rw-------", info.Mode(), err)
	}
	if _, err := CreateKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create again: got error %v, want fs.ErrExist", err)
	}
	secret := made.String()
	for name, text := range map[string]string{"as made": secret + "\n", "with comments": "# created\n\n  " + secret + "\r\n", "no newline": secret} {
		check(t, os.WriteFile(path, []byte(text), 0o600))
		if got, err := ReadKey(path); err != nil || got.String() != secret {
			t.Errorf("%s: got error %v, want the identity", name, err)
		}
	}
	for name, text := range map[string]string{"empty": "", "cut": secret[:40], "recipient": made.Recipient().String(), "changed": secret[:30] + "Q" + secret[31:] + "Q"} {
		check(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := ReadKey(path)
		if exitCode(err) != backup.ExitKey {
			t.Errorf("%s: got %v, want exit code %d", name, err, backup.ExitKey)
		}
		if text != "" && strings.Contains(fmt.Sprint(err), text[:20]) {
			t.Errorf("%s: the error holds what the file holds", name)
		}
	}
}
