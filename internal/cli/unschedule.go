package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/schedule"
)

func (p *program) unscheduleCommand() *cli.Command {
	return &cli.Command{
		Name: "unschedule", ArgsUsage: "<service> [<name>]", Usage: "Remove a schedule",
		Description: "Removes the schedule of that name, or the only one of the service. Backups stay as they are.",
		UsageText:   "dokku backup:unschedule happycows-db\ndokku backup:unschedule happycows-db daily",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "remove all schedules of the service"}},
		Action:      p.unschedule,
	}
}

func (p *program) unschedule(c *cli.Context) error {
	name := c.Args().Get(1)
	switch {
	case c.NArg() < 1 || c.NArg() > 2:
		return usage(c.Command, "takes a service and the name of a schedule")
	case name != "" && c.Bool("all"):
		return usage(c.Command, "--all removes all of them: give no name with it")
	}
	there, err := p.schedulesOf(c.Args().First())
	if err != nil {
		p.ui.Warn("%v", err) // of others, perhaps
	}
	var names []string
	for _, s := range there {
		names = append(names, s.Name)
	}
	if name != "" {
		there = slices.DeleteFunc(there, func(s schedule.Schedule) bool { return s.Name != name })
	}
	switch {
	case len(names) == 0:
		return &backup.Problem{
			Message: fmt.Sprintf("%s has no schedule", c.Args().First()), Hints: []string{"see all schedules: dokku backup:schedules"},
		}
	case len(there) == 0:
		return &backup.Problem{Message: fmt.Sprintf("%s has no schedule %q; it has %s", c.Args().First(), name, strings.Join(names, ", "))}
	case len(there) > 1 && !c.Bool("all"):
		return usage(c.Command, "which one? %s has %s; name one, or give --all", c.Args().First(), strings.Join(names, ", "))
	}
	for _, s := range there {
		if err := p.schedules().Remove(s); err != nil {
			return err
		}
		p.ui.Heading("Unscheduling %s: %s", s.Service, s.Name)
	}
	return p.refreshCrontab(c.Context)
}
