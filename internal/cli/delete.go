package cli

import (
	"context"
	"errors"
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
A run that failed is taken off the list.`,
		UsageText: "dokku backup:delete happycows-db-20261121T074700Z\ndokku backup:delete happycows-db-20261121T074700Z --yes",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "do not ask"}},
		Action:    p.delete,
	}
}

func (p *program) delete(c *cli.Context) error {
	id, err := idArgument(c)
	if err != nil {
		return err
	}
	repo, err := p.openRepository(c.Context)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return p.forget(id)
	}
	if err != nil {
		return err
	}
	if _, err := repo.Manifest(c.Context, id); errors.Is(err, fs.ErrNotExist) {
		return p.forget(id)
	}
	if err := p.mayDelete(c, repo, id); err != nil {
		return err
	}
	release, ok, err := p.runs().Exclude()
	if err != nil {
		return err
	}
	if !ok {
		return &backup.Problem{
			Message: "a backup or a verify is running; nothing was deleted", Hints: []string{"try again when it has ended"}, Code: backup.ExitLocked,
		}
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
