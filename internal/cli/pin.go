package cli

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

func (p *program) pinCommand() *cli.Command {
	return &cli.Command{
		Name: "pin", ArgsUsage: "<id>", Usage: "Protect a backup from being deleted",
		Description: "A pinned backup is never removed, by nobody, until it is unpinned.",
		UsageText:   "dokku backup:pin happycows-db-20261121T074700Z",
		Action: func(c *cli.Context) error {
			id, err := idArgument(c)
			if err != nil {
				return err
			}
			return p.pin(c.Context, id)
		},
	}
}

func (p *program) pin(ctx context.Context, id backup.ID) error {
	release, err := p.runs().Share() // so that it is not removed meanwhile
	if err != nil {
		return err
	}
	defer release()
	repo, entry, err := p.chosen(ctx, here, string(id))
	if err != nil {
		return err
	}
	if entry.Marks.Pinned == nil {
		if err := repo.Pin(ctx, id, backup.Pinned{At: time.Now().UTC().Truncate(time.Second)}); err != nil {
			return err
		}
	}
	p.ui.Step("Pinned %s", id)
	return nil
}

func (p *program) unpinCommand() *cli.Command {
	return &cli.Command{
		Name: "unpin", ArgsUsage: "<id>", Usage: "Allow a pinned backup to be deleted again",
		Description: "Takes a pin back. It deletes nothing.",
		UsageText:   "dokku backup:unpin happycows-db-20261121T074700Z",
		Action: func(c *cli.Context) error {
			id, err := idArgument(c)
			if err != nil {
				return err
			}
			repo, _, err := p.chosen(c.Context, here, string(id))
			if err != nil {
				return err
			}
			if err := repo.Unpin(c.Context, id); err != nil {
				return err
			}
			p.ui.Step("Unpinned %s", id)
			return nil
		},
	}
}
