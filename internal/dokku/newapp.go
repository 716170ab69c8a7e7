package dokku

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// CreateApp makes an empty app that bears the mark. A name that is taken is a backup.Problem matching ErrExists.
func (h *Host) CreateApp(ctx context.Context, app, mark string) error {
	_, err := h.Run(ctx, h.dokku("apps:create", app))
	var failed *RunError
	if errors.As(err, &failed) && strings.Contains(failed.Detail, "already taken") {
		return exists("app", app, err)
	}
	if err != nil {
		return fmt.Errorf("create app %q: %w", app, err)
	}
	if _, err := h.Run(ctx, h.dokku("config:set", "--no-restart", app, MarkKey+"="+mark)); err != nil {
		return fmt.Errorf("mark app %q: %w", app, err)
	}
	return nil
}

// DestroyApp removes an app and its containers, if it bears the mark or was made at or after since and is still as it was made:
// a run that was killed while it made the app may not have marked it. The zero since leaves the mark alone to decide. Otherwise
// it is a backup.Problem matching ErrNotOurs. An app that does not exist is fine.
func (h *Host) DestroyApp(ctx context.Context, app, mark string, since time.Time) error {
	if !validAppName(app) {
		return noApp(app)
	}
	there, err := h.AppExists(ctx, app)
	if err != nil {
		return err
	}
	if there {
		ours, err := h.appIsOurs(ctx, app, mark, since)
		if err != nil {
			return err
		}
		if !ours {
			return notOurs("app", app)
		}
		if _, err := h.Run(ctx, h.dokku("--force", "apps:destroy", app)); err != nil {
			return fmt.Errorf("destroy app %q: %w", app, err)
		}
	}
	return h.removeContainers(ctx, app, mark)
}

func (h *Host) appIsOurs(ctx context.Context, app, mark string, since time.Time) (bool, error) {
	config, err := h.Config(ctx, app)
	if err != nil || bears(config[MarkKey], mark) {
		return true, err
	}
	if since.IsZero() || len(config) > 0 {
		return false, nil
	}
	a := &App{Name: app}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.report(ctx, "apps:report", app, a.parseApps) })
	g.Go(func() error { return h.report(ctx, "git:report", app, a.parseGit) })
	g.Go(func() error { return h.report(ctx, "ps:report", app, a.parsePs) })
	if err := g.Wait(); err != nil {
		return false, err
	}
	// Dokku notes whole seconds.
	untouched := a.Git.SHA == "" && a.DeploySource == "" && !a.Deployed
	return untouched && !a.CreatedAt.IsZero() && !a.CreatedAt.Before(since.Truncate(time.Second)), nil
}

// removeContainers removes the containers of an app that bear the mark: those of a deploy that was cut short can outlive it.
func (h *Host) removeContainers(ctx context.Context, app, mark string) error {
	containers, err := h.ListByLabel(ctx, "com.dokku.app-name="+app)
	if err != nil {
		return err
	}
	for _, c := range containers {
		if !bears(c.Env[MarkKey], mark) {
			continue
		}
		_, err := h.Run(ctx, h.docker("rm", "--force", "--volumes", c.ID))
		var failed *RunError
		if errors.As(err, &failed) && noSuch(failed) {
			continue
		}
		if err != nil {
			return fmt.Errorf("remove container %q: %w", c.Name, err)
		}
	}
	return nil
}
