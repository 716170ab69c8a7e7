package repository

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/zeebo/blake3"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// keys are derived from the identity at setup: whoever has the identity can name segments and authenticate manifests,
// and nobody else, not even who can write to the store and knows the public recipients.
type keys struct {
	segments  []byte // 32 bytes, keyed BLAKE3
	manifests []byte // 32 bytes, HMAC-SHA256
}

func deriveKeys(identity *age.X25519Identity, repository string) keys {
	derive := func(info string) []byte {
		key, err := hkdf.Key(sha256.New, []byte(identity.String()), []byte(repository), info, 32)
		if err != nil {
			panic("repository: hkdf: " + err.Error()) // only for lengths out of range
		}
		return key
	}
	return keys{segments: derive("dokku-backup 1 segment names"), manifests: derive("dokku-backup 1 manifest mac")}
}

// segmentName is the name of the segment with this plain content.
func (k keys) segmentName(plain []byte) string {
	h, err := blake3.NewKeyed(k.segments)
	if err != nil {
		panic("repository: blake3: " + err.Error()) // only for a key that is not 32 bytes long
	}
	h.Write(plain)
	return hex.EncodeToString(h.Sum(nil))
}

// mac authenticates text as the content of the object called name.
func (k keys) mac(name string, text []byte) string {
	h := hmac.New(sha256.New, k.manifests)
	h.Write([]byte(name + "\n"))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// CreateKey makes a new identity and keeps it in the file path, mode 0600. The file must not exist (fs.ErrExist): nothing replaces a lost
// key. After a crash at any point there is the whole file or none. One caller at a time.
func CreateKey(path string) (*age.X25519Identity, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	if err := writeKey(path, identity.String()+"\n"); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return identity, nil
}

func writeKey(path, text string) error {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	part := path + ".part" // one that a killed run left is written anew
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// ReadKey reads the identity in the file path. Its errors never hold what the file holds.
func ReadKey(path string) (*age.X25519Identity, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &backup.Problem{
			Message: "the key of the repository is not on this host",
			Hints:   []string{"put the recovery key (the line that begins with AGE-SECRET-KEY-1) into " + path},
			Code:    backup.ExitKey,
			Err:     err,
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if identity, err := age.ParseX25519Identity(line); err == nil {
			return identity, nil
		}
		break
	}
	return nil, &backup.Problem{
		Message: "the key file of the repository does not hold an age identity",
		Hints:   []string{"put the recovery key (the line that begins with AGE-SECRET-KEY-1) into " + path},
		Code:    backup.ExitKey,
	}
}
