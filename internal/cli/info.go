package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/stores"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// largestTables is how many tables of a database are shown.
const largestTables = 10

func (p *program) infoCommand() *cli.Command {
	return &cli.Command{
		Name: "info", ArgsUsage: "<id or service>", Usage: "Show what a backup holds and how far it is proven",
		Description: `Shows a backup as a page; with --format json, its manifest and marks. A service's name means its newest backup.
Config values are sealed and never shown.`,
		UsageText: "dokku backup:info happycows-db\ndokku backup:info happycows-db-20261121T074700Z --format json",
		Flags:     []cli.Flag{fromFlag(), formatFlag()},
		Action:    p.info,
	}
}

func (p *program) info(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	name, err := argument(c)
	if err != nil {
		return err
	}
	if name == "" {
		return usage(c.Command, "which backup? give an id or a service")
	}
	_, entry, err := p.chosen(c.Context, c.String("from"), name)
	if err != nil {
		return err
	}
	copies, err := p.stores().Copies()
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(struct {
			*backup.Manifest
			Marks  backup.Marks       `json:"marks"`
			Stores []stores.CopyState `json:"stores,omitempty"`
		}{entry.Manifest, entry.Marks, copies.Of(entry.ID)})
	}
	for _, line := range infoPage(entry, copies.Of(entry.ID)) {
		p.print("%s", line)
	}
	return nil
}

// infoPage is a backup as a person reads it.
func infoPage(e repository.Entry, copies []stores.CopyState) []string {
	m := e.Manifest
	page := []string{"=====> " + string(m.ID)}
	add := func(key, format string, args ...any) {
		page = append(page, fmt.Sprintf("       %-14s %s", key, fmt.Sprintf(format, args...)))
	}
	add("taken", "%s, %s ago, in %s", ui.Time(m.CreatedAt), ui.Age(time.Since(m.CreatedAt)), ui.Took(time.Duration(m.Timings.Total)*time.Millisecond))
	add("state", "%s", proof(entryLine(e, copies)))
	for _, w := range m.Warnings {
		add("warning", "%s", w)
	}
	if m.Note != "" {
		add("note", "%s", m.Note)
	}
	add("host", "%s, Dokku %s, dokku-backup %s, started by: %s", m.Host.Name, m.Host.Dokku, m.Host.Plugin, m.Trigger)
	for _, s := range m.Services {
		add("service", "%s:%s on %s, PostgreSQL %s", s.Type, s.Name, s.Image, s.ServerVersion)
		for _, d := range s.Databases {
			addDatabase(add, d)
		}
	}
	for _, app := range m.Apps {
		addApp(add, app)
	}
	add("size", "%s as %s; %s of it new, the rest shared with backups before", ui.Bytes(m.Stored.Raw), ui.Bytes(m.Stored.New+m.Stored.Reused), ui.Bytes(m.Stored.New))
	add("stored", "here, confirmed when it was made")
	for _, state := range copies {
		if state.Confirmed.IsZero() {
			add("", "%s: MISSING; send it: dokku backup:sync %[1]s", state.Store)
		} else {
			add("", "%s: confirmed %s ago, verified %s", state.Store, ui.Age(time.Since(state.Confirmed)), verifiedWords(state.Verified))
		}
	}
	add("verified", "%s", verifiedWords(e.Marks.Verified))
	add("practised", "%s", practisedWords(e.Marks.Practised))
	add("prove it", "dokku backup:practice %s", m.ID)
	add("restore it", "dokku backup:restore %s NEW-SERVICE", m.ID)
	return page
}

func addDatabase(add func(key, format string, args ...any), d backup.Database) {
	var rows int64
	for _, t := range d.Tables {
		rows += t.Rows
	}
	add("database", "%s: %s, %s rows, %s (%s on disk), %s, %s", d.Name, ui.Plural(len(d.Tables), "table"), ui.Count(rows),
		ui.Bytes(d.Dump.Bytes), ui.Bytes(d.Size), d.Encoding, d.Collation)
	var extensions []string
	for _, x := range d.Extensions {
		extensions = append(extensions, x.Name+" "+x.Version)
	}
	if len(extensions) > 0 {
		add("", "extensions: %s", strings.Join(extensions, ", "))
	}
	if d.Migration != nil {
		add("", "migrations: %s, %d applied, the last is %s", d.Migration.Tool, len(d.Migration.Applied), d.Migration.Head)
	}
	largest := slices.Clone(d.Tables)
	slices.SortStableFunc(largest, func(a, b backup.Table) int { return int(min(max(b.Bytes-a.Bytes, -1), 1)) })
	for i, t := range largest {
		if i == largestTables {
			add("", "and %d more", len(largest)-i)
			break
		}
		add("", "%-40s %14s rows %10s", t.Schema+"."+t.Name, ui.Count(t.Rows), ui.Bytes(t.Bytes))
	}
}

func addApp(add func(key, format string, args ...any), app backup.App) {
	if app.Commit == "" {
		add("app", "%s, %s, commit not known", app.Name, app.State)
	} else {
		add("app", "%s, %s, commit %s %q", app.Name, app.State, app.Commit, app.Subject)
	}
	add("", "certainty: %s (%s)", app.Certainty, strings.Join(app.Evidence, "; "))
	if !app.DeployedAt.IsZero() {
		add("", "deployed: %s", ui.Time(app.DeployedAt))
	}
	if app.Bundle != nil {
		add("", "code: %s as a git bundle, %s", ui.Plural(app.Bundle.Commits, "commit"), ui.Bytes(app.Bundle.Bytes))
	}
	if app.Config != nil {
		add("", "config: %s, sealed", ui.Plural(len(app.ConfigKeys), "value"))
	}
}

func verifiedWords(v *backup.Verified) string {
	switch {
	case v == nil:
		return "never"
	case v.OK() && v.Share > 0:
		return fmt.Sprintf("%s ago: a sample, %s read, all others are there in full size", ui.Age(time.Since(v.At)), ui.Plural(v.Segments, "segment"))
	case v.OK():
		return fmt.Sprintf("%s ago: all %s read, sizes, rows and digests as recorded", ui.Age(time.Since(v.At)), ui.Plural(v.Segments, "segment"))
	}
	return fmt.Sprintf("%s ago: DAMAGED: %s", ui.Age(time.Since(v.At)), strings.Join(v.Problems, "; "))
}

// practisedWords says how the last practice run ended.
func practisedWords(r *backup.Report) string {
	switch {
	case r == nil:
		return "never"
	case r.Passed:
		return fmt.Sprintf("%s ago: passed, restored in %s", ui.Age(time.Since(r.Started)), took(r.RTO))
	}
	return fmt.Sprintf("%s ago: FAILED: %s", ui.Age(time.Since(r.Started)), ui.FirstWords(r.Failed))
}

// stateWords is the manifest's state with the number of its warnings.
func stateWords(m *backup.Manifest) string {
	if n := len(m.Warnings); n > 0 {
		return "complete with " + ui.Plural(n, "warning")
	}
	return string(m.State)
}
