package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/capture"
	"github.com/dokku-backup/dokku-backup/internal/code"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
)

// apps joins what Dokku knows of an app with what its git repository holds.
type apps struct{ host *dokku.Host }

var _ capture.Apps = apps{}

// Deployed implements capture.Apps.
func (a apps) Deployed(ctx context.Context, name string) (backup.App, error) {
	d, err := a.host.Deployed(ctx, name)
	if err != nil {
		return backup.App{}, err
	}
	app := backup.App{
		Name: name, Commit: d.Commit, Certainty: d.Certainty, Evidence: d.Evidence, State: string(d.State),
		DeployedAt: d.DeployedAt, ImageID: d.ImageID, Branch: d.Branch, Source: d.Source, SourceImage: d.SourceImage,
	}
	if app.Commit == "" {
		return app, nil
	}
	commit, err := a.resolve(name, app.Commit)
	switch {
	case err == nil:
		app.Commit, app.Short, app.Subject = commit.SHA, commit.Short, commit.Subject
	case d.Abbreviated:
		// Half a name is not a commit.
		app.Evidence = append(app.Evidence, fmt.Sprintf("the short commit %s is not in the app's repository: %v", app.Commit, err))
		app.Commit, app.Certainty = "", backup.Unknown
	default:
		app.Short = app.Commit[:min(7, len(app.Commit))]
	}
	return app, nil
}

func (a apps) resolve(name, rev string) (code.Commit, error) {
	repo, err := code.Open(a.host.Repository(name))
	if err != nil {
		return code.Commit{}, err
	}
	defer repo.Close()
	return repo.Resolve(rev)
}

// Describe implements capture.Apps.
func (a apps) Describe(ctx context.Context, app *backup.App) (map[string]string, error) {
	d, err := a.host.App(ctx, app.Name)
	if err != nil {
		return nil, err
	}
	app.Scale, app.Domains, app.Storage = d.Scale, d.Domains, d.Storage
	app.Ports = d.Ports
	if len(app.Ports) == 0 {
		app.Ports = d.PortsDetected
	}
	app.ConfigKeys = slices.Sorted(maps.Keys(d.Config))
	return d.Config, nil
}

// Bundle implements capture.Apps.
func (a apps) Bundle(ctx context.Context, app backup.App, w io.Writer) (commits int, warnings []string, err error) {
	repo, err := code.Open(a.host.Repository(app.Name))
	if err != nil {
		return 0, nil, noCode(app, err)
	}
	defer repo.Close()
	branch, err := repo.Branch(ctx, app.Commit, app.Branch)
	if err != nil {
		return 0, nil, noCode(app, err)
	}
	// Where no branch holds the commit any more, it was force-pushed over.
	info, err := repo.Bundle(ctx, w, app.Commit, cmp.Or(branch, app.Branch, "main"))
	if err != nil {
		return 0, nil, noCode(app, err)
	}
	if len(info.Submodules) > 0 {
		warnings = append(warnings, "the code of its submodules is not in the bundle: "+strings.Join(info.Submodules, ", "))
	}
	if len(info.Missing) > 0 {
		warnings = append(warnings, "the app's repository is shallow: the bundle lacks the commits before "+info.Missing[0])
	}
	return info.Commits, warnings, nil
}

// noCode tells apart what a backup can be made without from what must stop it.
func noCode(app backup.App, err error) error {
	for _, known := range []error{fs.ErrNotExist, code.ErrNoCommit, code.ErrUnsupported, code.ErrDamaged} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w of commit %s could be kept: %v", capture.ErrNoCode, app.Short, err)
		}
	}
	return err
}
