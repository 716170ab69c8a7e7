package cli

import (
	"context"

	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/stores"
)

// here is the word for this host's own repository where a store is named.
const here = stores.Here

func (p *program) stores() stores.Stores {
	return stores.Stores{
		Dir: p.host.DataDir(), HostName: hostname(), Waiting: func(store string) { p.ui.Detail("waiting: another run is sending to %s", store) },
	}
}

// repositoryAt opens the repository of this host, for "" or here, or the copy of it in the store of that name.
func (p *program) repositoryAt(ctx context.Context, name string) (*repository.Repository, error) {
	repo, err := p.openRepository(ctx)
	if name == "" || name == here || err != nil {
		return repo, err
	}
	return p.stores().Repository(ctx, name, repo)
}
