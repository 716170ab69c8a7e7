// Package repository keeps backups in a store, in format 1 (doc/format.md): sealed immutable segments named by a keyed
// hash of their plain content, and sealed manifests that are written last. Start with Open; Writer adds content,
// Commit makes it a backup, Reader gives content back, Verify reads everything, Collect removes what no manifest needs.
//
// What it promises: a backup without all of its segments is never listed, because its manifest is written after them;
// whatever is read is checked against its name or its MAC first; and what is written was decoded and compared before.
package repository

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Format is the repository format that this program writes and reads.
const Format = 1

const infoName = "repository.json"

// Info is the content of repository.json, the only object that is not sealed.
type Info struct {
	Format     int       `json:"format"`
	ID         string    `json:"id"`         // 32 hex digits, random
	Recipients []string  `json:"recipients"` // age public keys that new objects are sealed to
	Created    time.Time `json:"created"`
	MAC        string    `json:"mac"` // HMAC-SHA256 over this object without its mac, so that nobody can add a recipient
}

// Repository is an open repository. It is safe for concurrent use.
type Repository struct {
	Info       Info
	store      backup.Store
	identity   *age.X25519Identity
	recipients []age.Recipient
	keys       keys
	codecs     sync.Pool // of *codec
}

// Create makes an empty repository in store, sealed to identity. The store must not hold one yet.
func Create(ctx context.Context, store backup.Store, identity *age.X25519Identity) (*Repository, error) {
	if _, err := store.Get(ctx, infoName); err == nil {
		return nil, errors.New("create repository: there is one already")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	var id [16]byte
	rand.Read(id[:])
	info := Info{
		Format:     Format,
		ID:         hex.EncodeToString(id[:]),
		Recipients: []string{identity.Recipient().String()},
		Created:    time.Now().UTC().Truncate(time.Second),
	}
	info.MAC = info.mac(deriveKeys(identity, info.ID))
	text, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := store.Put(ctx, infoName, append(text, '\n')); err != nil {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	return Open(ctx, store, identity)
}

// Open opens the repository in store. The error matches fs.ErrNotExist when there is none. A repository of a newer
// format, one that is damaged, and one that the identity does not open are each a *backup.Problem.
func Open(ctx context.Context, store backup.Store, identity *age.X25519Identity) (*Repository, error) {
	text, err := store.Get(ctx, infoName)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	r := &Repository{store: store, identity: identity}
	if err := json.Unmarshal(text, &r.Info); err != nil || r.Info.Format < 1 || r.Info.ID == "" {
		return nil, &backup.Problem{
			Message: "the repository cannot be read: its repository.json is damaged, or belongs to another program",
			Hints:   []string{"nothing was changed; put the file back from a copy of the repository"},
		}
	}
	if r.Info.Format > Format {
		return nil, &backup.Problem{
			Message: fmt.Sprintf("the repository has format %d, this program knows format %d", r.Info.Format, Format),
			Hints:   []string{"update the plugin: dokku plugin:update backup"},
		}
	}
	r.keys = deriveKeys(identity, r.Info.ID)
	if !hmac.Equal([]byte(r.Info.MAC), []byte(r.Info.mac(r.keys))) {
		return nil, &backup.Problem{
			Message: "the key does not open this repository, or repository.json was changed by somebody without the key",
			Hints:   []string{"use the recovery key that was shown when the repository was set up"},
			Code:    backup.ExitKey,
		}
	}
	for _, text := range r.Info.Recipients {
		recipient, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, fmt.Errorf("open repository: recipient %q: %w", text, err)
		}
		r.recipients = append(r.recipients, recipient)
	}
	return r, nil
}

// mac authenticates the info, its own mac left out.
func (i Info) mac(k keys) string {
	i.MAC = ""
	text, err := json.Marshal(i)
	if err != nil {
		panic("repository: info does not marshal: " + err.Error())
	}
	return k.mac(infoName, text)
}
