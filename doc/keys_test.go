package doc_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

// TestRecoverAfterKeyChanges: whoever the repository is sealed to recovers with the script, before and after a rewrap; the old key does not
// open what was rotated away.
func TestRecoverAfterKeyChanges(t *testing.T) {
	needPrograms(t, "ssh-keygen")
	root, key, m := twoConfigs(t)
	dir := t.TempDir()
	ssh, added, rotated := filepath.Join(dir, "ssh"), filepath.Join(dir, "added"), filepath.Join(dir, "rotated")
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "herder@example.org", "-f", ssh)
	other, err := repository.CreateKey(added)
	check(t, err)
	old, err := repository.ReadKey(key)
	check(t, err)
	r, err := repository.Open(t.Context(), local.New(root), repository.Unlock{Identities: []age.Identity{old}})
	check(t, err)
	check(t, r.AddRecipient(t.Context(), other.Recipient().String()))
	check(t, r.AddRecipient(t.Context(), string(read(t, ssh+".pub"))))
	recovers(t, root, key, m) // the origin, before anything was rewrapped

	next, err := repository.CreateKey(rotated)
	check(t, err)
	check(t, r.Rotate(t.Context(), next))
	for _, identity := range []string{rotated, added, ssh} { // through the retired identity, which the keyring holds
		recovers(t, root, identity, m)
	}
	refuses(t, root, key)

	check(t, r.Rewrap(t.Context(), nil))
	check(t, r.ForgetRetired(t.Context()))
	for _, identity := range []string{rotated, added, ssh} {
		recovers(t, root, identity, m)
	}
	refuses(t, root, key)
	check(t, r.RemoveRecipient(t.Context(), string(read(t, ssh+".pub"))))
	recovers(t, root, added, m)
	refuses(t, root, ssh)
}

func recovers(t *testing.T, root, identity string, m *backup.Manifest) {
	t.Helper()
	if listed := run(t, "./recover", root, identity); !strings.Contains(listed, string(m.ID)) || strings.Contains(listed, "UNREADABLE") {
		t.Errorf("listing with %s: got %q", filepath.Base(identity), listed)
	}
	out := filepath.Join(t.TempDir(), "out")
	run(t, "./recover", root, identity, string(m.ID), out)
	for app, want := range map[string]string{"one": baseConfig, "two": nextConfig} {
		if got := read(t, filepath.Join(out, app+".config.json")); !bytes.Equal(got, []byte(want)) {
			t.Errorf("config of %s with %s: got %q, want %q", app, filepath.Base(identity), got, want)
		}
	}
	check(t, os.RemoveAll(out))
}

func refuses(t *testing.T, root, identity string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./recover", root, identity)
	said, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !bytes.Contains(said, []byte("does not belong to this repository")) {
		t.Errorf("with %s: got exit code %d, %q, want 1 and a refusal", filepath.Base(identity), code, said)
	}
}
