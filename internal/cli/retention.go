package cli

import (
	"bytes"
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

// keepEverything is the setting of an owner that has no rule and does not want the host's.
const keepEverything = "off"

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
		return keepEverything, nil
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
		if r.KeepWithin, err = parseAge(c.String("keep-within")); err != nil || r.KeepWithin == 0 {
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
	if err := p.settingsStore().Set(owner, retentionKey(at), value); err != nil {
		return err
	}
	if name == "" {
		parsed, err := parseRetention(value)
		if err != nil {
			return err
		}
		p.ui.Heading("Retention of %s: %s", whose, retentionWords(parsed))
		return nil
	}
	r, err := p.rule(name, at)
	if err != nil {
		return err
	}
	p.ui.Heading("Retention of %s: %s%s", whose, retentionWords(r.Retention), r.origin())
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

// retentionKey is the setting that holds a place's rule.
func retentionKey(at string) string {
	if at == here {
		return "retention"
	}
	return "retention@" + at
}

// forgetRules removes the rules for a store that is removed: another one of that name begins without.
func (p *program) forgetRules(at string) error {
	owners, err := p.settingsStore().Owners()
	if err != nil {
		return err
	}
	for _, owner := range owners {
		if err := p.settingsStore().Set(owner, retentionKey(at), ""); err != nil {
			return err
		}
	}
	return nil
}

// rule is the retention that holds for a service in a place.
type rule struct {
	backup.Retention        // zero: everything is kept
	Owner            string // service or host, "" when nothing was set
}

func (r rule) none() bool { return r.Retention == backup.Retention{} }

func (r rule) origin() string {
	if r.Owner == "host" {
		return ", as for all services"
	}
	return ""
}

// rule looks for a store's own rule, then for that of here; the service's goes before the host's.
func (p *program) rule(service, at string) (rule, error) {
	for _, key := range []string{retentionKey(at), retentionKey(here)} {
		for _, owner := range []settings.Owner{settings.Service(service), settings.Host} {
			if owner == settings.Service("") {
				continue
			}
			value, err := p.settingsStore().Get(owner, key)
			if err != nil {
				return rule{}, err
			}
			if value == "" {
				continue
			}
			r := rule{Owner: "service"}
			if owner == settings.Host {
				r.Owner = "host"
			}
			if r.Retention, err = parseRetention(value); err != nil {
				return rule{}, &backup.Problem{
					Message: fmt.Sprintf("the retention that is set for %s cannot be read, so nothing is removed: %v", service, err),
					Hints:   []string{"set it again: dokku backup:retention " + service + " --keep-daily 14 ..."},
				}
			}
			return r, nil
		}
	}
	return rule{}, nil
}

// parseRetention reads a setting. What it does not know, since a newer program wrote it, may be what keeps a backup: it is an error.
func parseRetention(value string) (backup.Retention, error) {
	var r backup.Retention
	if value == "" || value == keepEverything {
		return r, nil
	}
	in := json.NewDecoder(bytes.NewReader([]byte(value)))
	in.DisallowUnknownFields()
	if err := in.Decode(&r); err != nil {
		return backup.Retention{}, err
	}
	return r, r.Check()
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
	g := &pruning{program: p, at: here, repo: repo}
	found, err := g.glance(ctx, service)
	if err != nil {
		return outlook{}, err
	}
	var o outlook
	for _, v := range found {
		o.backups += len(v.Decisions)
		o.removes += len(v.removed())
	}
	return o, nil
}

func (o outlook) words(service string) string {
	if o.removes == 0 {
		return fmt.Sprintf("%s here; all of them stay", count(o.backups, "backup"))
	}
	return fmt.Sprintf("%s here, %d of which would be removed; see which: dokku backup:prune %s --dry-run", count(o.backups, "backup"), o.removes, service)
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
			r, err := p.rule(s, at)
			if err != nil {
				return err
			}
			if s != service && r.Owner != "service" {
				continue // it has settings, but no rule of its own
			}
			line := shownRule{Service: s, Where: at, SetFor: r.Owner}
			if !r.none() {
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
