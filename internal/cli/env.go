package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/runs"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// Where things are on the host. The key is not among the plugin's properties in $DOKKU_LIB_ROOT/config/backup, where one would
// look for it: that folder is also the config of an app called "backup", and goes when such an app is destroyed
// (plugins/config/triggers.go in Dokku 0.38).
func (p *program) repositoryPath() string { return filepath.Join(p.host.DataDir(), "repository") }
func (p *program) keyPath() string        { return filepath.Join(p.host.DataDir(), "identity") }
func (p *program) runs() *runs.Runs       { return &runs.Runs{Dir: filepath.Join(p.host.DataDir(), "runs")} }

// openRepository opens the host's repository. When there is none yet the error matches fs.ErrNotExist.
func (p *program) openRepository(ctx context.Context) (*repository.Repository, error) {
	if _, err := os.Stat(filepath.Join(p.repositoryPath(), "repository.json")); err != nil {
		return nil, err
	}
	return p.openAt(ctx, local.New(p.repositoryPath()))
}

// takesKey tells whether a command has the flag --key-file.
func takesKey(c *cli.Context) bool {
	return c != nil && slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return f.Names()[0] == keyFileName })
}

// openAt opens the copy of the repository in a store, with the keys that this command was given or the host has.
func (p *program) openAt(ctx context.Context, at backup.Store) (*repository.Repository, error) {
	if p.keys == nil {
		unlock, err := p.unlock(ctx, p.command)
		if problem := (*backup.Problem)(nil); errors.As(err, &problem) && takesKey(p.command) {
			problem.Hints = append(problem.Hints, "or give it to this command: --key-file FILE, or --key-file - for standard input")
		}
		if err != nil {
			return nil, err
		}
		p.keys = &unlock // asked for once
	}
	return repository.Open(ctx, at, *p.keys)
}

// setUpRepository opens the host's repository, and makes it at the first use.
func (p *program) setUpRepository(ctx context.Context) (*repository.Repository, error) {
	repo, err := p.openRepository(ctx)
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*backup.Problem)) {
		return repo, err
	}
	release, ok, err := p.runs().Exclude()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &backup.Problem{Message: "the repository is being set up by another run", Hints: []string{"try again"}, Code: backup.ExitLocked}
	}
	defer release()
	if repo, err := p.openRepository(ctx); err == nil {
		return repo, nil // another run was faster
	}
	// The key comes first: a repository is never without one. A key that is there already is used.
	identity, err := repository.ReadKey(p.keyPath())
	if errors.Is(err, fs.ErrNotExist) {
		identity, err = repository.CreateKey(p.keyPath())
	}
	if err != nil {
		return nil, err
	}
	repo, err = repository.Create(ctx, local.New(p.repositoryPath()), identity)
	if err != nil {
		return nil, err
	}
	p.ui.Heading("First use: backups are kept in %s", p.repositoryPath())
	if p.interactive(p.stderr) {
		p.ui.Detail("They are sealed. Without this key nobody can read them, nor can you:")
		p.ui.Detail("  %s", identity)
		p.ui.Detail("Keep it elsewhere; see it again with: dokku backup:key")
	} else {
		p.ui.Detail("They are sealed. Without their key nobody can read them, nor can you: keep it elsewhere. See it with: dokku backup:key")
	}
	return repo, nil
}

// alone keeps all other runs out of the repository until release is called. While one is under way it is a *backup.Problem that nothing
// was done, such as "deleted".
func (p *program) alone(done string) (release func() error, err error) {
	release, ok, err := p.runs().Exclude()
	if err == nil && !ok {
		err = &backup.Problem{
			Message: "a backup or a verify is running; nothing was " + done, Hints: []string{"try again when it has ended"}, Code: backup.ExitLocked,
		}
	}
	return release, err
}

// interactive tells whether a stream is a terminal.
func (p *program) interactive(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// find looks up the backup that a person means: an id, or a service's name, which means its newest backup.
func (p *program) find(ctx context.Context, repo *repository.Repository, name string) (repository.Entry, error) {
	if id, err := backup.ParseID(name); err == nil {
		m, err := repo.Manifest(ctx, id)
		if errors.Is(err, fs.ErrNotExist) {
			return repository.Entry{}, p.noBackup(id)
		}
		if err != nil {
			return repository.Entry{}, err
		}
		marks, err := repo.Marks(ctx, id)
		return repository.Entry{ID: id, Manifest: m, Marks: marks}, err
	}
	entries, err := repo.ListService(ctx, name)
	if err != nil {
		return repository.Entry{}, err
	}
	for _, e := range entries {
		if e.Manifest != nil {
			return e, nil
		}
	}
	return repository.Entry{}, noBackups(name)
}

func noBackups(service string) error {
	return &backup.Problem{
		Message: fmt.Sprintf("there is no backup of %q", service),
		Hints:   []string{"see all backups: dokku backup:list", "make one: dokku backup:create SERVICE"},
	}
}

// noBackup is the problem of an id that names none; when its run failed, or a store has it, it says so.
func (p *program) noBackup(id backup.ID) error {
	if c, err := p.stores().Copies(); err == nil {
		for _, state := range c.Of(id) {
			if !state.Confirmed.IsZero() {
				return &backup.Problem{Message: fmt.Sprintf("there is no backup %s here, but store %q has it", id, state.Store), Hints: []string{"name the store: --from " + state.Store}}
			}
		}
	}
	if failed, err := p.runs().Failed(id.Service()); err == nil {
		for _, f := range failed {
			if f.ID == id {
				return &backup.Problem{Message: fmt.Sprintf("there is no backup %s: its run failed: %s", id, f.Failed)}
			}
		}
	}
	return &backup.Problem{
		Message: fmt.Sprintf("there is no backup %s", id),
		Hints:   []string{"see those of the service: dokku backup:list " + id.Service()},
	}
}

// fromFlag is --from, of commands that read backups.
func fromFlag() cli.Flag {
	return &cli.StringFlag{Name: "from", Value: here, Usage: "`STORE` to read from: here is this host's own repository"}
}

// chosen is the backup that the command's argument names, with the repository that holds it: this host's own, or that in the store from.
func (p *program) chosen(ctx context.Context, from, name string) (*repository.Repository, repository.Entry, error) {
	repo, err := p.repositoryAt(ctx, from)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return nil, repository.Entry{}, noBackups(name)
	}
	if err != nil {
		return nil, repository.Entry{}, err
	}
	entry, err := p.find(ctx, repo, name)
	return repo, entry, err
}

// printJSON writes v to stdout, indented.
func (p *program) printJSON(v any) error {
	out := json.NewEncoder(p.stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(v)
}

// print writes a line of data to stdout.
func (p *program) print(format string, args ...any) {
	fmt.Fprintln(p.stdout, ui.Printable(fmt.Sprintf(format, args...)))
}
