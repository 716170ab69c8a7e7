package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
	"github.com/dokku-backup/dokku-backup/internal/ui/uitest"
)

// keyHost is a program on a host with one backup that holds content, and the host's key.
func keyHost(t *testing.T) (p *program, key string) {
	t.Helper()
	t.Setenv("DOKKU_LIB_ROOT", t.TempDir())
	p = &program{host: dokku.New(os.Environ())}
	identity, err := repository.CreateKey(p.keyPath())
	if err != nil {
		t.Fatal(err)
	}
	repo, err := repository.Create(t.Context(), local.New(p.repositoryPath()), identity)
	if err != nil {
		t.Fatal(err)
	}
	w, err := repo.NewWriter(t.Context(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	roles, err := w.Bytes(strings.NewReader("CREATE ROLE herder;"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m := entry(0, nil).Manifest
	m.Schema, m.State = backup.Schema, backup.Complete
	m.Services = []backup.Service{{Type: "postgres", Name: "db", Roles: roles}}
	if err := repo.Commit(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return p, identity.String()
}

// said runs one command line without a terminal.
func said(t *testing.T, given, line string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Run(t.Context(), append([]string{"dokku-backup"}, strings.Fields(line)...), strings.NewReader(given), &out, &err)
	return code, out.String(), err.String()
}

// TestKeyLife leads a host through all changes of its keys; after each, a backup is verified with what the kit says.
func TestKeyLife(t *testing.T) {
	_, first := keyHost(t)
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "recovery.key")
	key := first
	steps := []struct {
		line   string
		code   int
		stderr string // that it holds
		verify int    // exit code of a verify afterwards, without the key given
	}{
		{"backup:key", 0, "check word", 0},
		{"backup:key db", 1, "takes no argument", 0},
		{"backup:key --seal --unseal", 1, "takes one change at a time", 0},
		{"backup:key --unseal", 0, "The key is on this host again", 0}, // as it was
		{"backup:key --seal", 1, "add --key-file FILE", 0},
		{"backup:key --seal --key-file FILE", 0, "This host is sealed", 12},
		{"backup:key --seal", 1, "sealed already", 12},
		{"backup:key", 0, "cannot be shown", 12},
		{"backup:list", 0, "", 12},
		{"backup:key --rotate --yes", 12, "needs the repository's own key", 12},
		{"backup:key --add-recipient " + other.Recipient().String(), 12, "needs the repository's own key", 12},
		{"backup:key --add-recipient " + other.Recipient().String() + " --key-file FILE", 0, "sealed to 2 keys", 12},
		{"backup:key --unseal", 12, "its key is needed", 12},
		{"backup:key --unseal --key-file FILE", 0, "on this host again", 0},
		{"backup:key --add-recipient " + other.String(), 1, "secret key", 0},
		{"backup:key --rotate", 1, "--yes", 0},
		{"backup:key --rotate --yes", 0, "The key was replaced", 0},
		{"backup:key --rewrap nowhere", 1, `there is no store "nowhere"`, 0},
		{"backup:key --rewrap", 0, "is sealed to the keys of now", 0},
		{"backup:key --forget-retired", 1, "--yes", 0},
		{"backup:key --forget-retired --yes", 0, "believed no more", 0},
		{"backup:key --forget-retired", 0, "No retired key", 0},
		{"backup:key --remove-recipient " + other.Recipient().String(), 0, "sealed to 1 key", 0},
		{"backup:key --seal --yes", 0, "This host is sealed", 12},
	}
	for _, s := range steps {
		if err := os.WriteFile(file, []byte("# kept\n"+key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := said(t, "", strings.ReplaceAll(s.line, "FILE", file))
		if code != s.code || !strings.Contains(stderr, s.stderr) {
			t.Errorf("%s: got exit code %d and %q, want %d and %q", s.line, code, stderr, s.code, s.stderr)
		}
		if strings.Contains(stderr, "AGE-SECRET-KEY-1Q") || strings.Contains(stderr, key) || strings.Contains(stderr, other.String()) {
			t.Errorf("%s: a key is on stderr: %q", s.line, stderr)
		}
		if strings.HasPrefix(stdout, "AGE-SECRET-KEY-1") {
			key = strings.TrimSpace(stdout)
		}
		if code, _, stderr := said(t, "", "backup:verify db"); code != s.verify {
			t.Fatalf("verify after %s: got exit code %d and %q, want %d", s.line, code, stderr, s.verify)
		}
		if code, _, stderr := said(t, key+"\n", "backup:verify db --key-file -"); code != 0 {
			t.Fatalf("verify with the key after %s: got exit code %d and %q", s.line, code, stderr)
		}
	}
	if key == first {
		t.Error("the key was not rotated")
	}
	if code, _, stderr := said(t, first, "backup:verify db --key-file -"); code != backup.ExitKey {
		t.Errorf("the first key: got exit code %d and %q, want %d", code, stderr, backup.ExitKey)
	}
}

// TestKeysInAStore changes keys on a host that sends its backups to a store, from which they are read all the while.
func TestKeysInAStore(t *testing.T) {
	_, first := keyHost(t)
	elsewhere := t.TempDir()
	steps := []struct {
		line string
		code int // of a verify from the store afterwards
	}{
		{"backup:store-add offsite file://" + elsewhere, 1},
		{"backup:sync", 0},
		{"backup:key --rotate --yes", 0},
		{"backup:sync", 0},
		{"backup:key --rewrap", 0},
		{"backup:key --rewrap offsite", 0},
		{"backup:sync", 0},
		{"backup:key --forget-retired --yes", 0},
		{"backup:sync", 0},
		{"backup:key --seal --yes", backup.ExitKey},
		{"backup:sync", backup.ExitKey},
	}
	key := first
	for _, s := range steps {
		code, stdout, stderr := said(t, "", s.line)
		if code != 0 {
			t.Fatalf("%s: got exit code %d, %q", s.line, code, stderr)
		}
		if strings.HasPrefix(stdout, "AGE-SECRET-KEY-1") {
			key = strings.TrimSpace(stdout)
		}
		if code, _, stderr := said(t, "", "backup:verify db --from offsite"); code != s.code {
			t.Errorf("verify from the store after %s: got exit code %d, %q, want %d", s.line, code, stderr, s.code)
		}
	}
	for name, want := range map[string]int{first: backup.ExitKey, key: 0} { // on a new machine
		t.Setenv("DOKKU_LIB_ROOT", t.TempDir())
		code, _, stderr := said(t, name, "backup:store-add back file://"+elsewhere+" --key-file -")
		if code != want {
			t.Errorf("store-add with the key of then or now: got exit code %d, %q, want %d", code, stderr, want)
		}
	}
}

// TestKeyShownWithoutRepository: when the repository is lost or damaged, its key is shown all the more.
func TestKeyShownWithoutRepository(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"lost": os.Remove, "damaged": func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			p, key := keyHost(t)
			if err := damage(filepath.Join(p.repositoryPath(), "repository.json")); err != nil {
				t.Fatal(err)
			}
			if code, stdout, stderr := said(t, "", "backup:key"); code != 0 || stdout != key+"\n" || !strings.Contains(stderr, " !     ") {
				t.Errorf("got exit code %d, stderr %q, want the key and a warning", code, stderr)
			}
		})
	}
}

func TestKeyFiles(t *testing.T) {
	_, key := keyHost(t)
	if code, _, _ := said(t, "", "backup:key --seal --yes"); code != 0 {
		t.Fatal("not sealed")
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ given, want string }{
		"empty":     {"", "that is not a key: it is empty"},
		"cut":       {key[:40], "no age identity"},
		"recipient": {stranger.Recipient().String(), "no age identity"},
		"stranger":  {stranger.String(), "the key does not open this repository"},
		"ssh":       {"-----BEGIN OPENSSH PRIVATE KEY-----\nbm90aGluZw==\n-----END OPENSSH PRIVATE KEY-----\n", "damaged or of an unknown kind"},
		"endless":   {strings.Repeat("#", 1<<20), "that is not a key"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := said(t, tt.given, "backup:verify db --key-file -")
			if code != backup.ExitKey || !strings.Contains(stderr, tt.want) || stdout != "" {
				t.Errorf("got exit code %d, %q, want %d, %q", code, stderr, backup.ExitKey, tt.want)
			}
			if tt.given != "" && strings.Contains(stderr, tt.given[:min(20, len(tt.given))]) {
				t.Errorf("what was given is on the screen: %q", stderr)
			}
		})
	}
	if code, _, stderr := said(t, "", "backup:verify db --key-file /nowhere"); code != backup.ExitKey || !strings.Contains(stderr, "no such file") {
		t.Errorf("no such file: got exit code %d, %q", code, stderr)
	}
}

// TestKeyAtATerminal seals by pasting the key, and is asked for it when a sealed host has to read.
func TestKeyAtATerminal(t *testing.T) {
	_, key := keyHost(t)
	steps := []struct {
		line  string
		typed []string
		code  int
		want  string
	}{
		{"backup:key --seal", []string{"Paste it", "not the key\r"}, backup.ExitKey, "that is not the key; nothing was done"},
		{"backup:key --seal", []string{"Paste it", uitest.CtrlC}, backup.ExitInterrupted, "nothing was done"},
		{"backup:key --seal", []string{"Paste it", key + "\r"}, 0, "This host is sealed"},
		{"backup:verify db", []string{"Recovery key", key + "\r"}, 0, "is whole"},
		{"backup:verify db", []string{"Recovery key", "\r"}, backup.ExitKey, "this host is sealed"},
		{"backup:key --unseal", []string{"Recovery key", key + "\r"}, 0, "on this host again"},
		{"backup:key --rotate", []string{"Replace", "y", "Paste it", key + "\r"}, backup.ExitKey, "that is not the key; nothing was done"},
		{"backup:verify db", nil, 0, "is whole"},
	}
	for _, s := range steps {
		person := uitest.New(t, "xterm", 100)
		go person.Types(s.typed...)
		code := Run(t.Context(), append([]string{"dokku-backup"}, strings.Fields(s.line)...), person.Terminal, io.Discard, person.Terminal)
		for range 100 { // what was written last is on its way
			if strings.Contains(person.Screen(), s.want) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if screen := person.Screen(); code != s.code || !strings.Contains(screen, s.want) || strings.Contains(screen, key) {
			t.Errorf("%s: got exit code %d and %q, want %d and %q, and no key", s.line, code, screen, s.code, s.want)
		}
	}
}
