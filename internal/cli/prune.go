package cli

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/retention"
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

func (p *program) prune(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	service, err := argument(c)
	if err != nil {
		return err
	}
	place, err := p.placeAt(c.Context, c.String("from"))
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return noBackups(cmp.Or(service, "any service"))
	}
	if err != nil {
		return err
	}
	result := retention.Pruned{Where: place.At, DryRun: c.Bool("dry-run"), Services: []retention.Judged{}}
	if result.DryRun {
		err = place.Foretell(c.Context, service, &result)
	} else {
		err = p.applyRetention(c.Context, place, service, &result)
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

// applyRetention removes what no rule keeps, and frees its space. It holds the repository, and the store, alone.
func (p *program) applyRetention(ctx context.Context, place *retention.Place, service string, result *retention.Pruned) error {
	release, err := p.alone("removed")
	if err != nil {
		return err
	}
	defer release()
	if err := place.Remove(ctx, service, result); err != nil {
		return err
	}
	for _, j := range result.Services {
		if err := p.retentionFailures().Mended(j.Service, place.At); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) printPruned(result retention.Pruned, service string) error {
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
		p.ui.Heading("%s would be removed, %s freed; nothing was changed", ui.Plural(result.Removed, "backup"), ui.Bytes(result.Freed))
	default:
		p.ui.Heading("%s removed, %s freed", ui.Plural(result.Removed, "backup"), ui.Bytes(result.Freed))
	}
	return nil
}

// printJudged shows each backup with what becomes of it and why.
func (p *program) printJudged(j retention.Judged) error {
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
