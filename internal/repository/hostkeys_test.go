package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

// newHost makes a repository with a backup, and the keys of its host.
func newHost(t *testing.T) (*HostKeys, *Repository, *local.Store) {
	t.Helper()
	host := NewHostKeys(t.TempDir())
	identity, err := CreateKey(host.Identity)
	check(t, err)
	store := local.New(t.TempDir())
	r, err := Create(t.Context(), store, identity)
	check(t, err)
	mustRun(t, r, second(1), rows(1, 100))
	return host, r, store
}

// anyKey is of somebody who keeps every key that he is shown.
func anyKey(*age.X25519Identity) error { return nil }

func (h *HostKeys) open(t *testing.T, store backup.Store) *Repository {
	t.Helper()
	unlock, err := h.Unlock()
	check(t, err)
	return open(t, store, unlock)
}

func TestSealedHost(t *testing.T) {
	host, r, store := newHost(t)
	check(t, r.Pin(t.Context(), second(1), backup.Pinned{}))
	check(t, os.WriteFile(unfinished(host.Identity), []byte(r.origin.String()), 0o600)) // of a run that was killed
	check(t, host.Seal(t.Context(), r))

	files, err := os.ReadDir(filepath.Dir(host.Identity))
	check(t, err)
	if len(files) != 1 || files[0].Name() != "derived" || !host.Sealed() {
		t.Errorf("files of the host: got %v, want derived alone", files)
	}
	if info, err := files[0].Info(); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode: got %v, error %v, want -rw-------", info.Mode(), err)
	}
	if text, err := os.ReadFile(host.Derived); err != nil || strings.Contains(string(text), "AGE-SECRET-KEY") {
		t.Errorf("derived: error %v, or it holds an identity", err)
	}
	sealed := host.open(t, store)
	if !sealed.Sealed() {
		t.Fatal("the repository is not sealed")
	}
	if got := fmt.Sprintf("%v %+v", sealed.keys.Current, sealed.keys); strings.Contains(got, fmt.Sprintf("%x", []byte(sealed.keys.Current.Segments))) {
		t.Errorf("printed keys: got %s", got)
	}
	m := mustRun(t, sealed, second(2), rows(1, 100), rows(2, 100))
	if m.Stored.Reused == 0 {
		t.Error("nothing was reused: what the last manifest vouches for needs no key")
	}
	check(t, sealed.SetVerified(t.Context(), second(2), backup.Verified{Segments: 3}))
	entries, err := sealed.List(t.Context(), "")
	check(t, err)
	if len(entries) != 2 || entries[0].Err != nil || entries[1].Err != nil || entries[0].Marks.Verified == nil || entries[1].Marks.Pinned == nil {
		t.Errorf("listed: got %+v, want two backups with their marks", entries)
	}
	if _, err := sealed.Verify(t.Context(), m, func(int64) {}); exitCode(err) != backup.ExitKey {
		t.Errorf("verify: got error %v, want exit code %d", err, backup.ExitKey)
	}
	if _, _, err := sealed.Check(t.Context(), m); err != nil {
		t.Errorf("check: %v", err)
	}
	for what, err := range map[string]error{
		"rewrap": sealed.Rewrap(t.Context(), nil), "rotate": host.Rotate(t.Context(), sealed, anyKey), "seal": host.Seal(t.Context(), sealed),
		"add": sealed.AddRecipient(t.Context(), newIdentity(t).Recipient().String()), "unseal": host.Unseal(sealed),
	} {
		if exitCode(err) != backup.ExitKey {
			t.Errorf("%s: got error %v, want exit code %d", what, err, backup.ExitKey)
		}
	}
	// With the key given, all is as ever.
	wantAll(t, store, with(r.origin), second(1), second(2))
	check(t, host.Unseal(open(t, store, with(r.origin))))
	if files, err := os.ReadDir(filepath.Dir(host.Identity)); err != nil || len(files) != 1 || files[0].Name() != "identity" {
		t.Errorf("files of the host: got %v, error %v, want identity alone", files, err)
	}
	wantGood(t, host.open(t, store), second(2))
}

// TestSealedSegments: what a sealed host holds opens no segment, whatever is tried.
func TestSealedSegments(t *testing.T) {
	host, r, store := newHost(t)
	check(t, host.Seal(t.Context(), r))
	unlock, err := host.Unlock()
	check(t, err)
	for name := range mustSegments(t, r) {
		object := readFile(t, store, segmentObject(name))
		if _, err := age.Decrypt(strings.NewReader(string(object)), unlock.Derived.records()...); err == nil {
			t.Errorf("segment %s opens with the derived keys", name)
		}
	}
}

func mustSegments(t *testing.T, r *Repository) map[string]int64 {
	t.Helper()
	segments, err := r.segments(t.Context())
	check(t, err)
	if len(segments) == 0 {
		t.Fatal("no segments")
	}
	return segments
}

// TestSealsOldRecords: manifests of versions that sealed them to the identity alone can be read by the sealed host.
func TestSealsOldRecords(t *testing.T) {
	host, r, store := newHost(t)
	old := r.At(store)
	old.recordsTo = audience{r.recipients.recipients, "of-before"}
	text, err := r.getRecord(t.Context(), manifestObject(second(1)))
	check(t, err)
	object, err := old.sealRecord(manifestObject(second(1)), text)
	check(t, err)
	check(t, store.Put(t.Context(), manifestObject(second(1)), object))
	derived := open(t, store, Unlock{Derived: r.Derived()})
	if _, err := derived.Manifest(t.Context(), second(1)); exitCode(err) != backup.ExitKey {
		t.Errorf("before: got error %v, want exit code %d", err, backup.ExitKey)
	}
	check(t, host.Seal(t.Context(), r))
	if _, err := host.open(t, store).Manifest(t.Context(), second(1)); err != nil {
		t.Errorf("after: %v", err)
	}
}

// TestKilledOnTheHost kills changes of the host's files, and of the store's objects, at each write.
func TestKilledOnTheHost(t *testing.T) {
	tests := []struct {
		name   string
		deaths int
		before func(t *testing.T, h *HostKeys, r *Repository)
		do     func(t *testing.T, h *HostKeys, r *Repository, kit *age.X25519Identity) error
	}{
		{"seal", 2, nil, func(t *testing.T, h *HostKeys, r *Repository, _ *age.X25519Identity) error {
			if h.Sealed() {
				return nil
			}
			return h.Seal(t.Context(), r)
		}},
		{"unseal", 2, func(t *testing.T, h *HostKeys, r *Repository) { check(t, h.Seal(t.Context(), r)) },
			func(t *testing.T, h *HostKeys, r *Repository, kit *age.X25519Identity) error {
				return h.Unseal(open(t, r.store, with(kit)))
			}},
		{"rotate", 4, nil, func(t *testing.T, h *HostKeys, r *Repository, _ *age.X25519Identity) error {
			return h.Rotate(t.Context(), r, anyKey)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			untilItLives(t, tt.deaths-1, func(t *testing.T, lives int, before bool) error {
				host, r, store := newHost(t)
				kit := r.origin
				if tt.before != nil {
					tt.before(t, host, r)
				}
				dying := &mortal{Store: store, lives: lives, before: before}
				mortalHost := *host
				mortalHost.write = func(path string, text []byte) error {
					return dying.change(func() error { return host.write(path, text) })
				}
				mortalHost.remove = func(path string) error { return dying.change(func() error { return host.remove(path) }) }
				died := tt.do(t, &mortalHost, host.open(t, dying), kit)

				r = host.open(t, store) // in the one mode or the other
				mustRun(t, r, second(2), rows(2, 100))
				if !r.Sealed() {
					kit = r.origin
				}
				wantAll(t, store, with(kit), second(1), second(2))
				check(t, tt.do(t, host, r, kit))
				r = host.open(t, store)
				mustRun(t, r, second(3), rows(3, 100))
				if !r.Sealed() {
					kit = r.origin
				}
				wantAll(t, store, with(kit), second(1), second(2), second(3))
				if tt.name == "rotate" {
					if text, err := os.ReadFile(host.Identity); err != nil || string(text) != kit.String()+"\n" {
						t.Errorf("the host's file: error %v, or not the new key alone", err)
					}
				}
				return died
			})
		})
	}
}

// TestRotateNotKept: a rotation whose key nobody kept changes nothing, and the next one goes on with that key.
func TestRotateNotKept(t *testing.T) {
	host, r, store := newHost(t)
	var shown []string
	lost := errors.New("not kept")
	err := host.Rotate(t.Context(), r, func(next *age.X25519Identity) error {
		shown = append(shown, next.String())
		return lost
	})
	if !errors.Is(err, lost) {
		t.Errorf("got error %v, want %v", err, lost)
	}
	if got := host.open(t, store).Origin().String(); got != r.Origin().String() {
		t.Error("the key changed")
	}
	wantAll(t, store, with(r.origin), second(1))
	check(t, host.Rotate(t.Context(), host.open(t, store), func(next *age.X25519Identity) error {
		shown = append(shown, next.String())
		return nil
	}))
	if got := host.open(t, store).Origin().String(); len(shown) != 2 || shown[0] != shown[1] || got != shown[0] {
		t.Errorf("shown %d keys, want the same twice, and in force", len(shown))
	}
}

func TestUnlock(t *testing.T) {
	host := NewHostKeys(t.TempDir())
	if _, err := host.Unlock(); exitCode(err) != backup.ExitKey || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("neither: got error %v, want exit code %d and fs.ErrNotExist", err, backup.ExitKey)
	}
	for name, text := range map[string]string{"empty": "", "no keys": "{}", "short": `{"current":{"segments":"00","manifests":"00","records":"00"}}`, "not hex": `{"current":{"segments":"zz"}}`} {
		check(t, os.WriteFile(host.Derived, []byte(text), 0o600))
		if _, err := host.Unlock(); exitCode(err) != backup.ExitKey {
			t.Errorf("%s: got error %v, want exit code %d", name, err, backup.ExitKey)
		}
	}
}
