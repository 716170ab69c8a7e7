package repository

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// CreateKey makes a new identity and keeps it in the file path, mode 0600. The file must not exist (fs.ErrExist): nothing replaces a lost
// key. After a crash at any point there is the whole file or none. One caller at a time.
func CreateKey(path string) (*age.X25519Identity, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("make key: %w", &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist})
	}
	if err := writeKey(path, []byte(identity.String()+"\n")); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return identity, nil
}

// unfinished is the file that becomes path when it is whole.
func unfinished(path string) string { return path + ".part" }

// writeKey replaces the file path, mode 0600: after a crash there is the old one or the new one.
func writeKey(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	part := unfinished(path) // one that a killed run left is written anew
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// removeKey removes the file path, and what a write of it that was cut off left.
func removeKey(path string) error {
	for _, name := range []string{unfinished(path), path} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// ReadKey reads the first identity in the file path. Its errors never hold what the file holds.
func ReadKey(path string) (*age.X25519Identity, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noKey(path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	identities, err := ParseIdentities(text, nil)
	if err == nil {
		if identity, ok := identities[0].(*age.X25519Identity); ok {
			return identity, nil
		}
	}
	return nil, badKey(path)
}

func badKey(path string) error {
	return &backup.Problem{
		Message: "the key file of the repository does not hold an age identity",
		Hints:   []string{"put the recovery key (the line that begins with AGE-SECRET-KEY-1) into " + path},
		Code:    backup.ExitKey,
	}
}

func noKey(path string, err error) error {
	return &backup.Problem{
		Message: "the key of the repository is not on this host",
		Hints:   []string{"put the recovery key (the line that begins with AGE-SECRET-KEY-1) into " + path},
		Code:    backup.ExitKey,
		Err:     err,
	}
}

// ParseIdentities reads what a person keeps as a key: lines that begin with AGE-SECRET-KEY-1, or one OpenSSH private key of kind ed25519. When that is
// encrypted, passphrase is asked; nil where nobody can be. The errors are *backup.Problem and never hold what text holds.
func ParseIdentities(text []byte, passphrase func() ([]byte, error)) ([]age.Identity, error) {
	if bytes.Contains(text, []byte("-----BEGIN ")) {
		identity, err := parseSSHKey(text, passphrase)
		if err != nil {
			return nil, err
		}
		return []age.Identity{identity}, nil
	}
	var identities []age.Identity
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		identity, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, notAKey("a line of it is no age identity")
		}
		identities = append(identities, identity)
	}
	if len(identities) == 0 {
		return nil, notAKey("it is empty")
	}
	return identities, nil
}

func notAKey(why string) error {
	return &backup.Problem{
		Message: "that is not a key: " + why,
		Hints:   []string{"a key is the line that begins with AGE-SECRET-KEY-1, or an OpenSSH private key of kind ed25519"},
		Code:    backup.ExitKey,
	}
}

func parseSSHKey(text []byte, passphrase func() ([]byte, error)) (age.Identity, error) {
	key, err := ssh.ParseRawPrivateKey(text)
	if errors.As(err, new(*ssh.PassphraseMissingError)) {
		if passphrase == nil {
			return nil, notAKey("it is an OpenSSH key with a passphrase, and there is no terminal to ask for that on")
		}
		typed, err := passphrase()
		if err != nil {
			return nil, err
		}
		if key, err = ssh.ParseRawPrivateKeyWithPassphrase(text, typed); err != nil {
			return nil, notAKey("the passphrase does not open it")
		}
	} else if err != nil {
		return nil, notAKey("it begins as an OpenSSH key does, but is damaged or of an unknown kind")
	}
	switch key := key.(type) { // the library gives the one or the other, by the file's form
	case *ed25519.PrivateKey:
		return agessh.NewEd25519Identity(*key)
	case ed25519.PrivateKey:
		return agessh.NewEd25519Identity(key)
	}
	return nil, notAKey("it is an OpenSSH key, but not of kind ed25519")
}
