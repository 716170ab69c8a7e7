package sftp_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/sftp"
)

func TestReadHostKey(t *testing.T) {
	server := startServer(t)
	hostKey, fingerprint, err := sftp.ReadHostKey(t.Context(), "127.0.0.1", server.port, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if hostKey != server.hostKey {
		t.Errorf("host key: got %q, want %q", hostKey, server.hostKey)
	}
	public := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(public, []byte(hostKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if want := strings.Fields(run(t, "ssh-keygen", "-lf", public))[1]; fingerprint != want {
		t.Errorf("fingerprint: got %q, want %q", fingerprint, want)
	}

	if got, _, err := sftp.ReadHostKey(t.Context(), "127.0.0.1", freePort(t), time.Second); err == nil {
		t.Errorf("nobody listens: got %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := sftp.ReadHostKey(ctx, "127.0.0.1", server.port, time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v, want context.Canceled", err)
	}
}

// TestNewKey: ssh-keygen reads the private half and makes the same public half of it.
func TestNewKey(t *testing.T) {
	private, public, err := sftp.NewKey("dokku-backup on happycows")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, private, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "ssh-keygen", "-y", "-f", path); got != public {
		t.Errorf("public half: got %q, want %q as ssh-keygen makes it", public, got)
	}
}

func TestBadConfig(t *testing.T) {
	private, public, err := sftp.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(t.TempDir(), "locked")
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked)
	withPassphrase, err := os.ReadFile(locked)
	if err != nil {
		t.Fatal(err)
	}
	good := sftp.Config{Host: "example.com", Port: 22, User: "u", Path: "p", Password: "secret", HostKey: public, Timeout: time.Second}
	if _, err := sftp.New(good); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	for name, test := range map[string]struct {
		spoil func(*sftp.Config)
		want  string
	}{
		"no host":        {func(c *sftp.Config) { c.Host = "" }, "host and a user"},
		"no user":        {func(c *sftp.Config) { c.User = "" }, "host and a user"},
		"port 0":         {func(c *sftp.Config) { c.Port = 0 }, "port 0"},
		"port too large": {func(c *sftp.Config) { c.Port = 65536 }, "port 65536"},
		"no timeout":     {func(c *sftp.Config) { c.Timeout = 0 }, "timeout"},
		"no secret":      {func(c *sftp.Config) { c.Password = "" }, "either a password or a key"},
		"two secrets":    {func(c *sftp.Config) { c.Key = private }, "either a password or a key"},
		"no host key":    {func(c *sftp.Config) { c.HostKey = "" }, "host key"},
		"a fingerprint":  {func(c *sftp.Config) { c.HostKey = "SHA256:abc" }, "host key"},
		"not a key":      {func(c *sftp.Config) { c.Password, c.Key = "", []byte("secret") }, "cannot be read"},
		"a passphrase":   {func(c *sftp.Config) { c.Password, c.Key = "", withPassphrase }, "has a passphrase"},
	} {
		c := good
		test.spoil(&c)
		_, err := sftp.New(c)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got error %v, want one that says %q and no secret", name, err, test.want)
		}
	}
}

// wantProblem checks that err is for a person, says what is wanted, gives hints, and no secret.
func wantProblem(t *testing.T, err error, want string) {
	t.Helper()
	var problem *backup.Problem
	if !errors.As(err, &problem) {
		t.Errorf("got error %v, want a problem that says %q", err, want)
		return
	}
	if !strings.Contains(problem.Message, want) || strings.Contains(problem.Message, "\n") || len(problem.Hints) == 0 {
		t.Errorf("got %q and hints %q, want one line with %q, and hints", problem.Message, problem.Hints, want)
	}
	if text := err.Error() + strings.Join(problem.Hints, " "); strings.Contains(text, "wrong horse") || strings.Contains(text, password) {
		t.Errorf("%q tells the password", text)
	}
}

func TestLoginProblems(t *testing.T) {
	server := startServer(t)
	other, public, err := sftp.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	ecdsa := filepath.Join(t.TempDir(), "ecdsa")
	run(t, "ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", ecdsa)
	for name, test := range map[string]struct {
		spoil func(*sftp.Config)
		want  string
	}{
		"wrong password":      {func(c *sftp.Config) { c.Password = "wrong horse" }, "does not accept the password"},
		"unknown user":        {func(c *sftp.Config) { c.User = "nobody-here" }, "does not accept the password"},
		"another key":         {func(c *sftp.Config) { c.Password, c.Key = "", other }, "does not accept the key"},
		"changed host key":    {func(c *sftp.Config) { c.HostKey = public }, "host key has changed: the server shows ssh-ed25519 SHA256:"},
		"other host key type": {func(c *sftp.Config) { c.HostKey = publicKey(t, ecdsa+".pub") }, "host key has changed: it shows none of the pinned type"},
	} {
		t.Run(name, func(t *testing.T) {
			c := server.config()
			test.spoil(&c)
			wantProblem(t, open(t, c).Put(t.Context(), "a/b", []byte("x")), test.want)
		})
	}
	if got := files(t, server.home); len(got) != 0 {
		t.Errorf("files: got %q, want none", got)
	}
}

// TestNoSFTP is a server that lets the user in, and then does not serve files.
func TestNoSFTP(t *testing.T) {
	for setting, want := range map[string]string{
		"MaxSessions 0":                 "does not let",
		"Subsystem other internal-sftp": "does not let",
		"ForceCommand echo hello":       "did not begin SFTP",
		"ChrootDirectory /tmp":          "did not begin SFTP", // not root's alone: sshd hangs up
	} {
		t.Run(setting, func(t *testing.T) {
			err := open(t, startServer(t, setting).config()).Put(t.Context(), "a/b", []byte("x"))
			if want == "does not let" {
				wantProblem(t, err, want)
			} else if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want one that says %q", err, want)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	server := startServer(t)
	c := server.config()
	c.Port = freePort(t)
	err := open(t, c).Put(t.Context(), "a/b", []byte("x"))
	var problem *backup.Problem
	if !errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &problem) {
		t.Errorf("got error %v, want a refused connection, which may pass", err)
	}
}

// TestFolders is what can be wrong with the folder.
func TestFolders(t *testing.T) {
	server := startServer(t)
	put := func(path string) error {
		c := server.config()
		c.Path = path
		return open(t, c).Put(t.Context(), "segments/ab/abc", []byte("x"))
	}
	if err := os.WriteFile(filepath.Join(server.home, "file"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(server.root, "of root"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(server.root, "full", "segments", "ab"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/home/file":        `"/home/file" is a file on the server`,
		"/home/file/in/it":  `"/home/file" is a file on the server`,
		"/outside":          `may not make folder "/outside"`,
		"/of root/deep/dir": `may not make folder "/of root/deep"`,
		"/full":             `has no permission in folder "/full"`,
	} {
		wantProblem(t, put(path), want)
	}
}

func TestReadOnlyServer(t *testing.T) {
	server := startServer(t, "ForceCommand internal-sftp -R")
	if err := os.MkdirAll(filepath.Join(server.home, "a repository", "für Dokku", "segments", "ab"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, server.config())
	wantProblem(t, s.Put(t.Context(), "segments/ab/abc", []byte("x")), "or it may only be read")
	if got := names(t, s, ""); len(got) != 0 {
		t.Errorf("listed: got %q, want nothing", got)
	}
}

func TestNoDelete(t *testing.T) {
	server := startServer(t, "ForceCommand internal-sftp -P remove")
	s := open(t, server.config())
	for range 2 { // replacing needs no permission to delete
		if err := s.Put(t.Context(), "segments/ab/abc", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	wantProblem(t, s.Delete(t.Context(), "segments/ab/abc"), "may not delete")
	s.CutOff(t.Context(), "segments/ab/abd", []byte("xx"))
	wantProblem(t, s.Sweep(), "may not delete")
	if got, want := names(t, s, ""), []string{"segments/ab/abc"}; !slices.Equal(got, want) {
		t.Errorf("listed: got %q, want %q", got, want)
	}
}

// TestFullDisk puts more than the server's disk holds, and then finds it mounted read-only.
func TestFullDisk(t *testing.T) {
	server := startServer(t)
	if err := syscall.Mount("tmpfs", server.home, "tmpfs", 0, "size=1m,mode=777"); err != nil {
		t.Skipf("NOT TESTED: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(server.home, syscall.MNT_DETACH) })
	s := open(t, server.config())
	old := []byte("the old object")
	if err := s.Put(t.Context(), "segments/ab/abc", old); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"segments/ab/abc", "segments/ab/new", "backups/db/new"} {
		wantProblem(t, s.Put(t.Context(), name, make([]byte, 4<<20)), "no space left")
	}
	if got, want := files(t, server.home), []string{"a repository/für Dokku/segments/ab/abc"}; !slices.Equal(got, want) {
		t.Errorf("files: got %q, want %q", got, want)
	}
	if got, err := s.Get(t.Context(), "segments/ab/abc"); err != nil || string(got) != string(old) {
		t.Errorf("the old object: got %q and error %v, want %q", got, err, old)
	}

	if err := syscall.Mount("", server.home, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, s.Put(t.Context(), "segments/ab/new", old), "can only be read")
	wantProblem(t, s.Delete(t.Context(), "segments/ab/abc"), "can only be read")
}
