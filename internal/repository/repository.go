// Package repository keeps backups in a store, in format 1 (doc/format.md): sealed immutable segments named by a keyed
// hash of their plain content, and sealed manifests that are written last. Start with Open; Writer adds content,
// Commit makes it a backup, Reader gives content back, Verify reads everything, Collect removes what no manifest needs.
//
// What it promises: a backup without all of its segments is never listed, because its manifest is written after them;
// whatever is read is checked against its name or its MAC first; and what is written was decoded and compared before.
package repository

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Format is the repository format that this program writes and reads.
const Format = 1

const infoName = "repository.json"

// ringInfoName takes its place in the MAC of a repository that has a keyring.
const ringInfoName = "repository.json keys"

// Info is the content of repository.json, the only object that is not sealed.
type Info struct {
	Format     int       `json:"format"`
	ID         string    `json:"id"`         // 32 hex digits, random
	Recipients []string  `json:"recipients"` // public keys that new objects are sealed to, the origin's first
	Created    time.Time `json:"created"`
	MAC        string    `json:"mac"` // HMAC-SHA256 over this object without its mac, so that nobody can add a recipient
}

// Repository is an open repository. It is safe for concurrent use; what changes its keys says that it wants the repository alone.
type Repository struct {
	Info Info
	access
	store  backup.Store
	codecs sync.Pool // of *codec
}

// access is what opening a repository gave.
type access struct {
	keys        *Keyring
	origin      *age.X25519Identity // which the current keys come from; nil when it was opened without
	identities  []age.Identity      // that open segments; none on a sealed host
	forRecords  []age.Identity      // that open records: these, and those of the keys
	recipients  audience            // of segments
	recordsTo   audience            // of records: they can be read with a key of their own too, so that a sealed host lists backups
	sizesDiffer map[int64]bool      // by how much two lists of recipients make an object differ
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
	info.MAC = info.mac(deriveKeys(identity, info.ID), infoName)
	if err := info.put(ctx, store); err != nil {
		return nil, fmt.Errorf("create repository: %w", err)
	}
	return Open(ctx, store, Unlock{Identities: []age.Identity{identity}})
}

// Open opens the repository in store. The error matches fs.ErrNotExist when there is none. A repository of a newer
// format, one that is damaged, and one that unlock does not open are each a *backup.Problem.
func Open(ctx context.Context, store backup.Store, unlock Unlock) (*Repository, error) {
	info, err := readInfo(ctx, store)
	if err != nil {
		return nil, err
	}
	ring, origin, err := unlock.keyring(ctx, store, info)
	if err != nil {
		return nil, err
	}
	r := &Repository{store: store}
	return r, r.use(info, ring, origin, unlock.Identities)
}

// use makes r the repository of these keys.
func (r *Repository) use(info Info, ring *Keyring, origin *age.X25519Identity, identities []age.Identity) error {
	recipients, err := parseRecipients(info.Recipients)
	if err != nil {
		return fmt.Errorf("open repository: %w", err)
	}
	old, err := ring.identities()
	if err != nil {
		return fmt.Errorf("open repository: %w", err)
	}
	_, records := ring.Current.records()
	now := access{
		keys: ring, origin: origin, identities: append(slices.Clone(identities), old...),
		recipients: newAudience(recipients...), recordsTo: newAudience(append(slices.Clone(recipients), records)...),
		sizesDiffer: map[int64]bool{},
	}
	now.forRecords = append(slices.Clone(now.identities), ring.records()...)
	sizes, err := now.recipients.headerSizes()
	if err != nil {
		return fmt.Errorf("open repository: %w", err)
	}
	sizes = append(sizes, ring.Headers...)
	for _, a := range sizes {
		for _, b := range sizes {
			now.sizesDiffer[a-b] = true
		}
	}
	r.Info, r.access = info, now
	return nil
}

// At is the same repository in another store, which is taken to hold a copy.
func (r *Repository) At(store backup.Store) *Repository {
	return &Repository{Info: r.Info, access: r.access, store: store}
}

// Sealed tells whether the repository was opened without an identity: then it can be written to and listed, but no segment can be read.
func (r *Repository) Sealed() bool { return len(r.identities) == 0 }

// Origin is the identity that the repository's keys come from, nil when it was opened without.
func (r *Repository) Origin() *age.X25519Identity { return r.origin }

// Derived is what a sealed host keeps.
func (r *Repository) Derived() *Keyring { return r.keys.withoutIdentities() }

// CheckWord is what a person compares on two hosts, to see that both have the same repository and not one that somebody made up.
func (r *Repository) CheckWord() string {
	word := r.keys.Current.word(r.Info.ID)
	return strings.Join([]string{word[:4], word[4:8], word[8:12], word[12:]}, "-")
}

// Fits tells whether a segment may have this size in a store: that which its manifest says, or another one that it got when it was rewrapped for
// other recipients.
func (r *Repository) Fits(s *backup.Segment, size int64) bool {
	return size > 0 && r.sizesDiffer[size-s.Stored]
}

// audience is whom a new object of this kind is sealed to.
func (r *Repository) audience(kind byte) audience {
	if kind == kindRecord {
		return r.recordsTo
	}
	return r.recipients
}

// openers are the identities that open an object of this kind.
func (r *Repository) openers(kind byte) []age.Identity {
	if kind == kindRecord {
		return r.forRecords
	}
	return r.identities
}

// readInfo reads repository.json. It is not yet known to be authentic.
func readInfo(ctx context.Context, store backup.Store) (Info, error) {
	var info Info
	text, err := store.Get(ctx, infoName)
	if err != nil {
		return info, fmt.Errorf("open repository: %w", err)
	}
	err = json.Unmarshal(text, &info)
	if err == nil && info.Format == Format { // a name that a changed byte makes FORMAT is taken for format: what was read is what is there
		err = info.is(text)
	}
	if err != nil || info.Format < 1 || info.ID == "" {
		return info, &backup.Problem{
			Message: "the repository cannot be read: its repository.json is damaged, or belongs to another program",
			Hints:   []string{"nothing was changed; put the file back from a copy of the repository"},
		}
	}
	if info.Format > Format {
		return info, &backup.Problem{
			Message: fmt.Sprintf("the repository has format %d, this program knows format %d", info.Format, Format),
			Hints:   []string{"update the plugin: dokku plugin:update backup"},
		}
	}
	return info, nil
}

// is returns nil when text is this info, white space aside.
func (i Info) is(text []byte) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return err
	}
	want, err := json.Marshal(i)
	if err == nil && !bytes.Equal(compact.Bytes(), want) {
		err = errors.New("not as format 1 says")
	}
	return err
}

func (i Info) put(ctx context.Context, store backup.Store) error {
	text, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return err
	}
	return store.Put(ctx, infoName, append(text, '\n'))
}

// authentic tells whether these keys are the repository's, and whether there is a keyring, which must not be passed over when it is missing.
func (i Info) authentic(k keys) (ok, ring bool) {
	ring = hmac.Equal([]byte(i.MAC), []byte(i.mac(k, ringInfoName)))
	return ring || hmac.Equal([]byte(i.MAC), []byte(i.mac(k, infoName))), ring
}

// mac authenticates the info under a name, its own mac left out.
func (i Info) mac(k keys, name string) string {
	i.MAC = ""
	text, err := json.Marshal(i)
	if err != nil {
		panic("repository: info does not marshal: " + err.Error())
	}
	return k.mac(name, text)
}
