package cli

import (
	"errors"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
)

func (p *program) keyCommand() *cli.Command {
	return &cli.Command{
		Name: "key", Usage: "Show the recovery key that opens the backups",
		Description: `Prints the recovery key of this host's repository on stdout. Whoever has it and a copy of the repository can read
every backup; without it nobody can. Keep it elsewhere than on this host.`,
		UsageText: "dokku backup:key\ndokku backup:key > /mnt/usb/dokku-backup.key",
		Action:    p.key,
	}
}

func (p *program) key(c *cli.Context) error {
	if c.NArg() > 0 {
		return usage(c.Command, "takes no argument")
	}
	identity, err := repository.ReadKey(p.keyPath())
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := p.openRepository(c.Context); errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
			return &backup.Problem{
				Message: "there is no key yet: it is made with the first backup",
				Hints:   []string{"make one: dokku backup:create SERVICE"}, Code: backup.ExitKey,
			}
		}
	}
	if err != nil {
		return err
	}
	p.ui.Detail("This key opens every backup in %s. Keep it elsewhere, and secret:", p.repositoryPath())
	p.print("%s", identity)
	return nil
}
