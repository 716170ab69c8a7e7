package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// reportFacts are what a report shows beside settings: keys, and what they mean.
func reportFacts() [][2]string {
	return [][2]string{
		{"type", "its type, such as postgres"},
		{"newest", "id of the newest good backup; of an app, those of its services"},
		{"newest-at", "when that was made, in UTC"},
		{"newest-age", "how long ago that was"},
		{"stores", "where that is"},
		{"backups", "how many there are"},
		{"verified", "when one was last verified"},
		{"practised", "when one was last practised, and how long that took"},
		{"problems", "how many there are; status names them"},
		{"schedules", "its schedules"},
		{"next-run", "when the next of them runs, in UTC"},
		{"retention", "which backups stay"},
		{"services", "the services linked to it that can be backed up"},
	}
}

// flagPrefix is what the flags of a report begin with.
const flagPrefix = "backup-"

func (p *program) reportCommand() *cli.Command {
	flags := []cli.Flag{&cli.BoolFlag{Name: "global", Usage: "show what is set for the host"}, formatFlag()}
	for _, f := range reportFacts() {
		flags = append(flags, &cli.BoolFlag{Name: flagPrefix + f[0], Usage: f[1]})
	}
	for _, s := range settingsTable() {
		flags = append(flags, &cli.BoolFlag{Name: flagPrefix + s.key, Usage: "the setting that holds; see set"})
	}
	return &cli.Command{
		Name: "report", ArgsUsage: "[--global|<service>|<app>] [<flag>]", Usage: "Show what is set and kept for a service or an app",
		Description: `Shows a service's newest good backup, its schedules, stores and settings, or an app's settings and services; without a name all services.
A setting is shown with the value that holds: its own, else the host's, else the default. With one flag only that value is printed.`,
		UsageText: "dokku backup:report happycows-db\ndokku backup:report happycows-db --backup-newest\ndokku backup:report happycows --format json",
		Flags:     flags,
		Action:    p.report,
	}
}

// reported is a service, an app or the host in a report, with its values by key.
type reported struct {
	name   string
	values map[string]string
}

func (p *program) report(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	name, err := argument(c)
	if err != nil {
		return err
	}
	flag := ""
	for _, set := range c.FlagNames() {
		key, is := strings.CutPrefix(set, flagPrefix)
		switch {
		case !is:
		case flag != "":
			return usage(c.Command, "takes one flag, not --%s%s and --%s", flagPrefix, flag, set)
		case asJSON:
			return inDokkusWords("report", "--format flag cannot be specified when specifying an info flag")
		default:
			flag = key
		}
	}
	found, err := p.reportOn(c.Context, name, c.Bool("global"))
	if err != nil {
		return err
	}
	if flag != "" {
		return p.printFact(found, flag)
	}
	for _, r := range found {
		if asJSON {
			err = errors.Join(err, json.NewEncoder(p.stdout).Encode(r.values))
		} else {
			p.printReported(r)
		}
	}
	return err
}

// reportOn looks up what a name means: a service, an app, both, or, without one, all services.
func (p *program) reportOn(ctx context.Context, name string, global bool) ([]reported, error) {
	if global {
		r, err := p.hostReport()
		return []reported{r}, err
	}
	if name == "" {
		return p.serviceReports(ctx, "")
	}
	var found []reported
	service, notService := p.host.Find(ctx, name)
	if notService == nil {
		var err error
		if found, err = p.serviceReports(ctx, service.String()); err != nil {
			return nil, err
		}
	}
	app, err := p.isApp(ctx, name)
	if err != nil {
		return nil, err
	}
	if !app {
		return found, notService
	}
	r, err := p.appReport(ctx, name)
	return append(found, r), err
}

// serviceReports are all of one service, or of all that exist or have backups, in the order of their names.
func (p *program) serviceReports(ctx context.Context, only string) ([]reported, error) {
	h, err := p.assess(ctx, only)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(h.Services, func(a, b health.Service) int { return strings.Compare(a.Service, b.Service) })
	var found []reported
	for _, s := range h.Services {
		r, err := p.serviceReport(s)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

func (p *program) serviceReport(s health.Service) (reported, error) {
	age := ""
	if !s.At.IsZero() {
		age = ui.Age(time.Since(s.At))
	}
	schedules, err := p.schedulesOf(s.Service)
	if err != nil {
		return reported{}, err
	}
	var scheduled []string
	for _, one := range schedules {
		scheduled = append(scheduled, one.Name+": "+one.Words())
	}
	rule, err := p.rules().Of(s.Bare(), here)
	if err != nil {
		return reported{}, err
	}
	r := reported{s.Bare(), map[string]string{
		"type": strings.TrimSuffix(strings.TrimSuffix(s.Service, s.Bare()), ":"), "newest": string(s.Newest), "newest-at": stamp(s.At), "newest-age": age,
		"stores": strings.Join(s.Stores, " "), "backups": fmt.Sprint(s.Backups), "verified": s.Verified, "practised": s.Practised,
		"problems": fmt.Sprint(len(s.Problems)), "schedules": strings.Join(scheduled, "\n"), "next-run": stamp(s.Next), "retention": retentionWords(rule.Retention),
	}}
	return r, p.addSettings(r, ofService, func(key string) (string, error) { return p.setting(s.Bare(), key) })
}

// stamp is a time for programs, "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// appReport is all of an app.
func (p *program) appReport(ctx context.Context, app string) (reported, error) {
	r := reported{app, map[string]string{}}
	services, err := p.host.Linked(ctx, "postgres", app)
	if err != nil {
		return r, err
	}
	var names, newest []string
	for _, service := range services {
		names = append(names, service.Name)
		h, err := p.assess(ctx, service.String())
		if err != nil {
			return r, err
		}
		for _, s := range h.Services {
			newest = append(newest, cmp.Or(string(s.Newest), "none"))
		}
	}
	r.values["services"], r.values["newest"] = strings.Join(names, " "), strings.Join(newest, " ")
	return r, p.addSettings(r, ofApp, func(key string) (string, error) { return p.appSetting(app, key) })
}

// hostReport is what is set for the host.
func (p *program) hostReport() (reported, error) {
	r := reported{"--global", map[string]string{}}
	for _, s := range settingsTable() {
		if s.global {
			value, err := p.hostSetting(s.key)
			if err != nil {
				return r, err
			}
			r.values[s.key] = value
		}
	}
	return r, nil
}

func (p *program) addSettings(r reported, of scope, get func(key string) (string, error)) error {
	for _, s := range settingsTable() {
		if s.of == of {
			value, err := get(s.key)
			if err != nil {
				return err
			}
			r.values[s.key] = value
		}
	}
	return nil
}

// printFact prints the one value that a flag asks for, of each that has it.
func (p *program) printFact(found []reported, key string) error {
	known := false
	var valid []string
	for _, r := range found {
		if value, has := r.values[key]; has {
			known = true
			p.print("%s", value)
		}
		for key := range r.values {
			valid = append(valid, "--"+flagPrefix+key)
		}
	}
	if known || len(found) == 0 {
		return nil
	}
	slices.Sort(valid)
	return inDokkusWords("report", "Invalid flag passed, valid flags: "+strings.Join(slices.Compact(valid), ", "))
}

// printReported prints a report as Dokku's own are printed (ReportSingleApp in its plugins/common/common.go).
func (p *program) printReported(r reported) {
	if os.Getenv("DOKKU_QUIET_OUTPUT") == "" {
		p.print("=====> %s backup information", r.name)
	}
	keys := slices.Sorted(maps.Keys(r.values))
	width := 31
	for _, key := range keys {
		width = max(width, len("--"+flagPrefix+key))
	}
	for _, key := range keys {
		p.print("       %-*s%s", width, "Backup "+strings.ReplaceAll(key, "-", " ")+":", strings.Join(splitLines(r.values[key]), "; "))
	}
}

// reportApp prints an app's part of `dokku report`.
func (p *program) reportApp(ctx context.Context, app string) error {
	r, err := p.appReport(ctx, app)
	if err != nil {
		return &backup.Problem{Message: "backup: no report of " + app + ": " + repository.Told(err).Message, Err: err}
	}
	p.printReported(r)
	return nil
}
