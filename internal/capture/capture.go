// Package capture makes a backup: it asks what of each linked app runs, holds one moment of the service open, dumps it
// while the apps' facts are collected, keeps code and config, asks again what runs, and writes the manifest last. Start
// with Run. It knows no technology: the parts of a Job do the work.
package capture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Job is one capture: what to capture and who does the parts of it.
type Job struct {
	ID       backup.ID
	Service  backup.Service // type, name, image, image id
	AppNames []string       // that are linked to the service
	Host     backup.Host
	Tools    map[string]string
	Note     string
	Trigger  string
	Warnings []string          // that are known before
	Coming   map[string]string // app -> commit that is about to be deployed
	Previous *backup.Manifest  // the newest backup of the service, nil if there is none

	Open       func(ctx context.Context) (Snapshot, error)
	Apps       Apps
	Repository Repository
	Report     Reporter
}

// Snapshot is one moment of a service, held open until Close.
type Snapshot interface {
	// Taken is that moment.
	Taken() time.Time
	// Summary says in a line what the server is and holds.
	Summary() string
	// Databases are the databases to dump, with what is known of them before.
	Databases() []backup.Database
	// Dump stores a database's data. progress is called with each number of bytes that came from the server.
	Dump(ctx context.Context, database string, w backup.Writer, progress func(n int)) error
	// Roles is the SQL that makes the server's roles; nil when the service has none. It can run beside Dump.
	Roles(ctx context.Context) ([]byte, error)
	// Complete fills in what is known after all databases were dumped, and returns warnings.
	Complete(s *backup.Service) []string
	Close()
}

// Apps knows the host's apps.
type Apps interface {
	// Deployed tells which commit of the app runs at this moment, with the evidence.
	Deployed(ctx context.Context, name string) (backup.App, error)
	// Describe completes the app with all that does not depend on what runs, and returns its config.
	Describe(ctx context.Context, app *backup.App) (config map[string]string, err error)
	// Bundle writes the code of app.Commit as a git bundle, tells how many commits it holds and what is odd about it. An
	// error matching ErrNoCode says why there is no code to keep.
	Bundle(ctx context.Context, app backup.App, w io.Writer) (commits int, warnings []string, err error)
}

// ErrNoCode is what an Apps.Bundle error matches when the backup can be made without the code.
var ErrNoCode = errors.New("no code")

// Repository keeps what is captured.
type Repository interface {
	NewWriter(ctx context.Context) (Writer, error)
	// Commit makes the backup exist, after it saw that all segments are there, and reads it back.
	Commit(ctx context.Context, m *backup.Manifest) error
}

// Writer is a backup.Writer that is closed by its owner.
type Writer interface {
	backup.Writer
	// Close waits until everything is stored.
	Close() (backup.Stored, error)
}

// Reporter tells a person what happens.
type Reporter interface {
	Step(format string, args ...any)
	Detail(format string, args ...any)
	Warn(format string, args ...any)
	// Progress begins a measured stretch of about total bytes.
	Progress(total int64) Progress
}

// Progress is a measured stretch.
type Progress interface {
	Add(n int)
	Done()
}

// Run makes the backup. Whatever fails before the manifest is written leaves no backup.
func Run(ctx context.Context, job Job) (*backup.Manifest, error) {
	ctx, cancel := context.WithCancel(ctx) // an early return stops the writer's workers
	defer cancel()
	r := &run{Job: job, began: time.Now()}
	r.manifest = &backup.Manifest{
		Schema: backup.Schema, ID: job.ID, Note: job.Note, Trigger: job.Trigger, Host: job.Host, Tools: job.Tools,
		Apps: []backup.App{}, Warnings: job.Warnings,
	}
	var err error
	if r.writer, err = job.Repository.NewWriter(ctx); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		if err := r.once(ctx); err != nil {
			return nil, err
		}
		straddled, err := r.straddled(ctx)
		if err != nil {
			return nil, err
		}
		if straddled == "" {
			break
		}
		if attempt == 2 {
			r.warn("%s. The dump may hold either side of a migration", straddled)
			break
		}
		job.Report.Warn("%s; dumping once more", straddled)
	}
	if err := r.keepCode(ctx); err != nil {
		return nil, err
	}
	if err := r.finish(ctx); err != nil {
		return nil, err
	}
	return r.manifest, nil
}

// run is the state of one capture.
type run struct {
	Job
	began    time.Time
	manifest *backup.Manifest
	writer   Writer
	configs  []map[string]string // of the apps, by index
	warned   []string            // by the last attempt to dump
}

// once dumps the service, and collects the apps' facts meanwhile.
func (r *run) once(ctx context.Context) error {
	r.Report.Step("Backing up %s service %s", r.Service.Type, r.Service.Name)
	if err := r.deployed(ctx); err != nil {
		return err
	}
	began := time.Now()
	snapshot, err := r.Open(ctx)
	if err != nil {
		return err
	}
	defer snapshot.Close()
	r.manifest.CreatedAt = snapshot.Taken().UTC().Truncate(time.Millisecond)
	r.Report.Detail("%s", snapshot.Summary())
	r.manifest.Timings.Inspect = time.Since(began).Milliseconds()

	began = time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	var roles []byte
	group.Go(func() (err error) {
		roles, err = snapshot.Roles(groupCtx)
		return err
	})
	group.Go(func() error { return r.describe(groupCtx) })
	group.Go(func() error { return r.dump(groupCtx, snapshot) })
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range r.manifest.Apps {
		r.manifest.Apps[i].Deploying = r.Coming[r.manifest.Apps[i].Name]
	}
	service := r.Service
	r.warned = snapshot.Complete(&service)
	r.reportDatabases(service)
	if roles != nil {
		if service.Roles, err = r.writer.Bytes(bytes.NewReader(roles)); err != nil {
			return err
		}
	}
	r.manifest.Services = []backup.Service{service}
	r.manifest.Timings.Dump = time.Since(began).Milliseconds()
	return nil
}

// deployed asks what of each app runs.
func (r *run) deployed(ctx context.Context) error {
	apps, err := r.askDeployed(ctx)
	if err != nil {
		return err
	}
	r.manifest.Apps = apps
	for _, app := range apps {
		r.Report.Detail("%s", runs(app))
	}
	if len(apps) == 0 {
		r.Report.Detail("no app is linked to it: the backup holds no code")
	}
	return nil
}

func (r *run) askDeployed(ctx context.Context) ([]backup.App, error) {
	apps := make([]backup.App, len(r.AppNames))
	group, ctx := errgroup.WithContext(ctx)
	for i, name := range r.AppNames {
		group.Go(func() (err error) {
			apps[i], err = r.Apps.Deployed(ctx, name)
			return err
		})
	}
	return apps, group.Wait()
}

func (r *run) describe(ctx context.Context) error {
	r.configs = make([]map[string]string, len(r.manifest.Apps))
	group, ctx := errgroup.WithContext(ctx)
	for i := range r.manifest.Apps {
		group.Go(func() (err error) {
			r.configs[i], err = r.Apps.Describe(ctx, &r.manifest.Apps[i])
			return err
		})
	}
	return group.Wait()
}

func (r *run) dump(ctx context.Context, snapshot Snapshot) error {
	for _, d := range snapshot.Databases() {
		r.Report.Step("Dumping %s", d.Name)
		progress := r.Report.Progress(r.expected(d))
		err := snapshot.Dump(ctx, d.Name, r.writer, progress.Add)
		progress.Done()
		if err != nil {
			return err
		}
	}
	return nil
}

// expected is about how many bytes the dump of a database will have: as many as the last time, else what it takes on disk.
func (r *run) expected(d backup.Database) int64 {
	if r.Previous != nil && len(r.Previous.Services) > 0 {
		for _, old := range r.Previous.Services[0].Databases {
			if old.Name == d.Name && old.Dump.Bytes > 0 {
				return old.Dump.Bytes
			}
		}
	}
	return d.Size
}

// straddled asks again what runs, and says in a line what differs from before the dump.
func (r *run) straddled(ctx context.Context) (string, error) {
	now, err := r.askDeployed(ctx)
	if err != nil {
		return "", err
	}
	for i, app := range now {
		before := &r.manifest.Apps[i]
		if app.ImageID == before.ImageID && app.Commit == before.Commit {
			continue // its state may differ: containers of a deploy before retire for a minute
		}
		before.Deploying = app.Commit
		return fmt.Sprintf("%s was deployed while its data was dumped: %s before, %s after", app.Name, short(*before), short(app)), nil
	}
	return "", nil
}

// keepCode stores each app's code and config.
func (r *run) keepCode(ctx context.Context) error {
	if len(r.manifest.Apps) == 0 {
		return nil
	}
	began := time.Now()
	r.Report.Step("Keeping code and config")
	for i := range r.manifest.Apps {
		app := &r.manifest.Apps[i]
		if err := r.keepBundle(ctx, app); err != nil {
			return fmt.Errorf("code of %s: %w", app.Name, err)
		}
		text, err := json.Marshal(r.configs[i])
		if err != nil {
			return err
		}
		if app.Config, err = r.writer.Bytes(bytes.NewReader(text)); err != nil {
			return err
		}
		r.Report.Detail("%s; %s", kept(*app), plural(len(app.ConfigKeys), "config value", "config values")+", sealed")
	}
	r.manifest.Timings.Code = time.Since(began).Milliseconds()
	return nil
}

// keepBundle stores the app's code, unless the previous backup holds the same.
func (r *run) keepBundle(ctx context.Context, app *backup.App) error {
	if app.Commit == "" {
		r.warn("%s", noCommit(*app))
		return nil
	}
	if old := r.previousBundle(app); old != nil {
		app.Bundle = old
		return nil
	}
	in, out := io.Pipe()
	bundle := &backup.Bundle{}
	var warnings []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		var err error
		bundle.Commits, warnings, err = r.Apps.Bundle(ctx, *app, out)
		out.CloseWithError(err)
	}()
	var err error
	bundle.Content, err = r.writer.Bytes(in)
	in.CloseWithError(err)
	<-done
	if errors.Is(err, ErrNoCode) {
		r.warn("%s: %v", app.Name, err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, w := range warnings {
		r.warn("code of %s: %s", app.Name, w)
	}
	app.Bundle = bundle
	return nil
}

func (r *run) previousBundle(app *backup.App) *backup.Bundle {
	if r.Previous == nil {
		return nil
	}
	for _, old := range r.Previous.Apps {
		if old.Name == app.Name && old.Commit == app.Commit && old.Branch == app.Branch {
			return old.Bundle
		}
	}
	return nil
}

// finish waits for the last segment and writes the manifest.
func (r *run) finish(ctx context.Context) error {
	r.Report.Step("Storing")
	var err error
	if r.manifest.Stored, err = r.writer.Close(); err != nil {
		return err
	}
	m := r.manifest
	m.Stored.Raw = m.Bytes() // a dump that was made twice counts once
	m.Warnings = append(m.Warnings, r.warned...)
	m.State = backup.Complete
	if len(m.Warnings) > 0 {
		m.State = backup.CompleteWithWarnings
	}
	took := time.Since(r.began) // by the monotonic clock: a clock that jumps cannot make it wrong
	m.Timings.Total = took.Milliseconds()
	m.FinishedAt = r.began.UTC().Add(took).Truncate(time.Millisecond)
	if err := r.Repository.Commit(ctx, m); err != nil {
		return err
	}
	r.Report.Detail("%s new, %s reused; here: confirmed", humanize.Bytes(uint64(m.Stored.New)), humanize.Bytes(uint64(m.Stored.Reused)))
	return nil
}

func (r *run) warn(format string, args ...any) {
	r.manifest.Warnings = append(r.manifest.Warnings, fmt.Sprintf(format, args...))
}
