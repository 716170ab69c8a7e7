package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// cancelWait is how long a run may take to clear away what it made.
const cancelWait = time.Minute

func (p *program) cancelCommand() *cli.Command {
	return &cli.Command{
		Name: "cancel", ArgsUsage: "<service>", Usage: "Stop the backup of a service that is under way",
		Description: `Ends the run as Ctrl-C would: it clears away what it made, counts as failed, and earlier backups stay as they are.
A run that a schedule started is not started again before its next time.`,
		UsageText: "dokku backup:cancel happycows-db\ndokku backup:cancel postgres:happycows-db",
		Action:    p.cancel,
	}
}

func (p *program) cancel(c *cli.Context) error {
	name, err := argument(c)
	if err != nil {
		return err
	}
	name = name[strings.IndexByte(name, ':')+1:]
	if !backup.ValidServiceName(name) {
		return usage(c.Command, "the backup of which service? give its name")
	}
	ctx, cancel := context.WithTimeoutCause(c.Context, cancelWait, errors.New("it is still clearing away what it made"))
	defer cancel()
	record, ok, err := p.runs().Cancel(ctx, name)
	switch {
	case errors.Is(err, syscall.EPERM):
		return &backup.Problem{
			Message: fmt.Sprintf("process %d belongs to another user and cannot be ended by this one", record.PID),
			Hints:   []string{fmt.Sprintf("as root: kill -INT %d", record.PID)}, Err: err,
		}
	case err != nil:
		return err
	case !ok:
		return &backup.Problem{Message: "no backup of " + name + " is under way; nothing was stopped", Hints: []string{"see what there is: dokku backup:list " + name}}
	}
	p.ui.Heading("%s was stopped; nothing was kept of it, earlier backups are intact", record.ID)
	return nil
}
