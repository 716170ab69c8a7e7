package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "Show for each service its newest good backup and its problems",
		Description: `One line a service, problems first: how old its newest good backup is, when the next one is due, which stores have it, when a restore was
last practised and how long that took. Below it what is wrong, each with a command that helps. Ends with 3 when anything is.`,
		UsageText: "dokku backup:status\ndokku backup:status --format json",
		Flags:     []cli.Flag{formatFlag()},
		Action:    p.status,
	}
}

func (p *program) status(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	if c.NArg() > 0 {
		return usage(c.Command, "takes no argument")
	}
	h, err := p.assess(c.Context, "")
	if err != nil {
		return err
	}
	if asJSON {
		err = p.printJSON(h)
	} else {
		err = p.printStatus(h, time.Now())
	}
	if err == nil && !h.OK() {
		err = warnings{}
	}
	return err
}

func (p *program) printStatus(h *health.Health, now time.Time) error {
	if len(h.Services) == 0 {
		p.print("No services that can be backed up, and no backups.")
	} else {
		rows := [][]string{{"     ", "SERVICE", "NEWEST GOOD", "NEXT RUN", "STORES", "PRACTISED", "PROBLEMS"}}
		for i := range h.Services {
			rows = append(rows, statusRow(&h.Services[i], now))
		}
		if err := ui.Table(p.stdout, rows); err != nil {
			return err
		}
	}
	todo := [][]string{}
	for _, t := range h.Host {
		todo = append(todo, []string{" !    ", "this host", t.What, t.Do})
	}
	for _, s := range h.Services {
		for _, t := range s.Problems {
			todo = append(todo, []string{" !    ", s.Bare(), ui.FirstWords(t.What), t.Do})
		}
	}
	if len(todo) == 0 {
		return nil
	}
	p.print("")
	return ui.Table(p.stdout, todo)
}

// row is the service's line of the table.
func statusRow(s *health.Service, now time.Time) []string {
	sign, newest, next, stores, problems := " ok  ", "none", "-", "-", "-"
	if s.Newest != "" {
		newest, stores = ui.Age(now.Sub(s.At)), strings.Join(s.Stores, ", ")
	}
	switch {
	case s.Running != nil:
		next = fmt.Sprintf("running, %d %%", *s.Running)
	case s.Off:
		next = "off"
	case !s.Next.IsZero():
		next = ui.Soon(s.Next, now)
	}
	if n := len(s.Problems); n > 0 {
		sign, problems = " !   ", ui.Plural(n, "problem")
	}
	return []string{sign, s.Bare(), newest, next, stores, s.Practised, problems}
}
