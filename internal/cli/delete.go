package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) deleteCommand() *cli.Command {
	return &cli.Command{
		Name: "delete", ArgsUsage: "<id>", Usage: "Delete a backup and free what only it needed",
		Description: `Deletes one backup for good. Data that other backups share stays. A pinned backup is not deleted.
Copies in stores stay, until they are deleted there with --from. A run that failed is taken off the list.`,
		UsageText: "dokku backup:delete happycows-db-20261121T074700Z\ndokku backup:delete happycows-db-20261121T074700Z --yes",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "from", Value: here, Usage: "`STORE` to delete it from: here is this host's own repository"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
		},
		Action: p.delete,
	}
}

func (p *program) delete(c *cli.Context) error {
	id, err := idArgument(c)
	if err != nil {
		return err
	}
	from := c.String("from")
	repo, err := p.repositoryAt(c.Context, from)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return p.forget(id)
	}
	if err != nil {
		return err
	}
	if _, err := repo.Manifest(c.Context, id); errors.Is(err, fs.ErrNotExist) {
		if from != here {
			return &backup.Problem{Message: fmt.Sprintf("store %q has no backup %s", from, id), Hints: []string{"see what it has: dokku backup:list --from " + from}}
		}
		return p.forget(id)
	}
	if from != here {
		release, err := p.holdCopy(c.Context, repo, from, id)
		if err != nil {
			return err
		}
		defer release()
	}
	if err := p.mayDelete(c, repo, id); err != nil {
		return err
	}
	release, err := p.alone("deleted")
	if err != nil {
		return err
	}
	defer release()
	if err := repo.Delete(c.Context, id); err != nil {
		return err
	}
	p.ui.Step("Deleted %s", id)
	collected, err := repo.Collect(c.Context)
	if err != nil {
		return err
	}
	p.ui.Detail("%s freed", ui.Bytes(collected.Bytes))
	return p.stillAt(from, id)
}

// holdCopy sees that the copy in a store may be deleted, and keeps other runs out of the store until release is called.
func (p *program) holdCopy(ctx context.Context, there *repository.Repository, from string, id backup.ID) (release func() error, err error) {
	if err := p.stores().MayWrite(ctx, there, from); err != nil {
		return nil, err
	}
	own, err := p.openRepository(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := own.Manifest(ctx, id); err == nil {
		return nil, &backup.Problem{
			Message: fmt.Sprintf("%s is here too, and would be sent to %s again", id, from),
			Hints:   []string{"delete it here first: dokku backup:delete " + string(id)},
		}
	}
	return p.stores().Hold(ctx, from)
}

// stillAt forgets the copy in the store that the backup was deleted from, or says where else it stays.
func (p *program) stillAt(from string, id backup.ID) error {
	copies, err := p.stores().Copies()
	if err != nil {
		return err
	}
	for name, remembered := range copies.ByStore {
		_, there := remembered.Confirmed[id]
		switch {
		case name == from:
			remembered.Forget(id)
			if err := p.stores().Remember(name, remembered); err != nil {
				return err
			}
		case there:
			p.ui.Detail("it stays in store %s; delete it there too: dokku backup:delete %s --from %[1]s", name, id)
		}
	}
	return nil
}

// forget takes a failed run off the list.
func (p *program) forget(id backup.ID) error {
	known, err := p.runs().Forget(id)
	if err != nil {
		return err
	}
	if !known {
		return p.noBackup(id)
	}
	p.ui.Step("Forgot the failed run %s", id)
	return nil
}

// mayDelete refuses a backup that is not there or is pinned, and asks.
func (p *program) mayDelete(c *cli.Context, repo *repository.Repository, id backup.ID) error {
	entry, err := p.find(c.Context, repo, string(id))
	var damage *repository.DamageError
	if err != nil && !errors.As(err, &damage) { // one that cannot be read may go
		return err
	}
	if entry.Marks.Pinned != nil {
		return &backup.Problem{Message: string(id) + " is pinned and was not deleted", Hints: []string{"unpin it first: dokku backup:unpin " + string(id)}}
	}
	if c.Bool("yes") || c.Bool("force") {
		return nil
	}
	if last, err := p.isLast(c.Context, repo, id); err != nil {
		return err
	} else if last {
		p.ui.Warn("this is the only backup of %s", id.Service())
	}
	return p.confirm(c.Context, "To delete it for good, type its id:", string(id), "--yes")
}

func (p *program) isLast(ctx context.Context, repo *repository.Repository, id backup.ID) (bool, error) {
	entries, err := repo.List(ctx, id.Service())
	return len(entries) == 1, err
}

// idArgument is the id that a command takes; a service's name is not enough where something is changed.
func idArgument(c *cli.Context) (backup.ID, error) {
	name, err := argument(c)
	if err != nil {
		return "", err
	}
	if name == "" {
		return "", usage(c.Command, "which backup? give its id")
	}
	id, err := backup.ParseID(name)
	if err != nil {
		return "", &backup.Problem{Message: err.Error(), Hints: []string{"see all ids: dokku backup:list"}}
	}
	return id, nil
}
