package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// beforeDeploy backs up what is linked to an app whose new image is built, while its old containers serve.
func (p *program) beforeDeploy(ctx context.Context, app string) error {
	note := "before a deploy"
	coming, err := p.host.Building(app)
	if err == nil && coming != "" { // else the backup does not say what came after it
		note = "before the deploy of " + shortCommit(coming)
	}
	mode, err := p.appSetting(app, "on-deploy-mode")
	if err != nil {
		return err
	}
	goingOn := "the deploy goes on"
	if mode == "block" {
		goingOn = fmt.Sprintf("the deploy ends here and the old app stays; to deploy without a backup: dokku backup:set %s on-deploy-mode warn", app)
	}
	return p.backUpLinked(ctx, app, "before", goingOn, order{trigger: backup.BeforeDeploy, later: true, note: note, coming: map[string]string{app: coming}})
}

// afterDeploy backs up what is linked to an app whose new containers serve. When this dokku run has built nothing, as for a restart, the
// code is what it was, and nothing is done.
func (p *program) afterDeploy(ctx context.Context, app string) error {
	commit, err := p.host.Building(app)
	if err != nil || commit == "" {
		return err
	}
	return p.backUpLinked(ctx, app, "after", "the app is deployed", order{trigger: backup.AfterDeploy, later: true, note: "after the deploy of " + shortCommit(commit)})
}

func shortCommit(commit string) string { return commit[:min(7, len(commit))] }

// backUpLinked carries the order out for each service that is linked to the app. The deploy's log gets two lines of it; the rest is in the
// runs' logs.
func (p *program) backUpLinked(ctx context.Context, app, when, goingOn string, o order) error {
	log := p.ui
	p.ui = ui.New(io.Discard, true)
	services, err := p.host.Linked(ctx, "postgres", app)
	if err != nil {
		log.Warn("nothing was backed up %s the deploy: %s; %s", when, repository.Told(err).Message, goingOn)
		return warnings{}
	}
	if len(services) == 0 {
		log.Step("Nothing to back up %s the deploy: no service that can be backed up is linked to %s", when, app)
		return nil
	}
	var names, failed, done []string
	for _, s := range services {
		names = append(names, s.Name)
	}
	log.Step("Backing up %s %s the deploy", strings.Join(names, " and "), when)
	for _, s := range services {
		o.service = s
		words, err := p.backUpUnlessFresh(ctx, app, o)
		if err != nil {
			failed = append(failed, fmt.Sprintf("%s was not backed up: %s", s.Name, repository.Told(err).Message))
		} else {
			done = append(done, words)
		}
	}
	if len(failed) > 0 {
		log.Warn("%s; %s", strings.Join(append(failed, done...), "; "), goingOn)
		return warnings{}
	}
	log.Detail("%s", strings.Join(done, "; "))
	return nil
}

// backUpUnlessFresh carries the order out, or finds a backup that is younger than the app's max-age, and says in a line what came of it.
func (p *program) backUpUnlessFresh(ctx context.Context, app string, o order) (string, error) {
	text, err := p.appSetting(app, "max-age")
	if err != nil {
		return "", err
	}
	if maxAge, _ := backup.ParseAge(cmp.Or(text, "0")); maxAge > 0 {
		fresh, err := p.fresh(ctx, o.service, app, maxAge)
		if err != nil {
			return "", err
		}
		if fresh != nil {
			return fmt.Sprintf("%s is %s old and will do (max-age %s)", fresh.ID, ui.Age(time.Since(fresh.CreatedAt)), text), nil
		}
	}
	m, err := p.backUpUnlocked(ctx, o)
	switch {
	case m == nil:
		return "", err
	case err != nil: // after the backup was complete
		return m.words() + "; " + repository.Told(err).Message, nil
	}
	return m.words(), nil
}

// fresh is the newest backup of the service when it is as good as a new one: whole, of the commit of the app that runs now, and younger than
// maxAge; nil if it is not.
func (p *program) fresh(ctx context.Context, service dokku.Service, app string, maxAge time.Duration) (*backup.Manifest, error) {
	repo, err := p.openRepository(ctx)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := repo.ListService(ctx, service.String())
	if err != nil || len(entries) == 0 || !willDo(entries[0], maxAge, time.Now()) {
		return nil, err
	}
	running, err := apps{p.host}.Deployed(ctx, app)
	if err != nil {
		return nil, err
	}
	for _, a := range entries[0].Manifest.Apps {
		if a.Name == app && a.Commit == running.Commit && a.Commit != "" {
			return entries[0].Manifest, nil
		}
	}
	return nil, nil
}

// willDo tells whether a backup is good and younger than maxAge; one from the future is not.
func willDo(e repository.Entry, maxAge time.Duration, now time.Time) bool {
	if e.Manifest == nil || e.Manifest.State != backup.Complete || e.Marks.Verified != nil && !e.Marks.Verified.OK() {
		return false
	}
	age := now.Sub(e.Manifest.CreatedAt)
	return age >= 0 && age < maxAge
}

// beforeDestroy makes a last backup of a service that is about to be destroyed, and pins it. Services of a type that cannot be backed up
// are let go.
func (p *program) beforeDestroy(ctx context.Context, typ, name string) error {
	if typ != "postgres" {
		return nil
	}
	log := p.ui
	p.ui = ui.New(io.Discard, true)
	service := dokku.Service{Type: typ, Name: name}
	log.Step("Backing up %s before it is destroyed", name)
	m, err := p.backUpUnlocked(ctx, order{service: service, trigger: backup.BeforeDestroy, note: "before it was destroyed", pin: true})
	if err != nil {
		log.Warn("%s is not destroyed, since it was not backed up: %s", name, repository.Told(err).Message)
		log.Warn("to destroy it without a backup: dokku backup:set %s on-destroy off", name)
		return warnings{}
	}
	log.Detail("%s; pinned", m.words())
	return nil
}
