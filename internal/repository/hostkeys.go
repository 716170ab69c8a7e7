package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// HostKeys are the keys that a host keeps of its repository: the identity, or, on a sealed host, the derived keys alone. Each change is made of
// writes in an order that leaves, when it is cut off anywhere, a host that works in the one mode or the other; it can be made again then.
type HostKeys struct {
	Identity string // path of the file with the identity; during a rotation with the next one in a second line
	Derived  string // path of the file with the derived keys

	write  func(path string, text []byte) error
	remove func(path string) error
}

// NewHostKeys are the keys kept in the folder dir.
func NewHostKeys(dir string) *HostKeys {
	return &HostKeys{Identity: filepath.Join(dir, "identity"), Derived: filepath.Join(dir, "derived"), write: writeKey, remove: removeKey}
}

// Unlock reads what the host has. A host with neither is a *backup.Problem that matches fs.ErrNotExist.
func (h *HostKeys) Unlock() (Unlock, error) {
	text, err := os.ReadFile(h.Identity)
	if err == nil {
		identities, err := ParseIdentities(text, nil)
		if err != nil {
			return Unlock{}, badKey(h.Identity)
		}
		return Unlock{Identities: identities}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Unlock{}, fmt.Errorf("read key: %w", err)
	}
	text, missing := os.ReadFile(h.Derived)
	if errors.Is(missing, fs.ErrNotExist) {
		return Unlock{}, noKey(h.Identity, err)
	}
	if missing != nil {
		return Unlock{}, fmt.Errorf("read derived keys: %w", missing)
	}
	ring := &Keyring{}
	if json.Unmarshal(text, ring) != nil || ring.check() != nil {
		return Unlock{}, &backup.Problem{
			Message: "the derived keys of this sealed host are damaged",
			Hints:   []string{"give the recovery key back, then seal again: dokku backup:key --unseal"},
			Code:    backup.ExitKey,
		}
	}
	return Unlock{Derived: ring}, nil
}

// Sealed tells whether the host is sealed.
func (h *HostKeys) Sealed() bool {
	_, identity := os.Lstat(h.Identity)
	_, derived := os.Lstat(h.Derived)
	return identity != nil && derived == nil
}

// Seal leaves the derived keys of r on the host and removes the identity. Manifests and marks that only the identity opens are rewrapped before.
func (h *HostKeys) Seal(ctx context.Context, r *Repository) error {
	if r.origin == nil {
		return errNotOrigin()
	}
	if err := r.RewrapRecords(ctx); err != nil {
		return err
	}
	if err := h.writeDerived(r); err != nil {
		return err
	}
	if err := h.remove(h.Identity); err != nil {
		return fmt.Errorf("remove key: %w", err)
	}
	return nil
}

// Unseal puts the identity that r was opened with back on the host.
func (h *HostKeys) Unseal(r *Repository) error {
	if r.origin == nil {
		return &backup.Problem{
			Message: "that key opens the repository, but is an added recipient's: a host keeps the repository's own",
			Hints:   []string{"an added recipient's key can be given to single commands: --key-file FILE"},
			Code:    backup.ExitKey,
		}
	}
	if err := h.write(h.Identity, line(r.origin)); err != nil {
		return fmt.Errorf("keep key: %w", err)
	}
	if err := h.remove(h.Derived); err != nil {
		return fmt.Errorf("remove derived keys: %w", err)
	}
	return nil
}

// Adopt makes the identity that r was opened with this host's own, which has none. Of an added recipient's the host keeps the derived keys
// alone: it is then a sealed one.
func (h *HostKeys) Adopt(r *Repository) error {
	if r.origin == nil {
		return h.writeDerived(r)
	}
	if err := h.write(h.Identity, line(r.origin)); err != nil {
		return fmt.Errorf("keep key: %w", err)
	}
	return nil
}

// Refresh keeps the keys of r on a sealed host, after they changed. On any other host there is nothing to do.
func (h *HostKeys) Refresh(r *Repository) error {
	if !h.Sealed() {
		return nil
	}
	return h.writeDerived(r)
}

// Rotate gives the repository a new identity and keeps that on the host. Before it is in force, kept is called with it: an error ends the rotation
// there. One that was cut off, or ended so, goes on with the identity that it made.
func (h *HostKeys) Rotate(ctx context.Context, r *Repository, kept func(next *age.X25519Identity) error) error {
	if r.origin == nil || h.Sealed() {
		return errNotOrigin()
	}
	unlock, err := h.Unlock()
	if err != nil {
		return err
	}
	next, ok := unlock.Identities[len(unlock.Identities)-1].(*age.X25519Identity)
	if !ok || len(unlock.Identities) == 1 {
		if next, err = age.GenerateX25519Identity(); err != nil {
			return fmt.Errorf("make key: %w", err)
		}
		both := bytes.Join([][]byte{line(r.origin), []byte("# the next one, in force when its rotation has ended:\n"), line(next)}, nil)
		if err := h.write(h.Identity, both); err != nil {
			return fmt.Errorf("keep key: %w", err)
		}
	}
	if next.String() != r.origin.String() {
		if err := kept(next); err != nil {
			return err
		}
	}
	if err := r.Rotate(ctx, next); err != nil {
		return err
	}
	if err := h.write(h.Identity, line(next)); err != nil {
		return fmt.Errorf("keep key: %w", err)
	}
	return nil
}

func (h *HostKeys) writeDerived(r *Repository) error {
	text, err := json.MarshalIndent(r.Derived(), "", "  ")
	if err != nil {
		return err
	}
	if err := h.write(h.Derived, append(text, '\n')); err != nil {
		return fmt.Errorf("keep derived keys: %w", err)
	}
	return nil
}

func line(identity *age.X25519Identity) []byte { return []byte(identity.String() + "\n") }
