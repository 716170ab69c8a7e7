package repository

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// keysPrefix begins the name of the object that holds a keyring; the current keys' word follows. A repository that was never rotated and has one
// recipient needs none.
const keysPrefix = "keys/"

// Keyring is all derived keys of a repository. Without the identities in it, it lets a host without its identity list backups and make new ones, but
// read no segment.
type Keyring struct {
	Current keys      `json:"current"`
	Retired []retired `json:"retired,omitempty"` // newest first
	Headers []int64   `json:"headers,omitempty"` // lengths of age headers that segments were written with
}

// retired is what an identity left behind that was rotated away. Names of old segments are made with its keys for ever.
type retired struct {
	keys
	Identity string    `json:"identity,omitempty"` // opens what was not rewrapped; never in a keyring on a sealed host
	Until    time.Time `json:"until"`
}

// Unlock is what opens a repository: identities, or on a sealed host the derived keys alone.
type Unlock struct {
	Identities []age.Identity
	Derived    *Keyring
}

// check refuses a keyring that cannot be used.
func (k *Keyring) check() error {
	if !k.Current.whole() {
		return errors.New("keys: the current ones are not whole")
	}
	for _, old := range k.Retired {
		if len(old.Segments) != keySize {
			return errors.New("keys: retired ones are not whole")
		}
	}
	return nil
}

// segmentName is the name of a new segment.
func (k *Keyring) segmentName(plain []byte) string { return k.Current.segmentName(plain) }

// named tells whether plain is the content of the segment called name, new or old.
func (k *Keyring) named(name string, plain []byte) bool {
	return k.Current.segmentName(plain) == name ||
		slices.ContainsFunc(k.Retired, func(old retired) bool { return old.segmentName(plain) == name })
}

// authentic tells whether line is the MAC line of a record with this name and text, new or old.
func (k *Keyring) authentic(line []byte, name string, text []byte) bool {
	if hmac.Equal(line, k.Current.macLine(name, text)) {
		return true
	}
	return slices.ContainsFunc(k.Retired, func(old retired) bool {
		return len(old.Manifests) == keySize && hmac.Equal(line, old.macLine(name, text))
	})
}

// identities are the retired ones, for objects that were not rewrapped.
func (k *Keyring) identities() ([]age.Identity, error) {
	var all []age.Identity
	for _, old := range k.Retired {
		if old.Identity == "" {
			continue
		}
		identity, err := age.ParseX25519Identity(old.Identity)
		if err != nil {
			return nil, errors.New("keys: a retired identity is none")
		}
		all = append(all, identity)
	}
	return all, nil
}

// records are the identities that open manifests and marks.
func (k *Keyring) records() []age.Identity {
	current, _ := k.Current.records()
	all := []age.Identity{current}
	for _, old := range k.Retired {
		if len(old.Records) == keySize {
			identity, _ := old.records()
			all = append(all, identity)
		}
	}
	return all
}

// withoutIdentities is the keyring for a sealed host.
func (k *Keyring) withoutIdentities() *Keyring {
	derived := *k
	derived.Retired = slices.Clone(k.Retired)
	for i := range derived.Retired {
		derived.Retired[i].Identity = ""
	}
	return &derived
}

// keyring finds the keys under which repository.json is authentic, and the identity that they come from, nil when that is not among those given.
func (u Unlock) keyring(ctx context.Context, store backup.Store, info Info) (*Keyring, *age.X25519Identity, error) {
	for _, identity := range u.Identities {
		origin, ok := identity.(*age.X25519Identity)
		if !ok {
			continue
		}
		current := deriveKeys(origin, info.ID)
		ok, stored := info.authentic(current)
		if !ok {
			continue
		}
		name := keysPrefix + current.word(info.ID)
		ring, err := u.readKeyring(ctx, store, name, info)
		if errors.Is(err, fs.ErrNotExist) && !stored {
			return &Keyring{Current: current}, origin, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = &DamageError{name, "missing"}
		}
		if errors.As(err, new(*DamageError)) {
			return nil, nil, &backup.Problem{
				Message: "the repository cannot be opened: " + err.Error(),
				Hints:   []string{"nothing was changed; put the object back from a copy of the repository"},
				Err:     err,
			}
		}
		return ring, origin, err
	}
	ring, err := u.readAnyKeyring(ctx, store, info)
	if err != nil || ring != nil {
		return ring, nil, err
	}
	if u.Derived != nil && u.Derived.check() == nil {
		if ok, _ := info.authentic(u.Derived.Current); ok {
			return u.Derived, nil, nil
		}
	}
	return nil, nil, &backup.Problem{
		Message: "the key does not open this repository, or repository.json was changed by somebody without the key",
		Hints:   []string{"use the recovery key that was shown when the repository was set up, or when its key was rotated last"},
		Code:    backup.ExitKey,
	}
}

// readAnyKeyring finds a keyring that is sealed to one of the identities, which is how an added recipient comes by the keys; nil when there is none.
func (u Unlock) readAnyKeyring(ctx context.Context, store backup.Store, info Info) (*Keyring, error) {
	if len(u.Identities) == 0 {
		return nil, nil
	}
	var names []string
	err := store.List(ctx, keysPrefix, func(o backup.Object) error {
		names = append(names, o.Name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	for _, name := range names {
		ring, err := u.readKeyring(ctx, store, name, info)
		if err == nil || !errors.As(err, new(*DamageError)) && !errors.Is(err, fs.ErrNotExist) {
			return ring, err
		}
	}
	return nil, nil
}

// readKeyring reads a keyring whose current keys are those of info. The error matches fs.ErrNotExist or is a *DamageError when there is none.
func (u Unlock) readKeyring(ctx context.Context, store backup.Store, name string, info Info) (*Keyring, error) {
	object, err := store.Get(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	codec, err := (&Repository{}).newCodec()
	if err != nil {
		return nil, err
	}
	plain := &limited{}
	if err := codec.unsealWith(u.Identities, object, kindRecord, plain); err != nil {
		return nil, &DamageError{name, "damaged, or sealed to other keys"}
	}
	line, text, _ := bytes.Cut(plain.data, []byte("\n"))
	ring := &Keyring{}
	if err := json.Unmarshal(text, ring); err != nil || ring.check() != nil {
		return nil, &DamageError{name, "not as format 1 says"}
	}
	if ok, _ := info.authentic(ring.Current); !ok || !hmac.Equal(line, ring.Current.macLine(name, text)) {
		return nil, &DamageError{name, "not authentic: changed by somebody without the key"}
	}
	return ring, nil
}

// VerifyKeys reads what the store holds of keys: each object is whole, authentic, and opens. On a sealed host that cannot be seen.
func (r *Repository) VerifyKeys(ctx context.Context) error {
	if r.Sealed() {
		return nil
	}
	info, err := readInfo(ctx, r.store)
	if err != nil {
		return err
	}
	var names []string
	err = r.store.List(ctx, keysPrefix, func(o backup.Object) error {
		names = append(names, strings.Clone(o.Name))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	for _, name := range names {
		if _, err := (Unlock{Identities: r.identities}).readKeyring(ctx, r.store, name, info); err != nil {
			return err
		}
	}
	return nil
}

// putKeyring stores a keyring for these recipients. It is not sealed to the key of records: a sealed host must not get at retired identities.
func (r *Repository) putKeyring(ctx context.Context, ring *Keyring, to []recipient) error {
	text, err := json.Marshal(ring)
	if err != nil {
		return err
	}
	codec, err := r.borrowCodec()
	if err != nil {
		return err
	}
	defer r.codecs.Put(codec)
	name := keysPrefix + ring.Current.word(r.Info.ID)
	object, err := codec.sealFor(newAudience(to...), nil, kindRecord, append(append(ring.Current.macLine(name, text), '\n'), text...))
	if err != nil {
		return err
	}
	if err := r.store.Put(ctx, name, object); err != nil {
		return fmt.Errorf("store keys: %w", err)
	}
	return nil
}

// authenticInfo tells whether info was made with these keys, new or old.
func (k *Keyring) authenticInfo(info Info) bool {
	if ok, _ := info.authentic(k.Current); ok {
		return true
	}
	return slices.ContainsFunc(k.Retired, func(old retired) bool {
		ok, _ := info.authentic(old.keys)
		return ok && len(old.Manifests) == keySize
	})
}
