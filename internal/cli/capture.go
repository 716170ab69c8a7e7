package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/capture"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/postgres"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/runs"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// Limits of a capture.
const (
	workers     = 2         // that seal and store; a small host has no more cores to give
	memoryLimit = 112 << 20 // bytes of heap from which on the collector works harder; the peak of the process is some 30 MiB more
)

// capture makes the backup that was ordered, and clears away what a failed one leaves.
func (p *program) capture(ctx context.Context, o order) (m *backup.Manifest, err error) {
	dokkuVersion, err := p.host.Version(ctx)
	if err != nil {
		return nil, err
	}
	run, err := p.runs().Begin(o.service.Name)
	if err != nil {
		return nil, err
	}
	defer func() {
		failure := err
		if err != nil && ctx.Err() != nil {
			failure = errors.New("it was interrupted")
		}
		if failure != nil {
			p.logLine("failed: %s", failure)
		}
		err = errors.Join(err, run.End(failure))
	}()
	p.pingStart(o.service.String())
	folder, err := p.prepare(ctx, run, o.service)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder) // where that fails, the next run does it
	repo, err := p.setUpRepository(ctx)
	if err != nil {
		return nil, err
	}
	release, err := p.runs().Share()
	if err != nil {
		return nil, err
	}
	limitMemory(memoryLimit)
	limited, cancel, err := p.limit(ctx, o)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	defer cancel()
	m, err = p.captureInto(limited, repo, run, folder, o, capture.Job{
		Host: backup.Host{Name: hostname(), Dokku: dokkuVersion, Plugin: version},
		Note: o.note, Trigger: o.trigger, Coming: o.coming,
	})
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = context.Cause(limited)
	}
	err = errors.Join(err, release())
	if err != nil || run.Died != nil { // what a killed run stored was there to be reused until now
		p.collectQuietly(repo)
	}
	return m, err
}

// limit is ctx with the time that the order, or else its service's setting, gives a run.
func (p *program) limit(ctx context.Context, o order) (context.Context, context.CancelFunc, error) {
	timeout, more := o.timeout, "--timeout MINUTES"
	if timeout == 0 {
		more = fmt.Sprintf("dokku backup:set %s timeout MINUTES", o.service.Name)
		var err error
		if timeout, err = p.minutes(o.service, "timeout"); err != nil {
			return nil, nil, err
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, timeout, &backup.Problem{
		Message: fmt.Sprintf("the backup took longer than %s and was given up; nothing was kept of it, earlier backups are intact", timeout),
		Hints:   []string{"allow it more time: " + more},
	})
	return limited, cancel, nil
}

// limitMemory makes the collector work harder from so many bytes of heap on. Buffers are few and kept: a limit costs little, and
// memory is what a small host lacks.
func limitMemory(bytes int64) { debug.SetMemoryLimit(bytes) }

// prepare clears what a killed run of this service left, and makes this run's private folder.
func (p *program) prepare(ctx context.Context, run *runs.Run, service dokku.Service) (folder string, err error) {
	folder = filepath.Join(p.host.DataDir(), "tmp", service.Name)
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	if run.Died != nil {
		p.ui.Warn("the run before, %s, was killed; what it left is cleared away", run.Died.ID)
		left, err := p.host.ListByLabel(ctx, dokku.HelperLabel+"="+string(run.Died.ID))
		if err != nil {
			return "", err
		}
		for _, helper := range left {
			if err := p.host.Kill(ctx, helper.ID); err != nil { // no reason to go without a backup
				p.ui.Warn("a helper container of that run could not be ended: %v", err)
			}
		}
	}
	return folder, os.MkdirAll(folder, 0o700)
}

// collectQuietly frees what a failed run stored, when nobody else uses the repository. A later run does it otherwise.
func (p *program) collectQuietly(repo *repository.Repository) {
	release, ok, err := p.runs().Exclude()
	if err != nil || !ok {
		return
	}
	defer release()
	_, _ = repo.Collect(context.Background())
}

// captureInto wires the parts of the job together and runs it.
func (p *program) captureInto(ctx context.Context, repo *repository.Repository, run *runs.Run, folder string, o order, job capture.Job) (*backup.Manifest, error) {
	service := o.service
	if err := p.begin(ctx, repo, run, service, &job); err != nil {
		return nil, err
	}
	stall, err := p.minutes(service, "stall-timeout")
	if err != nil {
		return nil, err
	}
	info, err := p.host.Info(ctx, service)
	if err != nil {
		return nil, err
	}
	if !info.Running() {
		return nil, dokku.Stopped(service)
	}
	container, err := p.host.Container(ctx, info.ContainerID)
	if err != nil {
		return nil, err
	}
	server, err := p.server(service, info, container)
	if err != nil {
		return nil, err
	}
	report := &reporter{Printer: p.ui, run: run}
	var fallback sync.Once // several programs run
	server.Tools = &dokku.Tools{
		Host: p.host, Container: container.ID, Image: container.ImageID, Purpose: string(job.ID), Folder: folder, Stall: stall,
		Fallback: func(why error) {
			fallback.Do(func() {
				report.Detail("no helper container could start (%v): dumping through docker exec, which is slower", why)
			})
		},
	}
	job.Service = backup.Service{Type: service.Type, Name: service.Name, Image: info.Image, ImageID: container.ImageID}
	job.AppNames = info.Apps
	job.Open = func(ctx context.Context) (capture.Snapshot, error) { return server.Open(ctx) }
	job.Apps, job.Report = apps{p.host}, report
	job.Repository = target{repo, job.Previous}
	return capture.Run(ctx, job)
}

// begin gives the job its id and the backup before it, and announces the run under that id.
func (p *program) begin(ctx context.Context, repo *repository.Repository, run *runs.Run, service dokku.Service, job *capture.Job) error {
	entries, err := repo.ListService(ctx, service.Name)
	if err != nil {
		return err
	}
	failed, err := p.runs().Failed(service.Name)
	if err != nil {
		return err
	}
	now := time.Now()
	job.ID, job.Previous = nextID(service, entries, failed, now)
	if job.Previous != nil && job.Previous.CreatedAt.After(now) {
		job.Warnings = append(job.Warnings, fmt.Sprintf("the host's clock is behind: the backup before, %s, is from its future", job.Previous.ID))
	}
	p.beginLog(string(job.ID), fmt.Sprintf("backup of %s, started by: %s", service, job.Trigger))
	return run.Announce(runs.Record{
		ID: job.ID, Service: service.String(), PID: os.Getpid(), Started: now, Note: job.Note, Trigger: job.Trigger,
	})
}

// server is how this program reaches the service.
func (p *program) server(service dokku.Service, info dokku.ServiceInfo, container dokku.Container) (*postgres.Server, error) {
	dsn, err := url.Parse(info.DSN)
	if err != nil || dsn.User == nil {
		return nil, fmt.Errorf("dokku %s:info %s shows no usable DSN", service.Type, service.Name) // err would hold the password
	}
	password, _ := dsn.User.Password()
	address := container.Address()
	if address == "" {
		return nil, &backup.Problem{
			Message: fmt.Sprintf("%s has no address on any network of this host", service),
			Hints:   []string{fmt.Sprintf("connect it to a network, or restart it: dokku %s:restart %s", service.Type, service.Name)},
		}
	}
	return &postgres.Server{
		Name: service.Name, Address: address, Port: 5432, // inside the container, whatever is exposed
		User: dsn.User.Username(), Password: password, Database: strings.TrimPrefix(dsn.Path, "/"),
	}, nil
}

// nextID is the id of a backup begun now, and the newest backup before it. An id that is taken, because the clock jumped
// back or a run failed in this very second, is not used again. Where a verify found damage no backup is trusted: then all
// that is stored already is read and compared, and the new backup mends what it shares with the damaged one.
func nextID(service dokku.Service, entries []repository.Entry, failed []runs.Record, now time.Time) (backup.ID, *backup.Manifest) {
	taken := func(id backup.ID) bool {
		return slices.ContainsFunc(entries, func(e repository.Entry) bool { return e.ID == id }) ||
			slices.ContainsFunc(failed, func(r runs.Record) bool { return r.ID == id })
	}
	id := backup.NewID(service.Name, now)
	for taken(id) {
		now = now.Add(time.Second)
		id = backup.NewID(service.Name, now)
	}
	if slices.ContainsFunc(entries, func(e repository.Entry) bool { return e.Marks.Verified != nil && !e.Marks.Verified.OK() }) {
		return id, nil
	}
	for _, e := range entries {
		if e.Manifest != nil && e.Manifest.Services[0].Type == service.Type {
			return id, e.Manifest
		}
	}
	return id, nil
}

// target is the repository as capture sees it.
type target struct {
	*repository.Repository
	previous *backup.Manifest
}

func (t target) NewWriter(ctx context.Context) (capture.Writer, error) {
	return t.Repository.NewWriter(ctx, workers, t.previous)
}

// reporter prints, and tells others by the run's record how far it is.
type reporter struct {
	*ui.Printer
	run *runs.Run
}

func (r *reporter) Progress(total int64) capture.Progress {
	return &progress{Progress: r.Printer.Progress(total), run: r.run, total: max(total, 1), told: time.Now()}
}

type progress struct {
	*ui.Progress
	run         *runs.Run
	done, total int64
	told        time.Time
}

func (p *progress) Add(n int) {
	p.Progress.Add(n)
	p.done += int64(n)
	if time.Since(p.told) > time.Second {
		p.told = time.Now()
		p.run.Percent = int(min(99, p.done*100/p.total))
		_ = p.run.Announce(p.run.Record) // only others' message would be less exact
	}
}
