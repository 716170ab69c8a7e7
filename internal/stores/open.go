package stores

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store"
)

// readers is how many objects are asked for at once where nothing is sent: many of them are small, and a store elsewhere takes its time. How
// many large ones are held is for those who ask.
const readers = 16

// Open connects the store, with the secrets that repo opens. The caller closes it.
func (s Stores) Open(ctx context.Context, r Remote, repo *repository.Repository) (*store.Store, error) {
	location, err := store.ParseLocation(r.URL)
	if err != nil {
		return nil, err
	}
	secrets, err := s.Secrets(r.Name, repo)
	if err != nil {
		return nil, err
	}
	opened, err := store.Open(ctx, location, secrets, store.Options{Bandwidth: r.Bandwidth, Parallel: r.Parallel})
	if err != nil {
		return nil, ErrorOf(r.Name, err)
	}
	return opened, nil
}

// Repository opens the copy of this host's own repository in the store of that name, for reading. Where there is none it is a *backup.Problem.
func (s Stores) Repository(ctx context.Context, name string, own *repository.Repository) (*repository.Repository, error) {
	r, err := s.Get(name)
	if err != nil {
		return nil, err
	}
	r.Parallel = max(r.Parallel, readers)
	opened, err := s.Open(ctx, r, own)
	if err != nil {
		return nil, err
	}
	there, err := own.OpenAt(ctx, opened)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return nil, &backup.Problem{
			Message: fmt.Sprintf("store %q holds no backups yet", name), Hints: []string{"send them: dokku backup:sync " + name},
		}
	}
	if err != nil {
		return nil, ErrorOf(name, err)
	}
	return there, nil
}

// secretsName binds secrets to their store.
func secretsName(name string) string { return "stores/" + name }

// Secrets are what a store needs to log in. Where they cannot be read it is a *backup.Problem.
func (s Stores) Secrets(name string, repo *repository.Repository) (map[string]string, error) {
	secrets := map[string]string{}
	sealed, err := os.ReadFile(s.path(name, secretsFile))
	if err == nil {
		err = repo.Unseal(secretsName(name), sealed, &secrets)
	}
	if err != nil {
		return nil, &backup.Problem{
			Message: fmt.Sprintf("the secrets of store %q cannot be read", name),
			Hints:   []string{"give them again: remove the store, and add it once more; its backups stay"},
			Err:     err,
		}
	}
	return secrets, nil
}

// Reseal seals the secrets of all stores to the current keys.
func (s Stores) Reseal(repo *repository.Repository) error {
	all, err := s.All()
	if err != nil {
		return err
	}
	for _, r := range all {
		secrets, err := s.Secrets(r.Name, repo)
		if err != nil {
			return err
		}
		sealed, err := repo.Seal(secretsName(r.Name), secrets)
		if err != nil {
			return err
		}
		if err := atomicfile.Replace(s.path(r.Name, secretsFile), sealed); err != nil {
			return err
		}
	}
	return nil
}
