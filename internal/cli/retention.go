package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/retention"
	"github.com/dokku-backup/dokku-backup/internal/settings"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) retentionCommand() *cli.Command {
	return &cli.Command{
		Name: "retention", ArgsUsage: "[--global|<service>]", Usage: "Show or set which backups stay",
		Description: `Sets which backups of a service stay, or of all services that have no rule of their own (--global). A backup stays when any part of
the rule keeps it: the newest backup of each of the last so many hours, days, weeks, months and years that have one, in UTC. All flags
that are given together replace the rule that was there. Without flags it shows what applies, and what that would remove.

Whatever the rule says, these are never removed: pinned backups, the newest good one and all after it, the newest without warnings, the
newest practised one, and those that restores which have not finished need. Without any rule everything is kept. The rule is applied after each backup, and by prune.`,
		UsageText: `dokku backup:retention happycows-db --keep-last 7 --keep-daily 14 --keep-weekly 8 --keep-monthly 12 --keep-yearly 3
dokku backup:retention --global --keep-within 48h --keep-daily 30 --max-total 20GB
dokku backup:retention happycows-db --store offsite --keep-monthly 24
dokku backup:retention happycows-db`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "global", Usage: "for all services that have no rule of their own"},
			&cli.IntFlag{Name: "keep-last", Usage: "keep the newest `N` backups"},
			&cli.IntFlag{Name: "keep-hourly", Usage: "keep the newest backup of each of the last `N` hours that have one"},
			&cli.IntFlag{Name: "keep-daily", Usage: "the same of `N` days"},
			&cli.IntFlag{Name: "keep-weekly", Usage: "the same of `N` weeks, which begin on Monday"},
			&cli.IntFlag{Name: "keep-monthly", Usage: "the same of `N` months"},
			&cli.IntFlag{Name: "keep-yearly", Usage: "the same of `N` years"},
			&cli.StringFlag{Name: "keep-within", Usage: "keep all backups made within `TIME`, such as 48h or 14d, before the newest good one"},
			&cli.StringFlag{Name: "max-total", Usage: "keep no more than `SIZE`, such as 20GB, of stored data: the oldest go"},
			&cli.StringFlag{Name: "store", Value: here, Usage: "`STORE` that the rule is for; without one of its own it has the same as here"},
			&cli.BoolFlag{Name: "off", Usage: "keep everything, whatever holds for all services"},
			&cli.BoolFlag{Name: "default", Usage: "take the rule back: what holds for all services holds again"},
			formatFlag(),
		},
		Action: p.retention,
	}
}

// retentionFlags are those that make a rule, or take it back.
var retentionFlags = []string{
	"keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly", "keep-within", "max-total", "off", "default",
}

func (p *program) retention(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	name, err := argument(c)
	if err != nil {
		return err
	}
	set := 0
	for _, flag := range retentionFlags {
		if c.IsSet(flag) {
			set++
		}
	}
	switch {
	case c.Bool("global") && name != "":
		return usage(c.Command, "--global and %q contradict each other", name)
	case set == 0:
		return p.showRetention(c, name, asJSON)
	case name == "" && !c.Bool("global"):
		return usage(c.Command, "which service? name it, or say --global for all that have no rule of their own")
	case set > 1 && (c.Bool("off") || c.Bool("default")):
		return usage(c.Command, "--off and --default each stand alone")
	}
	value, err := retentionValue(c)
	if err != nil {
		return err
	}
	return p.setRetention(c, name, value)
}

// retentionValue is the setting that the flags ask for: a rule as JSON, "off", or "" for none.
func retentionValue(c *cli.Context) (string, error) {
	switch {
	case c.Bool("off"):
		return retention.KeepEverything, nil
	case c.Bool("default"):
		return "", nil
	}
	r := backup.Retention{
		KeepLast: c.Int("keep-last"), KeepHourly: c.Int("keep-hourly"), KeepDaily: c.Int("keep-daily"),
		KeepWeekly: c.Int("keep-weekly"), KeepMonthly: c.Int("keep-monthly"), KeepYearly: c.Int("keep-yearly"),
	}
	for _, flag := range retentionFlags[:6] {
		if c.IsSet(flag) && c.Int(flag) < 1 {
			return "", usage(c.Command, "--%s is 1 or more, not %d; leave it out to keep none by it", flag, c.Int(flag))
		}
	}
	var err error
	if c.IsSet("keep-within") {
		if r.KeepWithin, err = backup.ParseAge(c.String("keep-within")); err != nil || r.KeepWithin == 0 {
			return "", usage(c.Command, "--keep-within is a time such as 48h or 14d, not %q", c.String("keep-within"))
		}
	}
	if c.IsSet("max-total") {
		size, err := humanize.ParseBytes(c.String("max-total"))
		if err != nil || size > math.MaxInt64 || size < 1e6 { // a forgotten unit would leave next to nothing
			return "", usage(c.Command, "--max-total is a size such as 500MB or 20GB, not %q", c.String("max-total"))
		}
		r.MaxTotal = int64(size)
	}
	if err := r.Check(); err != nil {
		return "", usage(c.Command, "%v", err)
	}
	text, err := json.Marshal(r)
	return string(text), err
}

func (p *program) setRetention(c *cli.Context, name, value string) error {
	owner, whose := settings.Host, "all services without a rule of their own"
	if name != "" {
		service, err := p.host.Find(c.Context, name)
		if err != nil {
			return err
		}
		name = service.Name
		owner, whose = settings.Service(name), name
	}
	at := c.String("store")
	if at != here {
		if _, err := p.stores().Get(at); err != nil {
			return err
		}
		whose += " at " + at
	}
	if err := p.rules().Set(owner, at, value); err != nil {
		return err
	}
	if name == "" {
		parsed, err := retention.Parse(value)
		if err != nil {
			return err
		}
		p.ui.Heading("Retention of %s: %s", whose, retentionWords(parsed))
		return nil
	}
	r, err := p.rules().Of(name, at)
	if err != nil {
		return err
	}
	p.ui.Heading("Retention of %s: %s%s", whose, retentionWords(r.Retention), origin(r))
	if at != here {
		p.ui.Detail("see what it removes there: dokku backup:prune %s --from %s --dry-run", name, at)
		return nil
	}
	found, err := p.outlook(c.Context, name)
	if err == nil {
		p.ui.Detail("%s", found.words(name))
	}
	return err
}

// retentionWords is a rule as a person set it.
func retentionWords(r backup.Retention) string {
	var parts []string
	for _, k := range []struct {
		name  string
		count int
	}{
		{"keep-last", r.KeepLast}, {"keep-hourly", r.KeepHourly}, {"keep-daily", r.KeepDaily},
		{"keep-weekly", r.KeepWeekly}, {"keep-monthly", r.KeepMonthly}, {"keep-yearly", r.KeepYearly},
	} {
		if k.count > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", k.name, k.count))
		}
	}
	if r.KeepWithin > 0 {
		parts = append(parts, "keep-within "+backup.Span(r.KeepWithin))
	}
	if r.MaxTotal > 0 {
		parts = append(parts, "max-total "+ui.Bytes(r.MaxTotal))
	}
	if len(parts) == 0 {
		return "everything is kept"
	}
	return strings.Join(parts, ", ")
}

// origin says whose rule it is, where that is not the service's own.
func origin(r retention.Rule) string {
	if r.Owner == "host" {
		return ", as for all services"
	}
	return ""
}

func (p *program) rules() retention.Rules { return retention.Rules{Settings: p.settingsStore()} }

// outlook is what the rule of a service would do here, as far as the index of backups tells.
type outlook struct{ backups, removes int }

func (p *program) outlook(ctx context.Context, service string) (outlook, error) {
	repo, err := p.openRepository(ctx)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return outlook{}, nil
	}
	if err != nil {
		return outlook{}, err
	}
	found, err := p.place(here, repo, nil).Glance(ctx, service)
	if err != nil {
		return outlook{}, err
	}
	var o outlook
	for _, v := range found {
		o.backups += len(v.Decisions)
		o.removes += len(v.Removed())
	}
	return o, nil
}

func (o outlook) words(service string) string {
	if o.removes == 0 {
		return fmt.Sprintf("%s here; all of them stay", ui.Plural(o.backups, "backup"))
	}
	return fmt.Sprintf("%s here, %d of which would be removed; see which: dokku backup:prune %s --dry-run", ui.Plural(o.backups, "backup"), o.removes, service)
}

// shownRule is a rule as --format json shows it.
type shownRule struct {
	Service string            `json:"service,omitempty"` // "": all without a rule of their own
	Where   string            `json:"where"`
	Rule    *backup.Retention `json:"rule"` // null: everything is kept
	SetFor  string            `json:"set_for,omitempty"`
}

func (p *program) showRetention(c *cli.Context, name string, asJSON bool) error {
	service := name[strings.IndexByte(name, ':')+1:]
	if name != "" && !backup.ValidServiceName(service) {
		return usage(c.Command, "%q is not the name of a service", name)
	}
	services := []string{service}
	if name == "" && !c.Bool("global") {
		owners, err := p.settingsStore().Owners()
		if err != nil {
			return err
		}
		services = []string{""}
		for _, o := range owners {
			if backup.ValidServiceName(string(o)) {
				services = append(services, string(o))
			}
		}
	}
	places := []string{here}
	stores, err := p.stores().Addressed()
	if err != nil {
		return err
	}
	for _, r := range stores {
		places = append(places, r.Name)
	}
	shown := []shownRule{}
	for _, s := range services {
		for _, at := range places {
			r, err := p.rules().Of(s, at)
			if err != nil {
				return err
			}
			if s != service && r.Owner != "service" {
				continue // it has settings, but no rule of its own
			}
			line := shownRule{Service: s, Where: at, SetFor: r.Owner}
			if !r.None() {
				line.Rule = &r.Retention
			}
			shown = append(shown, line)
		}
	}
	if asJSON {
		return p.printJSON(shown)
	}
	return p.printRetention(c.Context, service, shown)
}

func (p *program) printRetention(ctx context.Context, service string, shown []shownRule) error {
	rows := [][]string{{"SERVICE", "WHERE", "RULE", "SET FOR"}}
	for _, s := range shown {
		var r backup.Retention
		if s.Rule != nil {
			r = *s.Rule
		}
		whose := map[string]string{"service": "the service", "host": "all services", "": "-"}[s.SetFor]
		if s.Service == "" {
			s.Service = "(all others)"
		}
		rows = append(rows, []string{s.Service, s.Where, retentionWords(r), whose})
	}
	if err := ui.Table(p.stdout, rows); err != nil || service == "" {
		return err
	}
	found, err := p.outlook(ctx, service)
	if err == nil {
		p.ui.Detail("%s", found.words(service))
	}
	return err
}
