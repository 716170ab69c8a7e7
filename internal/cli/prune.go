package cli

import (
	"cmp"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) pruneCommand() *cli.Command {
	return &cli.Command{
		Name: "prune", ArgsUsage: "[<service>]", Usage: "Remove the backups that retention does not keep",
		Description: `Applies the retention of a service, or of all services, now; each backup that is made does so too. With --dry-run nothing is removed, and
each backup is shown with the rules that keep it or let it go. Copies in stores stay, until --from names the store.`,
		UsageText: "dokku backup:prune happycows-db --dry-run\ndokku backup:prune\ndokku backup:prune --from offsite",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "remove nothing; say what would go, and why the others stay"},
			&cli.StringFlag{Name: "from", Value: here, Usage: "`STORE` to remove backups from, by its rule: here is this host's own repository"},
			formatFlag(),
		},
		Action: p.prune,
	}
}

// pruned is what came of a prune, or would.
type pruned struct {
	Where    string   `json:"where"`
	DryRun   bool     `json:"dry_run"`
	Services []judged `json:"services"`
	Removed  int      `json:"removed"`
	Freed    int64    `json:"freed_bytes"`
}

// judged is what the rule of a service decides on its backups in one place.
type judged struct {
	Service   string            `json:"service"` // type:name
	Rule      *backup.Retention `json:"rule"`    // null: everything is kept
	Decisions []backup.Decision `json:"backups"` // newest first
}

// removed are the backups that go.
func (j judged) removed() []backup.ID {
	var ids []backup.ID
	for _, d := range j.Decisions {
		if !d.Keep {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

func (p *program) prune(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	service, err := argument(c)
	if err != nil {
		return err
	}
	g, err := p.pruningAt(c.Context, c.String("from"))
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return noBackups(cmp.Or(service, "any service"))
	}
	if err != nil {
		return err
	}
	result := pruned{Where: g.at, DryRun: c.Bool("dry-run"), Services: []judged{}}
	if result.DryRun {
		err = g.foretell(c.Context, service, &result)
	} else {
		err = g.apply(c.Context, service, &result)
	}
	if err != nil {
		return err
	}
	if service != "" && len(result.Services) == 0 {
		return noBackups(service)
	}
	if asJSON {
		return p.printJSON(result)
	}
	return p.printPruned(result, service)
}

func (p *program) printPruned(result pruned, service string) error {
	ruled := false
	for _, j := range result.Services {
		if j.Rule == nil {
			if service != "" {
				p.ui.Detail("%s has no retention: everything is kept; set one: dokku backup:retention %s --keep-daily 14", j.Service, service)
			}
			continue
		}
		ruled = true
		if result.DryRun {
			if err := p.printJudged(j); err != nil {
				return err
			}
		}
	}
	if !ruled && service == "" {
		p.ui.Detail("no service has a retention: everything is kept; set one: dokku backup:retention --global --keep-daily 14")
	}
	switch {
	case !ruled && result.Freed == 0:
	case result.DryRun:
		p.ui.Heading("%s would be removed, %s freed; nothing was changed", count(result.Removed, "backup"), ui.Bytes(result.Freed))
	default:
		p.ui.Heading("%s removed, %s freed", count(result.Removed, "backup"), ui.Bytes(result.Freed))
	}
	return nil
}

// printJudged shows each backup with what becomes of it and why.
func (p *program) printJudged(j judged) error {
	p.ui.Step("%s: %s", j.Service, retentionWords(*j.Rule))
	rows := [][]string{{"ID", "AGE", "", "WHY"}}
	for _, d := range j.Decisions {
		what := "remove"
		if d.Keep {
			what = "keep"
		}
		rows = append(rows, []string{string(d.ID), ui.Age(time.Since(d.ID.Time())), what, strings.Join(d.Rules, ", ")})
	}
	return ui.Table(p.stdout, rows)
}
