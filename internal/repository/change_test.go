package repository

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

// sshKey makes an SSH key: the identity and the line of its public half, with a comment.
func sshKey(t testing.TB) (age.Identity, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	check(t, err)
	block, err := ssh.MarshalPrivateKey(private, "herder@example.org")
	check(t, err)
	identities, err := ParseIdentities(pem.EncodeToMemory(block), nil)
	check(t, err)
	line, err := ssh.NewPublicKey(public)
	check(t, err)
	return identities[0], strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))) + " herder@example.org"
}

func open(t testing.TB, store backup.Store, unlock Unlock) *Repository {
	t.Helper()
	r, err := Open(t.Context(), store, unlock)
	check(t, err)
	return r
}

// wantAll opens the repository and wants all backups good, those given among them.
func wantAll(t testing.TB, store backup.Store, unlock Unlock, ids ...backup.ID) {
	t.Helper()
	r := open(t, store, unlock)
	entries, err := r.List(t.Context(), "")
	check(t, err)
	if len(entries) < len(ids) {
		t.Errorf("listed: got %d backups, want %d", len(entries), len(ids))
	}
	for _, e := range entries {
		if e.Err != nil {
			t.Errorf("%s: %v", e.ID, e.Err)
			continue
		}
		wantGood(t, r, e.ID)
		if _, _, err := r.Check(t.Context(), e.Manifest); err != nil {
			t.Errorf("check %s: %v", e.ID, err)
		}
	}
}

func TestRecipients(t *testing.T) {
	herder, herderLine := sshKey(t)
	other := newIdentity(t)
	r, store := create(t)
	mustRun(t, r, second(1), rows(1, 100))
	if _, err := Open(t.Context(), store, with(herder)); exitCode(err) != backup.ExitKey {
		t.Errorf("before it was added: got error %v, want exit code %d", err, backup.ExitKey)
	}
	check(t, r.AddRecipient(t.Context(), herderLine))
	check(t, r.AddRecipient(t.Context(), other.Recipient().String()))
	m := mustRun(t, r, second(2), rows(2, 100))
	for name, unlock := range map[string]Unlock{"origin": with(r.origin), "ssh": with(herder), "age": with(other)} {
		opened := open(t, store, unlock)
		if got := content(t, opened, m.Services[0].Databases[0].Tables[0].Content); string(got) != string(rows(2, 100)) {
			t.Errorf("%s: new rows: got %d bytes", name, len(got))
		}
		if got, want := opened.CheckWord(), r.CheckWord(); got != want {
			t.Errorf("%s: check word: got %s, want %s", name, got, want)
		}
	}
	if got := strings.Join(r.Info.Recipients, ","); strings.Contains(got, "example.org") || strings.Count(got, ",") != 2 {
		t.Errorf("recipients: got %s, want three, without a comment", got)
	}
	// What is shared with the first backup was not sealed to them.
	if got, want := verify(t, open(t, store, with(herder)), second(2)), "sealed to other keys"; !strings.Contains(got, want) {
		t.Errorf("before the rewrap: got %q, want %q", got, want)
	}
	check(t, r.Rewrap(t.Context(), nil))
	if m := mustRun(t, r, second(3), rows(2, 100)); m.Stored.New != 0 {
		t.Errorf("after the rewrap: got %d new bytes, want all reused", m.Stored.New)
	}
	wantAll(t, store, with(herder), second(1), second(2))
	wantAll(t, store, with(other), second(1), second(2))

	check(t, r.RemoveRecipient(t.Context(), herderLine))
	if _, err := Open(t.Context(), store, with(herder)); exitCode(err) != backup.ExitKey {
		t.Errorf("removed: got error %v, want exit code %d", err, backup.ExitKey)
	}
	wantAll(t, store, with(other), second(1), second(2))
	for what, err := range map[string]error{
		"unknown":   r.RemoveRecipient(t.Context(), herderLine),
		"origin":    r.RemoveRecipient(t.Context(), r.Info.Recipients[0]),
		"nonsense":  r.AddRecipient(t.Context(), "age1nonsense"),
		"rsa":       r.AddRecipient(t.Context(), "ssh-rsa AAAA"),
		"not whole": r.AddRecipient(t.Context(), "ssh-ed25519 "),
		"by other":  open(t, store, with(other)).AddRecipient(t.Context(), herderLine),
	} {
		if !errors.As(err, new(*backup.Problem)) {
			t.Errorf("%s: got error %v, want a problem", what, err)
		}
	}
	secret := newIdentity(t).String()
	if err := r.AddRecipient(t.Context(), secret); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a secret key as recipient: got error %v, want one without the key", err)
	}
}

func TestRotate(t *testing.T) {
	other := newIdentity(t)
	r, store := create(t)
	old := r.origin
	mustRun(t, r, second(1), rows(1, 100))
	check(t, r.Pin(t.Context(), second(1), backup.Pinned{}))
	check(t, r.AddRecipient(t.Context(), other.Recipient().String()))
	word := r.CheckWord()
	next := newIdentity(t)
	check(t, r.Rotate(t.Context(), next))
	if r.CheckWord() == word {
		t.Error("the check word is as before")
	}
	m := mustRun(t, r, second(2), rows(1, 100))
	if m.Stored.Reused != 0 {
		t.Errorf("first backup after: got %d bytes reused, want none", m.Stored.Reused)
	}
	wantAll(t, store, with(next), second(1), second(2))
	wantAll(t, store, with(other), second(1), second(2))
	if _, err := Open(t.Context(), store, with(old)); exitCode(err) != backup.ExitKey {
		t.Errorf("the old key: got error %v, want exit code %d", err, backup.ExitKey)
	}
	// A forger with the old key is believed until the retired keys are forgotten.
	forger := r.At(store)
	ring := *r.keys
	ring.Current = r.keys.Retired[0].keys
	forger.keys = &ring
	check(t, forger.putRecord(t.Context(), manifestObject(second(9)), &backup.Manifest{Schema: 1, ID: second(9)}))
	if _, err := r.Manifest(t.Context(), second(9)); err != nil {
		t.Errorf("before: got error %v", err)
	}
	check(t, r.Delete(t.Context(), second(9)))
	check(t, r.Rewrap(t.Context(), nil))
	if got := r.Retired(); got != 1 {
		t.Errorf("retired: got %d, want 1", got)
	}
	check(t, r.ForgetRetired(t.Context()))
	check(t, forger.putRecord(t.Context(), manifestObject(second(9)), &backup.Manifest{Schema: 1, ID: second(9)}))
	if _, err := r.Manifest(t.Context(), second(9)); err == nil {
		t.Error("after: a manifest that was forged with the old key is believed")
	}
	check(t, r.Delete(t.Context(), second(9)))
	for _, unlock := range []Unlock{with(next), with(other), {Derived: r.Derived()}} {
		if len(unlock.Identities) > 0 {
			wantAll(t, store, unlock, second(1), second(2))
		}
		if marks, err := open(t, store, unlock).Marks(t.Context(), second(1)); err != nil || marks.Pinned == nil {
			t.Errorf("the mark: got %+v, error %v", marks, err)
		}
	}
	if got := open(t, store, with(next)).Retired(); got != 0 {
		t.Errorf("retired in the end: got %d, want 0", got)
	}
}

// TestKilledWhileChangingKeys kills each change at each of its writes. All that was readable stays so, with what the host had before or
// has now; the change made again succeeds.
func TestKilledWhileChangingKeys(t *testing.T) {
	other, another, next := newIdentity(t), newIdentity(t), newIdentity(t)
	changes := []struct {
		name   string
		deaths int
		do     func(t *testing.T, r *Repository) error
	}{
		{"add", 3, func(t *testing.T, r *Repository) error {
			return r.AddRecipient(t.Context(), another.Recipient().String())
		}},
		{"remove", 3, func(t *testing.T, r *Repository) error {
			err := r.RemoveRecipient(t.Context(), other.Recipient().String())
			if errors.As(err, new(*backup.Problem)) && len(r.Info.Recipients) == 1 {
				return nil // it was done
			}
			return err
		}},
		{"rotate", 3, func(t *testing.T, r *Repository) error { return r.Rotate(t.Context(), next) }},
		{"rewrap", 4, func(t *testing.T, r *Repository) error { return r.Rewrap(t.Context(), nil) }},
		{"forget", 1, func(t *testing.T, r *Repository) error {
			if err := r.Rewrap(t.Context(), nil); err != nil {
				return err
			}
			return r.ForgetRetired(t.Context())
		}},
	}
	for _, tt := range changes {
		t.Run(tt.name, func(t *testing.T) {
			untilItLives(t, tt.deaths-1, func(t *testing.T, lives int, before bool) error {
				r, store := create(t)
				mustRun(t, r, second(1), rows(1, 100))
				if tt.name == "forget" || tt.name == "rewrap" {
					check(t, r.Rotate(t.Context(), newIdentity(t)))
				}
				check(t, r.AddRecipient(t.Context(), other.Recipient().String()))
				mustRun(t, r, second(2), rows(2, 100))
				kit := with(r.origin, next) // what the host's file holds meanwhile
				died := tt.do(t, open(t, &mortal{Store: store, lives: lives, before: before}, kit))
				wantAll(t, store, kit, second(1), second(2))
				if tt.name != "remove" {
					open(t, store, with(other))
				}
				check(t, tt.do(t, open(t, store, kit)))
				r = open(t, store, kit)
				mustRun(t, r, second(3), rows(3, 100))
				wantAll(t, store, with(r.origin), second(1), second(2), second(3))
				for name := range keyrings(t, store) { // nobody is left in it who was removed
					if _, err := age.Decrypt(bytes.NewReader(readFile(t, store, name)), other); tt.name == "remove" && err == nil {
						t.Errorf("%s opens with the removed key", name)
					}
				}
				return died
			})
		})
	}
}

// keyrings are the objects with keys.
func keyrings(t *testing.T, store backup.Store) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	check(t, store.List(t.Context(), keysPrefix, func(o backup.Object) error { found[o.Name] = o.Size; return nil }))
	if len(found) != 1 {
		t.Errorf("keyrings: got %v, want one", found)
	}
	return found
}

// TestAnySequence makes changes in a random order, and after each wants everything readable with what the kit shows.
func TestAnySequence(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			store := local.New(t.TempDir())
			elsewhere := local.New(t.TempDir())
			host := NewHostKeys(t.TempDir())
			identity, err := CreateKey(host.Identity)
			check(t, err)
			_, err = Create(t.Context(), store, identity)
			check(t, err)
			kit := identity.String()
			others := map[string]age.Identity{}
			var ids []backup.ID
			for step := range 25 {
				unlock, err := host.Unlock()
				check(t, err)
				r := open(t, store, unlock)
				done := "backup"
				switch pick := random.IntN(8); {
				case pick == 0 && r.origin != nil:
					done = "rotate"
					check(t, host.Rotate(t.Context(), r, anyKey))
					kit = r.Origin().String()
				case pick == 1 && r.origin != nil:
					done = "add"
					added := newIdentity(t)
					check(t, r.AddRecipient(t.Context(), added.Recipient().String()))
					others[added.Recipient().String()] = added
				case pick == 2 && r.origin != nil && len(others) > 0:
					done = "remove"
					gone := r.Info.Recipients[1]
					check(t, r.RemoveRecipient(t.Context(), gone))
					delete(others, gone)
				case pick == 3 && r.origin != nil:
					done = "rewrap"
					check(t, r.Rewrap(t.Context(), nil))
					for _, other := range others {
						wantAll(t, store, with(other), ids...)
					}
				case pick == 4 && r.origin != nil:
					done = "seal"
					check(t, host.Seal(t.Context(), r))
				case pick == 5 && r.origin == nil:
					done = "unseal"
					identities, err := ParseIdentities([]byte(kit), nil)
					check(t, err)
					check(t, host.Unseal(open(t, store, with(identities...))))
				case pick == 6 && r.origin != nil && random.IntN(2) == 0:
					done = "forget"
					check(t, r.Rewrap(t.Context(), nil))
					check(t, r.CopyKeys(t.Context(), elsewhere))
					check(t, r.ForgetRetired(t.Context()))
				default:
					ids = append(ids, second(step))
					mustRun(t, r, second(step), rows(step%3, 60))
				}
				identities, err := ParseIdentities([]byte(kit), nil)
				check(t, err)
				wantAll(t, store, with(identities...), ids...)
				for _, other := range others {
					open(t, store, with(other))
				}
				check(t, r.CopyKeys(t.Context(), elsewhere))
				if got := open(t, elsewhere, with(identities...)).CheckWord(); got != open(t, store, with(identities...)).CheckWord() {
					t.Errorf("the keys elsewhere: got word %s, want %s", got, r.CheckWord())
				}
				if t.Failed() {
					t.Fatalf("after step %d, %s", step, done)
				}
			}
		})
	}
}

func TestCopyKeys(t *testing.T) {
	r, store := create(t)
	to := local.New(t.TempDir())
	check(t, r.CopyKeys(t.Context(), to)) // into an empty store
	open(t, to, with(r.origin))
	check(t, r.AddRecipient(t.Context(), newIdentity(t).Recipient().String()))
	older := local.New(t.TempDir())
	check(t, r.CopyKeys(t.Context(), older))
	check(t, r.Rotate(t.Context(), newIdentity(t)))
	if there, err := r.OpenAt(t.Context(), to); err != nil || there.CheckWord() != r.CheckWord() {
		t.Errorf("a copy of an older state: got error %v", err)
	}
	check(t, r.CopyKeys(t.Context(), to)) // of an older state
	open(t, to, with(r.origin))
	if got, want := objects(t, to), objects(t, store); got != want {
		t.Errorf("objects: got %d, want %d", got, want)
	}
	counting := &mortal{Store: to, lives: 1, before: true}
	check(t, r.CopyKeys(t.Context(), counting)) // again: nothing is written, or it would die

	other, _ := create(t)
	if err := other.CopyKeys(t.Context(), to); !errors.As(err, new(*backup.Problem)) || !strings.Contains(err.Error(), "another repository") {
		t.Errorf("another repository: got error %v", err)
	}
	if _, err := other.OpenAt(t.Context(), to); !errors.As(err, new(*backup.Problem)) {
		t.Errorf("open another repository: got error %v", err)
	}
	if _, err := r.OpenAt(t.Context(), local.New(t.TempDir())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open nothing: got error %v, want fs.ErrNotExist", err)
	}
	behind := open(t, older, with(r.identities...)) // a host that was put back to an earlier state
	if err := behind.CopyKeys(t.Context(), to); exitCode(err) != backup.ExitKey {
		t.Errorf("a newer state there: got error %v, want exit code %d", err, backup.ExitKey)
	}
	check(t, os.WriteFile(filepath.Join(to.Root, infoName), []byte("{"), 0o600))
	if err := r.CopyKeys(t.Context(), to); err == nil {
		t.Error("damaged there: got no error")
	}

	untilItLives(t, 3, func(t *testing.T, lives int, before bool) error {
		to := local.New(t.TempDir())
		origin := behind.origin
		check(t, behind.CopyKeys(t.Context(), to))
		died := r.CopyKeys(t.Context(), &mortal{Store: to, lives: lives, before: before})
		open(t, to, with(origin, r.origin))
		check(t, r.CopyKeys(t.Context(), to))
		open(t, to, with(r.origin))
		return died
	})
}

// TestLostKeys: a repository whose keyring is missing is not opened as if it had none: the next change would lose what it held.
func TestLostKeys(t *testing.T) {
	r, store := create(t)
	mustRun(t, r, second(1), rows(1, 100))
	check(t, r.Rotate(t.Context(), newIdentity(t)))
	name := keysPrefix + r.keys.Current.word(r.Info.ID)
	kept := readFile(t, store, name)
	check(t, store.Delete(t.Context(), name))
	if _, err := Open(t.Context(), store, with(r.origin)); err == nil || !strings.Contains(err.Error(), name+" is missing") {
		t.Errorf("got error %v, want one that names the missing object", err)
	}
	writeFile(t, store, name, kept)
	wantAll(t, store, with(r.origin), second(1))
}

// TestFlippedKeys changes bytes of the keyring: it is refused, never passed over.
func TestFlippedKeys(t *testing.T) {
	other := newIdentity(t)
	r, store := create(t)
	check(t, r.AddRecipient(t.Context(), other.Recipient().String()))
	name := keysPrefix + r.keys.Current.word(r.Info.ID)
	for i := 0; i < len(readFile(t, store, name)); i += 7 {
		flip(t, store, name, i)
		for who, identity := range map[string]age.Identity{"origin": r.origin, "added": other} {
			if _, err := Open(t.Context(), store, with(identity)); err == nil {
				t.Errorf("byte %d flipped: %s: got no error", i, who)
			}
		}
		flip(t, store, name, i)
	}
}
