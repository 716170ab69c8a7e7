package restore

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// How long an app may take to be well after Dokku's own checks have passed, and how often it is looked at.
const (
	healthWait  = 60 * time.Second
	healthEvery = 500 * time.Millisecond
)

// health looks whether the app lives: processes, an answer, the user's checks, and whether it changed its database when it
// started.
func (r *run) health(ctx context.Context) error {
	health, err := r.wait(ctx)
	if err != nil {
		return err
	}
	r.record().Health = &health
	if health.Trouble != "" {
		return &backup.Problem{Message: fmt.Sprintf("%s is not well: %s", r.App, health.Trouble), Hints: []string{"see what it says: dokku logs " + r.App}}
	}
	r.Report.Detail("%s", HealthWords(health))
	if err := r.migrated(ctx); err != nil {
		return err
	}
	return r.ownChecks(ctx)
}

// wait looks until the app is well, or the time is over.
func (r *run) wait(ctx context.Context) (backup.Health, error) {
	deadline := time.Now().Add(healthWait)
	for {
		health, err := r.look(ctx)
		if err != nil || health.Trouble == "" || time.Now().After(deadline) {
			return health, err
		}
		select {
		case <-ctx.Done():
			return health, context.Cause(ctx)
		case <-time.After(healthEvery):
		}
	}
}

func (r *run) look(ctx context.Context) (backup.Health, error) {
	want := r.scale()
	health, err := r.Apps.Health(ctx, r.App, want)
	if err != nil || health.Trouble != "" {
		return health, err
	}
	if want["web"] == 0 {
		health.NotAsked = "it has no web process"
		return health, nil
	}
	// An app need not have a front page: it answers when it does not fail. A path that its owner named must be there.
	bad := http.StatusInternalServerError
	if health.Path = "/"; r.Checks.Path != "" {
		health.Path, bad = r.Checks.Path, http.StatusBadRequest
	}
	status, took, err := r.Apps.Ask(ctx, r.App, health.Path)
	if ctx.Err() != nil {
		return health, context.Cause(ctx)
	}
	health.Status, health.Took = status, took.Milliseconds()
	switch {
	case err != nil:
		health.Trouble = fmt.Sprintf("GET %s: no answer: %v", health.Path, err)
	case status >= bad:
		health.Trouble = fmt.Sprintf("GET %s answered %d", health.Path, status)
	}
	return health, nil
}

// migrated compares the migrations before the app started, which are those of the backup, with those of now.
func (r *run) migrated(ctx context.Context) error {
	before := r.service().Databases[0].Migration
	server, err := r.server(ctx)
	if err != nil {
		return err
	}
	after, err := server.Migration(ctx)
	if err != nil {
		return err
	}
	if before == nil && after == nil {
		return nil
	}
	m := &backup.Migrated{}
	var had, has []string
	if before != nil {
		m.Tool, had = before.Tool, before.Applied
	}
	if after != nil {
		m.Tool, has = after.Tool, after.Applied
	}
	m.Added, m.Removed = without(has, had), without(had, has)
	r.record().Migrated = m
	if n := len(m.Added) + len(m.Removed); n > 0 {
		r.warn("%s changed the database when it started: %s", r.App, MigratedWords(m))
	}
	return nil
}

func without(all, known []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(known, s) })
}

// ownChecks runs the user's checks. All of them run, so that the report names all that fail.
func (r *run) ownChecks(ctx context.Context) error {
	server, err := r.server(ctx)
	if err != nil {
		return err
	}
	var checks []backup.Check
	for _, sql := range r.Checks.SQL {
		result, ok, err := server.Check(ctx, sql)
		if err != nil {
			result = err.Error()
		}
		checks = append(checks, backup.Check{Kind: "sql", Check: sql, OK: ok && err == nil, Result: result})
	}
	paths := r.Checks.HTTP
	if !r.starts() {
		paths = nil
	}
	for _, path := range paths {
		status, _, err := r.Apps.Ask(ctx, r.App, path)
		check := backup.Check{Kind: "http", Check: path, OK: err == nil && status < http.StatusBadRequest, Result: fmt.Sprintf("HTTP %d", status)}
		if err != nil {
			check.Result = err.Error()
		}
		checks = append(checks, check)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.record().Checks = checks
	var failed []string
	for _, c := range checks {
		if !c.OK {
			failed = append(failed, fmt.Sprintf("your check %q failed: %s", c.Check, c.Result))
		}
	}
	if len(failed) > 0 {
		return &backup.Problem{Message: strings.Join(failed, "\n")}
	}
	if len(checks) > 0 {
		r.Report.Detail("your checks: %d of %d", len(checks), len(checks))
	}
	return nil
}
