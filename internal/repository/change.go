package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Keys change in an order of writes that leaves, when it is cut off anywhere, a repository that opens: the object with the keys comes before
// repository.json, which alone says what holds. Whatever was cut off can be done again. All of it wants the repository alone.

// AddRecipient seals new objects to one more public key: an age one, or an SSH one of kind ed25519. Rewrap does the same to old objects.
func (r *Repository) AddRecipient(ctx context.Context, text string) error {
	added, err := parseRecipient(text)
	if err != nil {
		return err
	}
	if slices.Contains(r.Info.Recipients, added.text) {
		return r.setRecipients(ctx, r.Info.Recipients) // a run that was cut off is ended
	}
	return r.setRecipients(ctx, append(slices.Clone(r.Info.Recipients), added.text))
}

// RemoveRecipient takes that back. Who had that key knows the derived keys still: Rotate ends that.
func (r *Repository) RemoveRecipient(ctx context.Context, text string) error {
	removed, err := parseRecipient(text)
	if err != nil {
		return err
	}
	switch slices.Index(r.Info.Recipients, removed.text) {
	case -1:
		unfinished, err := r.changeUnfinished(ctx)
		if err != nil {
			return err
		}
		if unfinished {
			return r.setRecipients(ctx, r.Info.Recipients)
		}
		return &backup.Problem{
			Message: "the repository is not sealed to that key",
			Hints:   []string{"see to which it is: dokku backup:key"},
		}
	case 0:
		return &backup.Problem{
			Message: "that is the repository's own key, which cannot be removed, only replaced",
			Hints:   []string{"replace it: dokku backup:key --rotate"},
		}
	}
	return r.setRecipients(ctx, slices.DeleteFunc(slices.Clone(r.Info.Recipients), func(text string) bool { return text == removed.text }))
}

// changeUnfinished tells whether the keyring is still sealed to others than the repository, which a change of recipients that was cut off leaves.
func (r *Repository) changeUnfinished(ctx context.Context) (bool, error) {
	object, err := r.store.Get(ctx, keysPrefix+r.keys.Current.word(r.Info.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read keys: %w", err)
	}
	return sealedFor(object) != r.recipients.list, nil
}

func (r *Repository) setRecipients(ctx context.Context, list []string) error {
	if r.origin == nil {
		return errNotOrigin()
	}
	either := slices.Clone(list) // while it is not yet said which list holds
	for _, text := range r.Info.Recipients {
		if !slices.Contains(either, text) {
			either = append(either, text)
		}
	}
	return r.change(ctx, *r.keys, r.origin, list, either)
}

// Rotate makes next the identity that the repository's keys come from. What was written before stays readable with next alone, since the retired
// identity is kept in the keyring. New segments have other names, so the next backup is stored in full. To call it again with the same identity
// ends a rotation that was cut off.
func (r *Repository) Rotate(ctx context.Context, next *age.X25519Identity) error {
	if r.origin == nil {
		return errNotOrigin()
	}
	ring := *r.keys
	list := append([]string{next.Recipient().String()}, r.Info.Recipients[1:]...)
	if r.origin.String() != next.String() {
		old := retired{keys: ring.Current, Identity: r.origin.String(), Until: time.Now().UTC().Truncate(time.Second)}
		ring.Retired = append([]retired{old}, ring.Retired...)
		ring.Current = deriveKeys(next, r.Info.ID)
	}
	if err := r.change(ctx, ring, next, list, list); err != nil {
		return err
	}
	return removeKeyrings(ctx, r.store, keysPrefix+ring.Current.word(r.Info.ID))
}

// change stores the keys and who may read them: before, for those that the repository is sealed to now or will be; then repository.json; then for
// those alone that it is sealed to from now on.
func (r *Repository) change(ctx context.Context, ring Keyring, origin *age.X25519Identity, list, either []string) error {
	now, err := parseRecipients(list)
	if err != nil {
		return err
	}
	meanwhile, err := parseRecipients(either)
	if err != nil {
		return err
	}
	ring.Headers = slices.Clone(ring.Headers)
	for _, to := range []audience{r.recipients, newAudience(now...)} {
		sizes, err := to.headerSizes()
		if err != nil {
			return err
		}
		ring.Headers = append(ring.Headers, sizes...)
	}
	slices.Sort(ring.Headers)
	ring.Headers = slices.Compact(ring.Headers)
	if err := r.putKeyring(ctx, &ring, meanwhile); err != nil {
		return err
	}
	info := r.Info
	info.Recipients = list
	info.MAC = info.mac(ring.Current, ringInfoName)
	if info.MAC != r.Info.MAC {
		if err := info.put(ctx, r.store); err != nil {
			return fmt.Errorf("store %s: %w", infoName, err)
		}
	}
	if len(meanwhile) != len(now) {
		if err := r.putKeyring(ctx, &ring, now); err != nil {
			return err
		}
	}
	return r.use(info, &ring, origin, []age.Identity{origin})
}

// ForgetRetired gives up all retired keys but those that name segments: what they authenticate is no longer believed, what they open can no longer be
// read. Every copy of the repository has to be rewrapped before.
func (r *Repository) ForgetRetired(ctx context.Context) error {
	if r.origin == nil {
		return errNotOrigin()
	}
	ring := *r.keys
	ring.Retired = slices.Clone(r.keys.Retired)
	for i, old := range ring.Retired {
		ring.Retired[i] = retired{keys: keys{Segments: old.Segments}, Until: old.Until}
	}
	return r.change(ctx, ring, r.origin, r.Info.Recipients, r.Info.Recipients)
}

// Retired tells how many identities were rotated away whose keys are still believed.
func (r *Repository) Retired() (count int) {
	for _, old := range r.keys.Retired {
		if len(old.Manifests) > 0 {
			count++
		}
	}
	return count
}

func errNotOrigin() error {
	return &backup.Problem{
		Message: "that needs the repository's own key: neither a sealed host nor an added recipient can do it",
		Hints:   []string{"on a sealed host, give the key back first: dokku backup:key --unseal"},
		Code:    backup.ExitKey,
	}
}

// removeKeyrings removes all keyrings but the one called name.
func removeKeyrings(ctx context.Context, store backup.Store, name string) error {
	var stale []string
	err := store.List(ctx, keysPrefix, func(o backup.Object) error {
		if o.Name != name {
			stale = append(stale, o.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	for _, old := range stale {
		if err := store.Delete(ctx, old); err != nil {
			return fmt.Errorf("remove keys: %w", err)
		}
	}
	return nil
}

// OpenAt opens the copy of the repository in another store, which may have been left at keys of before. The error matches fs.ErrNotExist when
// that store holds no repository; another one there, or this one with keys that are not known here, is a *backup.Problem.
func (r *Repository) OpenAt(ctx context.Context, store backup.Store) (*Repository, error) {
	there, err := readInfo(ctx, store)
	if err == nil {
		err = r.recognize(there)
	}
	if err != nil {
		return nil, err
	}
	return r.At(store), nil
}

// recognize refuses what is not this repository with keys that are known here.
func (r *Repository) recognize(there Info) error {
	if there.ID != r.Info.ID {
		return &backup.Problem{Message: fmt.Sprintf("another repository is there: its id is %q, this one's %q", there.ID, r.Info.ID)}
	}
	if !r.keys.authenticInfo(there) {
		return &backup.Problem{
			Message: "this repository is there, but with keys that this host does not know: it was rotated elsewhere, or changed by somebody without the key",
			Code:    backup.ExitKey,
		}
	}
	return nil
}

// CopyKeys brings repository.json and the keys into another store, where they differ there. A store that holds nothing gets them; what OpenAt
// refuses is refused.
func (r *Repository) CopyKeys(ctx context.Context, to backup.Store) error {
	there, err := readInfo(ctx, to)
	if err == nil {
		err = r.recognize(there)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	name := keysPrefix + r.keys.Current.word(r.Info.ID)
	for _, name := range []string{name, infoName} { // in this order: repository.json says which keys hold
		if err := copyChanged(ctx, r.store, to, name); err != nil {
			return err
		}
	}
	if there.MAC == r.Info.MAC {
		return nil
	}
	return removeKeyrings(ctx, to, name)
}

// copyChanged copies an object where it differs, if it is there.
func copyChanged(ctx context.Context, from, to backup.Store, name string) error {
	object, err := from.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if old, err := to.Get(ctx, name); err == nil && bytes.Equal(old, object) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := to.Put(ctx, name, object); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}
