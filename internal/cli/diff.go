package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/code"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

const (
	fetchTimeout = 10 * time.Minute // for a remote
	diffMemory   = 160 << 20        // bytes of heap; go-git holds up to 96 MiB while it looks through a bundle
)

func (p *program) diffCommand() *cli.Command {
	return &cli.Command{
		Name: "diff", ArgsUsage: "<id or service>", Usage: "Show commits and migrations between a backup and another commit",
		Description: `Shows what lies between the commit that a backup is of and another one: commits, and migration files that were added,
changed or removed, next to what the backup's database says is applied. Nothing is changed. A service's name means its newest backup.
Without --to it is the commit that the app runs now. The code comes from the backup's own bundle and the app's repository, if
the app is still there; what neither has comes from --remote: a folder, or an https, ssh or git URL. For a remote that wants
credentials Dokku's git:auth or git:generate-deploy-key serve.`,
		UsageText: "dokku backup:diff happycows-db\ndokku backup:diff happycows-db-20261121T074700Z --to main --remote https://example.com/happycows.git",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "commit, branch or tag to compare with"},
			&cli.StringFlag{Name: "remote", Usage: "repository to fetch from as well"},
			&cli.StringFlag{Name: "app", Usage: "app of the backup, where it has several"},
			&cli.BoolFlag{Name: "commits", Usage: "list the commits too"},
			fromFlag(), keyFileFlag(), formatFlag(),
		},
		Action: p.diff,
	}
}

func (p *program) diff(c *cli.Context) error {
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
	repo, entry, err := p.chosen(c.Context, c.String("from"), name)
	if err != nil {
		return err
	}
	app, err := appOf(entry.Manifest, c.String("app"))
	if err != nil {
		return err
	}
	d, err := p.changes(c.Context, repo, entry.Manifest, app, c.String("to"), c.String("remote"))
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(struct {
			ID  backup.ID `json:"id"`
			App string    `json:"app"`
			*code.Diff
		}{entry.ID, app.Name, d})
	}
	for _, line := range diffLines(d, cmp.Or(c.String("to"), d.To.Short), c.Bool("commits")) {
		p.print("%s", line)
	}
	return nil
}

// appOf is the app of a backup that is named, or its only one.
func appOf(m *backup.Manifest, name string) (backup.App, error) {
	var names []string
	for _, app := range m.Apps {
		names = append(names, app.Name)
		if app.Name == name || name == "" && len(m.Apps) == 1 {
			if app.Commit == "" {
				return backup.App{}, &backup.Problem{Message: fmt.Sprintf("%s does not know which commit of %s its data belongs to", m.ID, app.Name)}
			}
			return app, nil
		}
	}
	switch {
	case len(names) == 0:
		return backup.App{}, &backup.Problem{Message: fmt.Sprintf("%s holds no code: no app was linked to %s", m.ID, m.ID.Service())}
	case name == "":
		return backup.App{}, &backup.Problem{
			Message: fmt.Sprintf("%s holds the code of %s: %s", m.ID, ui.Plural(len(names), "app"), strings.Join(names, ", ")),
			Hints:   []string{fmt.Sprintf("say which one: dokku backup:diff %s --app %s", m.ID, names[0])},
		}
	}
	return backup.App{}, &backup.Problem{
		Message: fmt.Sprintf("%s holds no code of an app %q; it has: %s", m.ID, name, strings.Join(names, ", ")), Code: backup.ExitNoApp,
	}
}

// changes tells what lies between the commit that the backup m has of app and the commit that to names; "" means what the app
// runs now. The code is that of the backup's bundle, of the app's repository if the app exists, and of remote unless that is "".
func (p *program) changes(ctx context.Context, repo *repository.Repository, m *backup.Manifest, app backup.App, to, remote string) (d *code.Diff, err error) {
	folder, remove, err := privateFolder(p.host.DataDir(), "diff")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	limitMemory(diffMemory)
	commits, err := unpacked(ctx, repo, app, folder)
	if err != nil {
		return nil, err
	}
	defer commits.Close()
	if err := commits.Fetch(ctx, p.host.Repository(app.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, code.ErrUnsupported) {
		return nil, err
	}
	if remote != "" {
		if err := p.fetch(ctx, commits, remote); err != nil {
			return nil, err
		}
	}
	if to == "" {
		if to, err = p.runsNow(ctx, app); err != nil {
			return nil, err
		}
	}
	for _, rev := range []string{app.Commit, to} {
		if _, err := commits.Resolve(rev); err != nil {
			return nil, noCommit(rev, m.ID, remote, err)
		}
	}
	return commits.Diff(ctx, app.Commit, to, migrationOf(m))
}

// unpacked is the app's code as the backup has it, in folder.
func unpacked(ctx context.Context, repo *repository.Repository, app backup.App, folder string) (*code.Repository, error) {
	if app.Bundle == nil {
		return code.Create(folder)
	}
	content := repo.Reader(ctx, app.Bundle.Content)
	defer content.Close()
	return code.Unbundle(ctx, content, folder)
}

func (p *program) fetch(ctx context.Context, commits *code.Repository, remote string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout, fmt.Errorf("the remote took longer than %s", fetchTimeout))
	defer cancel()
	err := commits.Fetch(ctx, remote)
	credentials := "give this host credentials: dokku git:auth HOST USER PASSWORD, or dokku git:generate-deploy-key"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &backup.Problem{
			Message: "there is no git repository at the address of --remote, or it is shown to those alone whom it knows",
			Hints:   []string{credentials}, Err: err,
		}
	case errors.Is(err, code.ErrNoAccess):
		return &backup.Problem{Message: err.Error(), Hints: []string{credentials}, Err: err}
	case errors.Is(err, code.ErrUnknownHost):
		return &backup.Problem{Message: err.Error(), Hints: []string{"make it known: dokku git:allow-host HOST"}, Err: err}
	}
	return err
}

// runsNow is the commit that the app runs, or else its deploy branch.
func (p *program) runsNow(ctx context.Context, app backup.App) (string, error) {
	d, err := p.host.Deployed(ctx, app.Name)
	if errors.Is(err, dokku.ErrNoApp) {
		return "", &backup.Problem{
			Message: fmt.Sprintf("app %q does not exist any more, so there is no commit that it runs now", app.Name),
			Hints:   []string{"name a commit: --to REF; where the backup does not have it, with --remote URL"}, Err: err,
		}
	}
	if err != nil {
		return "", err
	}
	return cmp.Or(d.Commit, d.Branch), nil
}

// noCommit is the problem of a commit that nobody has who was asked.
func noCommit(rev string, id backup.ID, remote string, err error) error {
	if !errors.Is(err, code.ErrNoCommit) {
		return err
	}
	problem := &backup.Problem{
		Message: fmt.Sprintf("%q is no commit, branch or tag of the backup's code or of the app's repository", rev), Err: err,
		Hints: []string{fmt.Sprintf("name a repository that has it: dokku backup:diff %s --to %s --remote URL", id, rev)},
	}
	if remote != "" {
		problem.Message = fmt.Sprintf("%q is no commit, branch or tag of the backup's code, of the app's repository or of the remote", rev)
		problem.Hints = nil
	}
	return problem
}

// migrationOf is the table of migrations of the database that an app is given: the service's own one, or else the first that has any.
func migrationOf(m *backup.Manifest) *backup.Migration {
	var first *backup.Migration
	for _, s := range m.Services {
		for _, db := range s.Databases {
			if db.Name == strings.ReplaceAll(s.Name, "-", "_") && db.Migration != nil {
				return db.Migration
			}
			if first == nil {
				first = db.Migration
			}
		}
	}
	return first
}

// diffLines is a diff as a person reads it. to is what the person calls the other commit.
func diffLines(d *code.Diff, to string, commits bool) []string {
	lines := []string{diffHead(d)}
	if commits {
		for _, c := range d.Commits {
			mark := map[string]string{"from": "<", "to": ">"}[c.In]
			lines = append(lines, fmt.Sprintf("  %s %s %s  %s", mark, c.Short, c.When.Local().Format("2006-01-02 15:04"), c.Subject))
		}
	}
	widest := 0
	for _, m := range d.Migrations {
		widest = max(widest, len(m.Path))
	}
	for _, m := range d.Migrations {
		mark := map[code.Change]string{code.Added: "+", code.Removed: "-"}[m.Change]
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %s %-*s  %s", cmp.Or(mark, "~"), widest, m.Path, migrationWords(d, m)), " "))
	}
	if d.Shallow {
		lines = append(lines, "The history is shallow: commits may be missing here.")
	}
	return append(lines, diffMeaning(d, to)...)
}

// diffHead tells how many commits and migrations there are.
func diffHead(d *code.Diff) string {
	if d.Direction == code.Same {
		return fmt.Sprintf("The backup is of %s itself: no commits and no migrations in between.", d.To.Short)
	}
	migrations := "no migrations."
	if len(d.Migrations) > 0 {
		var tools []string
		for _, m := range d.Migrations {
			tools = append(tools, m.Tool)
		}
		slices.Sort(tools)
		migrations = fmt.Sprintf("%s (%s):", ui.Plural(len(d.Migrations), "migration"), strings.Join(slices.Compact(tools), ", "))
	}
	in := map[string]int{}
	for _, c := range d.Commits {
		in[c.In]++
	}
	switch d.Direction {
	case code.Ahead:
		return fmt.Sprintf("%s from %s to %s, %s", ui.Plural(in["to"], "commit"), d.From.Short, d.To.Short, migrations)
	case code.Behind:
		return fmt.Sprintf("%s back from %s to %s, %s", ui.Plural(in["from"], "commit"), d.From.Short, d.To.Short, migrations)
	}
	return fmt.Sprintf("%s and %s have diverged: %s in the backup's alone, %s in %s alone, %s",
		d.From.Short, d.To.Short, ui.Plural(in["from"], "commit"), ui.Plural(in["to"], "commit"), d.To.Short, migrations)
}

// migrationWords tells how a migration stands to the backup's data.
func migrationWords(d *code.Diff, m code.Migration) string {
	table := d.Table[strings.LastIndexByte(d.Table, '.')+1:]
	var words []string
	if m.Change == code.Renamed {
		words = append(words, "renamed from "+m.RenamedFrom)
	}
	switch {
	case m.Applied == nil:
		if m.Change == code.Changed || m.Change == code.Removed {
			words = append(words, string(m.Change))
		}
	case *m.Applied && m.Change == code.Changed && m.Repeatable:
		words = append(words, "changed: it runs again")
	case *m.Applied && m.Change == code.Changed:
		words = append(words, "changed after it was applied")
	case *m.Applied && m.Change == code.Removed:
		words = append(words, "removed, and in the backup's "+table)
	case *m.Applied:
		words = append(words, "in the backup's "+table+" already")
	case m.Change == code.Changed || m.Change == code.Removed:
		words = append(words, string(m.Change)+", not in the backup's "+table)
	default:
		words = append(words, "not in the backup's "+table)
	}
	return strings.Join(words, "; ")
}

// diffMeaning tells what a restore to the other commit would do.
func diffMeaning(d *code.Diff, to string) []string {
	var lines []string
	ahead := 0
	for _, m := range d.Migrations {
		if m.Change == code.Removed && m.Applied != nil && *m.Applied {
			ahead++
		}
	}
	if ahead > 0 {
		lines = append(lines, fmt.Sprintf("The backup's data has %s that the code of %s does not know.", ui.Plural(ahead, "migration"), to))
	}
	runs := func(n int) string {
		if n == 0 {
			return "none"
		}
		return fmt.Sprint(n)
	}
	switch {
	case d.ToPending != nil && d.FromPending != nil && (d.Direction != code.Same || *d.FromPending > 0):
		will := ui.Plural(*d.ToPending, "migration")
		if *d.ToPending == 0 {
			will = "no migrations"
		}
		lines = append(lines, fmt.Sprintf("Restoring this backup to %s will run %s on boot; the exact commit %s runs %s.", to, will, d.From.Short, runs(*d.FromPending)))
	case len(d.Migrations) > 0 && d.Applied == "":
		lines = append(lines, "Which of them the backup's data has is not known: it has no table of migrations that this program knows.")
	case slices.ContainsFunc(d.Migrations, func(m code.Migration) bool { return m.Applied == nil }):
		lines = append(lines, fmt.Sprintf("Which of them the backup's data has is not known in full: its table %s is that of %s.", d.Table, d.Applied))
	}
	return lines
}
