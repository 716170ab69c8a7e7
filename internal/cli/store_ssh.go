package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/sftp"
	"github.com/dokku-backup/dokku-backup/internal/stores"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// hostKeyTimeout bounds the first word with an SFTP server.
const hostKeyTimeout = 20 * time.Second

// logInBySSH pins the server's host key, and finds a key or a password to log in with.
func (a *adding) logInBySSH(ctx context.Context) error {
	if err := a.pinHostKey(ctx); err != nil {
		return err
	}
	if a.secrets["password"] != "" || a.secrets["key"] != "" {
		return nil
	}
	terminal := ui.NewTerminal(a.stdin, a.stderr)
	if terminal != nil {
		i, err := terminal.Select(ctx, fmt.Sprintf("How does this host log in as %s?", a.location.User), []string{"with a new key, made for this store alone", "with a password"})
		if err != nil {
			return unanswered(err)
		}
		if i == 1 {
			a.secrets["password"], err = terminal.Secret(ctx, fmt.Sprintf("Password of %s at %s?", a.location.User, a.location.Host))
			return unanswered(err)
		}
	}
	public, isNew, err := a.pendingKey()
	if err != nil {
		return err
	}
	if !isNew && terminal == nil {
		return nil // it was shown before
	}
	a.ui.Step("Let this key in at %s: add it to the file .ssh/authorized_keys of user %s", a.location.Host, a.location.User)
	a.print("%s", public)
	installed := false
	if terminal != nil {
		if installed, err = terminal.Confirm(ctx, "Is the key installed there?"); err != nil {
			return unanswered(err)
		}
	}
	if !installed {
		return &backup.Problem{
			Message: fmt.Sprintf("a key was made for store %q; nothing was sent there yet", a.Name),
			Hints:   []string{"let the public key above in at the server, then run the same command again: the key stays the same"},
		}
	}
	return nil
}

// pinHostKey takes the key that the server shows, when it is the one that --host-key names or a person at a terminal says so.
func (a *adding) pinHostKey(ctx context.Context) error {
	key, fingerprint, err := sftp.ReadHostKey(ctx, a.location.Host, a.location.Port, hostKeyTimeout)
	if err != nil {
		return stores.ErrorOf(a.Name, err)
	}
	a.secrets["host-key"] = key
	kind, _, _ := strings.Cut(key, " ")
	switch wanted := a.c.String("host-key"); {
	case wanted == fingerprint || wanted == key:
		return nil
	case wanted != "":
		return &backup.Problem{
			Message: fmt.Sprintf("the server at %s shows the host key %s %s, not the one that --host-key names", a.location.Host, kind, fingerprint),
			Hints:   []string{"it may be another server that answers: nothing was sent to it"},
		}
	}
	if ui.NewTerminal(a.stdin, a.stderr) == nil {
		return &backup.Problem{
			Message: fmt.Sprintf("the server at %s shows a host key that was not confirmed: %s %s", a.location.Host, kind, fingerprint),
			Hints:   []string{"compare it with what the server's owner says (ssh-keygen -lf on it), and confirm it: --host-key " + fingerprint},
		}
	}
	a.ui.Detail("The server at %s shows the host key %s %s", a.location.Host, kind, fingerprint)
	return a.goOn(ctx, "Is that the right one?", "--host-key FINGERPRINT")
}

// pendingKey is the key made for this store: it stays until the store is added, so that it can be installed in between.
func (a *adding) pendingKey() (public string, isNew bool, err error) {
	path := a.stores().PendingKeyPath(a.Name)
	if private, err := os.ReadFile(path); err == nil {
		a.secrets["key"] = string(private)
		text, err := os.ReadFile(path + ".pub")
		return strings.TrimSpace(string(text)), false, err
	}
	private, public, err := sftp.NewKey("dokku-backup@" + hostname())
	if err != nil {
		return "", false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", false, err
	}
	// The public half first: a key whose public half is not known is of no use.
	if err := errors.Join(atomicfile.Replace(path+".pub", []byte(public+"\n")), atomicfile.Replace(path, private)); err != nil {
		return "", false, err
	}
	a.secrets["key"] = string(private)
	return public, true, nil
}

func (a *adding) forgetPendingKey() error {
	for _, path := range []string{a.stores().PendingKeyPath(a.Name), a.stores().PendingKeyPath(a.Name) + ".pub"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
