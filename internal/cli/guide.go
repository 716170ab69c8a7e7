package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/restore"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// fillIn adds, at a terminal, what name and r lack, and returns the id of the chosen backup. Without a terminal name is as it was.
func (p *program) fillIn(ctx context.Context, name string, r *restore.Request) (string, error) {
	if ui.NewTerminal(p.stdin, p.stderr) == nil {
		return name, nil
	}
	repo, err := p.repositoryAt(ctx, r.Store)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return "", noBackups(cmp.Or(name, "any service"))
	}
	if err != nil {
		return "", err
	}
	err = p.guide(ctx, repo, name, r)
	return string(r.Backup), err
}

// guide asks a person at a terminal for what r lacks, name being what the command's first argument says of the backup: an id, a
// service, or "". It fills in Backup, Service, App, From and Commit; the last as it was typed: a commit, a branch or a tag. What
// is there already is not asked for, and of a practice run only the backup is.
func (p *program) guide(ctx context.Context, repo *repository.Repository, name string, r *restore.Request) error {
	terminal := ui.NewTerminal(p.stdin, p.stderr)
	if terminal == nil {
		return errNobody
	}
	g := guided{program: p, terminal: terminal, request: r}
	m, err := g.backup(ctx, repo, name)
	if err != nil {
		return unanswered(err)
	}
	r.Backup = m.ID
	if r.Practice {
		return nil
	}
	for _, question := range []func(context.Context, *backup.Manifest) error{g.service, g.app, g.commit} {
		if err := question(ctx, m); err != nil {
			return unanswered(err)
		}
	}
	return nil
}

// guided is a restore that a person is asked about.
type guided struct {
	*program
	terminal *ui.Terminal
	request  *restore.Request
}

// backup asks which service, unless name says it or there is one only, and which of its backups.
func (g *guided) backup(ctx context.Context, repo *repository.Repository, name string) (*backup.Manifest, error) {
	if id, err := backup.ParseID(name); err == nil {
		entry, err := g.find(ctx, repo, string(id))
		return entry.Manifest, err
	}
	entries, err := repo.ListService(ctx, name)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e repository.Entry) bool { return e.Manifest == nil })
	var services []string
	for _, e := range entries {
		services = append(services, entryLine(e, nil).Service)
	}
	slices.Sort(services)
	services = slices.Compact(services)
	switch {
	case len(services) == 0 && name == "":
		return nil, &backup.Problem{Message: "there are no backups yet", Hints: []string{"make one: dokku backup:create SERVICE"}}
	case len(services) == 0:
		return nil, noBackups(name)
	}
	chosen, err := g.oneOf(ctx, "Restore which service?", services)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e repository.Entry) bool { return entryLine(e, nil).Service != services[chosen] })
	i, err := g.terminal.Select(ctx, fmt.Sprintf("Restore which backup of %s?", services[chosen]), backupOptions(entries))
	if err != nil {
		return nil, err
	}
	return entries[i].Manifest, nil
}

// backupOptions are lines of the list, without what each backup added to the repository.
func backupOptions(entries []repository.Entry) []string {
	rows := make([][]string, len(entries))
	for i, e := range entries {
		rows[i] = slices.Delete(listRow(entryLine(e, nil)), 3, 4)
	}
	return ui.Align(rows)
}

// service asks for the name of the new service.
func (g *guided) service(ctx context.Context, m *backup.Manifest) error {
	if g.request.Service != "" {
		return nil
	}
	captured := m.Services[0]
	exists := func(name string) (bool, error) {
		return g.host.ServiceExists(ctx, dokku.Service{Type: captured.Type, Name: name})
	}
	suggestion, err := firstFree(captured.Name+"-2", captured.Name, 3, exists)
	if err != nil {
		return err
	}
	g.request.Service, err = g.terminal.Input(ctx, "Name of the new service?", suggestion, func(name string) error {
		if !backup.ValidServiceName(name) {
			return fmt.Errorf("%q cannot be the name of a service: letters, digits, - and _ can", name)
		}
		return mustBeFree("service", name, exists)
	})
	return err
}

// app asks whether an app comes back as well, which of those that the backup has the code of, and for its new name.
func (g *guided) app(ctx context.Context, m *backup.Manifest) error {
	if g.request.Replace != "" || g.request.App != "" && g.request.From != "" {
		return nil
	}
	var names, options []string
	for _, a := range m.Apps {
		if a.Bundle != nil && (g.request.From == "" || g.request.From == a.Name) {
			names, options = append(names, a.Name), append(options, fmt.Sprintf("%s, at %s", a.Name, commitWords(a)))
		}
	}
	if len(names) == 0 {
		return nil
	}
	if g.request.App != "" {
		i, err := g.oneOf(ctx, fmt.Sprintf("Make %s from which app?", g.request.App), options)
		if err == nil {
			g.request.From = names[i]
		}
		return err
	}
	i, err := g.terminal.Select(ctx, "Bring the app back as well?", append([]string{"no, the service alone"}, options...))
	if err != nil || i == 0 {
		return err
	}
	g.request.From = names[i-1]
	exists := func(name string) (bool, error) { return g.host.AppExists(ctx, name) }
	restored := g.request.From + "-restored"
	suggestion, err := firstFree(restored, restored, 2, exists)
	if err != nil {
		return err
	}
	g.request.App, err = g.terminal.Input(ctx, "Name of the new app?", suggestion, func(name string) error {
		if !backup.ValidAppName(name) {
			return fmt.Errorf("%q cannot be the name of an app: lower case letters, digits, . and - can", name)
		}
		return mustBeFree("app", name, exists)
	})
	return err
}

// commit asks whether the app gets the commit that belongs to the data.
func (g *guided) commit(ctx context.Context, m *backup.Manifest) error {
	i := slices.IndexFunc(m.Apps, func(a backup.App) bool { return a.Name == g.request.From })
	if i < 0 || g.request.App == "" || g.request.Commit != "" || g.request.SkipCode {
		return nil
	}
	another, err := g.terminal.Select(ctx, "Which commit?", []string{commitWords(m.Apps[i]) + ", the one that belongs to the data", "another"})
	if err != nil || another == 0 {
		return err
	}
	g.request.Commit, err = g.terminal.Input(ctx, "Commit, branch or tag?", "", func(ref string) error {
		if ref == "" {
			return errors.New("such as main, v1.2 or 82eeec6")
		}
		return nil
	})
	return err
}

// oneOf asks which of options is meant, unless there is one only.
func (g *guided) oneOf(ctx context.Context, question string, options []string) (int, error) {
	if len(options) == 1 {
		return 0, nil
	}
	return g.terminal.Select(ctx, question, options)
}

// commitWords is an app's commit as a person knows it: 82eeec6 "Show the herd's mood".
func commitWords(a backup.App) string {
	words := fmt.Sprintf("%s %q", a.Short, a.Subject)
	if a.Certainty == backup.Inferred {
		words += " (inferred)"
	}
	return words
}

// firstFree is name, or the first of base-n, base-n+1 ... that does not exist.
func firstFree(name, base string, n int, exists func(name string) (bool, error)) (string, error) {
	for {
		taken, err := exists(name)
		if err != nil || !taken {
			return name, err
		}
		name = fmt.Sprintf("%s-%d", base, n)
		n++
	}
}

func mustBeFree(what, name string, exists func(name string) (bool, error)) error {
	taken, err := exists(name)
	if err == nil && taken {
		return fmt.Errorf("%s %q exists already", what, name)
	}
	return err
}
