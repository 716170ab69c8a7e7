package cli

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/runs"
	"github.com/dokku-backup/dokku-backup/internal/stores"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) listCommand() *cli.Command {
	return &cli.Command{
		Name: "list", ArgsUsage: "[<service>]", Usage: "List backups of a service or of all services",
		Description: `Lists backups, newest first: id, age, size of the data, what it added to the repository, commit, state.
Runs that failed are listed too, with the reason. With --from the backups that a store has, read from there.`,
		UsageText: "dokku backup:list\ndokku backup:list happycows-db --format json\ndokku backup:list --from offsite",
		Flags:     []cli.Flag{fromFlag(), formatFlag()},
		Action:    p.list,
	}
}

func (p *program) list(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	service, err := argument(c)
	if err != nil {
		return err
	}
	lines, err := p.lines(c.Context, c.String("from"), service)
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(lines)
	}
	if len(lines) == 0 {
		if all, err := p.stores().All(); err == nil && len(all) > 0 && c.String("from") == here {
			p.ui.Detail("see what a store has: dokku backup:list --from %s", all[0].Name)
		}
		if service == "" {
			p.print("No backups yet. Make one: dokku backup:create SERVICE")
		} else {
			p.print("No backups of %s. Make one: dokku backup:create %s", service, service)
		}
		return nil
	}
	rows := [][]string{{"ID", "AGE", "DATA", "NEW", "COMMIT", "STATE", "NOTE"}}
	for _, l := range lines {
		rows = append(rows, listRow(l))
	}
	return ui.Table(p.stdout, rows)
}

// lines are the backups and failed runs of a service ("" for all), newest first; of a store, from, the backups alone. A host without a
// repository has none.
func (p *program) lines(ctx context.Context, from, service string) ([]health.Line, error) {
	lines := []health.Line{}
	copies, err := p.stores().Copies()
	if err != nil {
		return nil, err
	}
	repo, err := p.repositoryAt(ctx, from)
	switch {
	case err == nil:
		all, err := p.stores().Summaries(ctx, repo, from, service)
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			lines = append(lines, summaryLine(s, copies.Of(s.ID)))
		}
		if from != here {
			return lines, nil
		}
	case !errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*backup.Problem)):
		return nil, err
	}
	name := service[strings.IndexByte(service, ':')+1:]
	failed, err := p.runs().Failed(name)
	if err != nil {
		return nil, err
	}
	made := map[backup.ID]bool{}
	for _, l := range lines {
		made[l.ID] = true
	}
	for _, f := range failed {
		// One that was killed after it had written its manifest made a backup.
		if !made[f.ID] && (name == service || f.Service == service) {
			lines = append(lines, failedLine(f))
		}
	}
	slices.SortStableFunc(lines, func(a, b health.Line) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return lines, nil
}

func entryLine(e repository.Entry, copies []stores.CopyState) health.Line {
	return summaryLine(e.Summary(), copies)
}

func summaryLine(s repository.Summary, copies []stores.CopyState) health.Line {
	l := health.Line{
		ID: s.ID, Service: s.Service(), CreatedAt: s.CreatedAt, State: string(s.State), Bytes: s.Stored.Raw, New: s.Stored.New, Note: s.Note,
		Warnings: s.Warnings, Pinned: s.Marks.Pinned, Verified: s.Marks.Verified, Practised: s.Marks.Practised, Stores: copies, Took: s.Took,
	}
	if s.Unreadable {
		l.State, l.Failed = "unreadable", s.Err.Error()
	}
	for _, app := range s.Apps {
		if app.Commit != "" {
			l.Commits = append(l.Commits, app.Commit)
		}
	}
	return l
}

func failedLine(f runs.Record) health.Line {
	return health.Line{ID: f.ID, Service: f.Service, CreatedAt: f.Started, State: "failed", Failed: f.Failed, Note: f.Note}
}

func listRow(l health.Line) []string {
	data, added, commit := ui.Bytes(l.Bytes), ui.Bytes(l.New), "-"
	if l.Failed != "" {
		data, added = "-", "-"
	}
	if len(l.Commits) > 0 {
		commit = l.Commits[0][:min(7, len(l.Commits[0]))]
	}
	if len(l.Commits) > 1 {
		commit += "+"
	}
	return []string{string(l.ID), ui.Age(time.Since(l.CreatedAt)), data, added, commit, proof(l), l.Note}
}

// proof is how far the backup is proven, in words.
func proof(l health.Line) string {
	state := l.State
	if l.Failed != "" {
		state += ": " + ui.FirstWords(l.Failed)
	}
	if len(l.Warnings) > 0 {
		state = "complete with " + ui.Plural(len(l.Warnings), "warning")
	}
	if lacking := stores.Missing(l.Stores); len(lacking) > 0 && l.Failed == "" {
		state += " here, not at " + strings.Join(lacking, ", ")
	}
	switch {
	case l.Verified == nil:
	case l.Verified.OK() && l.Verified.Share > 0:
		state += ", sample verified"
	case l.Verified.OK():
		state += ", verified"
	default:
		state += ", DAMAGED"
	}
	switch {
	case l.Practised == nil:
	case l.Practised.Passed:
		state += ", practised " + took(l.Practised.RTO)
	default:
		state += ", PRACTICE FAILED"
	}
	if l.Pinned != nil {
		state += ", pinned"
	}
	return state
}
