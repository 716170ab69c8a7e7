package stores

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

func newRepository(t *testing.T) *repository.Repository {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	repo, err := repository.Create(t.Context(), local.New(t.TempDir()), identity)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// TestAdd: a store is there with its secrets, or not at all, and its place in the folder is nobody else's.
func TestAdd(t *testing.T) {
	s, repo := Stores{Dir: t.TempDir()}, newRepository(t)
	want := Remote{Name: "offsite", URL: "file://" + t.TempDir(), Added: time.Now().UTC().Truncate(time.Second), Parallel: 3}
	secrets := map[string]string{"password": "cud"}
	if err := s.Add(want, secrets, repo); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.path(".half.new"), 0o700); err != nil { // a run was killed
		t.Fatal(err)
	}
	if got, err := s.All(); err != nil || !reflect.DeepEqual(got, []Remote{want}) {
		t.Errorf("all: got %+v, error %v, want %+v", got, err, want)
	}
	if err := s.Reseal(repo); err != nil {
		t.Error(err)
	}
	if got, err := s.Secrets("offsite", repo); err != nil || !reflect.DeepEqual(got, secrets) {
		t.Errorf("secrets: got %v, error %v, want %v", got, err, secrets)
	}
	if _, err := s.Secrets("offsite", newRepository(t)); !errors.As(err, new(*backup.Problem)) {
		t.Errorf("secrets with other keys: got error %v, want a problem", err)
	}
	want.ReadOnly = true
	if err := s.Change(want); err != nil {
		t.Error(err)
	}
	if got, err := s.Addressed(); err != nil || len(got) != 0 {
		t.Errorf("stores that are sent to: got %+v, error %v, want none", got, err)
	}
	if err := s.Remove("offsite"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"offsite", "../stores", ".half.new"} {
		if _, err := s.Get(name); !errors.As(err, new(*backup.Problem)) {
			t.Errorf("%s: got error %v, want a problem", name, err)
		}
	}
	if left, err := filepath.Glob(s.path("*")); err != nil || len(left) != 1 {
		t.Errorf("left: got %v, error %v, want the half one alone", left, err)
	}
}

// TestHold: a second run waits for the first, says so once, and gives up when it is interrupted.
func TestHold(t *testing.T) {
	waited := 0
	s := Stores{Dir: t.TempDir(), Waiting: func(string) { waited++ }}
	if err := os.MkdirAll(s.path("offsite"), 0o700); err != nil {
		t.Fatal(err)
	}
	release, err := s.Hold(t.Context(), "offsite")
	if err != nil {
		t.Fatal(err)
	}
	interrupted, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := s.Hold(interrupted, "offsite"); !errors.Is(err, context.DeadlineExceeded) || waited != 1 {
		t.Errorf("held: got error %v after it was told %d times, want it to wait and be told once", err, waited)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if again, err := s.Hold(t.Context(), "offsite"); err != nil || again() != nil || waited != 1 {
		t.Errorf("free: got error %v, told %d times", err, waited)
	}
}

// TestCopies: a store lacks what was never confirmed there, unless its own retention does not want it.
func TestCopies(t *testing.T) {
	s, at := Stores{Dir: t.TempDir()}, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	sent, unwanted, lacking := backup.NewID("db", at), backup.NewID("db", at.Add(time.Hour)), backup.NewID("db", at.Add(2*time.Hour))
	if err := s.Add(Remote{Name: "offsite", URL: "file:///mnt/nas"}, nil, newRepository(t)); err != nil {
		t.Fatal(err)
	}
	damaged := backup.Verified{At: at, Problems: []string{"a segment is gone"}}
	c := repository.Copy{
		Confirmed: map[backup.ID]time.Time{sent: at}, Unwanted: map[backup.ID]bool{unwanted: true}, Verified: map[backup.ID]backup.Verified{sent: damaged},
	}
	if err := s.Remember("offsite", &c); err != nil {
		t.Fatal(err)
	}
	copies, err := s.Copies()
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[backup.ID][]CopyState{
		sent: {{"offsite", at, &damaged}}, unwanted: nil, lacking: {{Store: "offsite"}},
	} {
		if got := copies.Of(id); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", id, got, want)
		}
	}
	if got := Missing(copies.Of(lacking)); !reflect.DeepEqual(got, []string{"offsite"}) {
		t.Errorf("missing: got %q, want the store", got)
	}
	if err := os.WriteFile(s.path("offsite", copyFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Remembered("offsite"); err != nil || len(got.Confirmed) != 0 {
		t.Errorf("a damaged memory: got %+v, error %v, want none", got, err)
	}
}
