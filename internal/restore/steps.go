package restore

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// The names of the steps, as journal, timings and plans have them.
const (
	stepCheck  = "check"
	stepCreate = "create"
	stepLoad   = "load"
	stepVerify = "verify"
	stepScript = "script"
	stepChecks = "checks" // of the data; where an app starts, they are part of health
	stepApp    = "app"
	stepCode   = "code"
	stepLink   = "link"
	stepBuild  = "build"
	stepHealth = "health"
	stepMove   = "move"
	stepReport = "report"
)

// step is one gate.
type step struct {
	name  string
	does  string // in a plan: create app
	doing string // while it is done: Creating the app
	what  string
	do    func(*run, context.Context) error
}

// steps are those that the request asks for, in their order.
func (j *Job) steps() []step {
	service := j.service()
	var tables int
	var bytes int64
	for _, d := range service.Databases {
		tables += len(d.Tables)
		bytes += d.Dump.Bytes
	}
	all := []step{
		{stepCheck, "check the backup", "Checking the backup", j.segments(), (*run).check},
		{stepCreate, "create service", "Creating service " + j.Request.Service, j.Request.Service + " on " + j.image(), (*run).create},
		{stepLoad, "load", "Loading", size(bytes), (*run).load},
	}
	if j.Verify != None {
		what := "rows of " + plural(tables, "table")
		if j.Verify == Exact {
			what = "every row of " + plural(tables, "table")
		}
		all = append(all, step{stepVerify, "verify", "Verifying", what + ", schema, sequences, migrations", (*run).verify})
	}
	if j.Script != "" {
		all = append(all, step{stepScript, "run SQL", "Running your SQL", "before there is an app", (*run).script})
	}
	if !j.starts() && len(j.Checks.SQL) > 0 {
		all = append(all, step{stepChecks, "your checks", "Running your checks", "by SQL", (*run).ownChecks})
	}
	if j.App != "" {
		all = append(all, j.appSteps()...)
	}
	if j.Replace != "" {
		all = append(all, step{stepMove, "move the link", "Moving " + j.Replace, fmt.Sprintf("%s gets %s in place of %s; %s goes", j.Replace, j.Request.Service, service.Name, j.App), (*run).move})
	}
	return append(all, step{stepReport, "report", "Reporting", "", (*run).report})
}

func (j *Job) appSteps() []step {
	source, code := j.source(), "the backup's bundle"
	if j.Remote != "" {
		code = withoutUser(j.Remote)
	}
	var scale []string
	wanted := j.scale()
	for _, process := range slices.Sorted(maps.Keys(wanted)) {
		scale = append(scale, fmt.Sprintf("%s=%d", process, wanted[process]))
	}
	what := []string{j.App, "config of " + source.Name, strings.Join(scale, " ")}
	all := []step{{stepApp, "create app", "Creating app " + j.App, strings.Join(slices.DeleteFunc(what, func(s string) bool { return s == "" }), ", "), (*run).app}}
	if !j.SkipCode {
		all = append(all, step{stepCode, "sync code", "Syncing code", short(j.commit()) + " from " + code, (*run).code})
	}
	all = append(all, step{stepLink, "link", "Linking", j.Request.Service + " to " + j.App, (*run).link})
	if !j.SkipCode {
		all = append(all,
			step{stepBuild, "build", "Building " + j.App, "and deploy", (*run).build},
			step{stepHealth, "health", "Looking at " + j.App, "processes, an answer, your checks", (*run).health})
	}
	return all
}

// starts tells whether an app is built and started.
func (j *Job) starts() bool { return j.App != "" && !j.SkipCode }

// withoutUser leaves out what may be a token. An address of another form, git@host:path, holds none.
func withoutUser(remote string) string {
	if u, err := url.Parse(remote); err == nil && u.User != nil {
		u.User = nil
		return u.String()
	}
	return remote
}

func (j *Job) segments() string {
	distinct, stored := map[string]bool{}, int64(0)
	j.Manifest.Contents(func(_ string, c *backup.Content) error {
		for _, s := range c.Segments {
			if !distinct[s.Name] {
				distinct[s.Name] = true
				stored += s.Stored
			}
		}
		return nil
	})
	return size(stored) + " in " + plural(len(distinct), "segment")
}

// check sees that the backup is whole and the image at hand.
func (r *run) check(ctx context.Context) error {
	segments, stored, err := r.Repository.Check(ctx, r.Manifest)
	if err != nil {
		return err
	}
	r.Report.Detail("%s in %s, all here", size(stored), plural(segments, "segment"))
	there, err := r.Services.HasImage(ctx, r.image())
	if err != nil || there {
		return err
	}
	r.Report.Detail("fetching image %s", r.image())
	return r.Services.FetchImage(ctx, r.image())
}

// create makes the service. One that an attempt before left, loaded in part perhaps, goes first.
func (r *run) create(ctx context.Context) error {
	if err := r.Services.Destroy(ctx, r.Request.Service, r.Journal.Mark); err != nil {
		return err
	}
	if r.Network != "" {
		if err := r.Services.CreateNetwork(ctx, r.Network, r.Journal.Mark); err != nil {
			return err
		}
	}
	err := r.Services.Create(ctx, NewService{Name: r.Request.Service, Image: r.image(), Network: r.Network, Mark: r.Journal.Mark})
	if err != nil {
		return err
	}
	server, err := r.server(ctx)
	if err != nil {
		return err
	}
	return server.CanLoad(ctx, r.service())
}

func (r *run) load(ctx context.Context) error {
	server, err := r.server(ctx)
	if err != nil {
		return err
	}
	var total int64
	for _, d := range r.service().Databases {
		total += d.Dump.Bytes
	}
	progress := r.Report.Progress(total)
	defer progress.Done()
	return server.Load(ctx, r.service(), r.Repository, progress.Add)
}

func (r *run) verify(ctx context.Context) error {
	server, err := r.server(ctx)
	if err != nil {
		return err
	}
	proof, err := server.Verify(ctx, r.service(), r.Repository, r.Verify == Exact)
	if err != nil {
		return err
	}
	r.record().Data = &proof
	if len(proof.Differences) > 0 {
		return &backup.Problem{Message: strings.Join(proof.Differences, "\n")}
	}
	r.Report.Detail("%s", ProofWords(proof))
	for _, unknown := range proof.Unknown {
		r.warn("%s", unknown)
	}
	return nil
}

func (r *run) script(ctx context.Context) error {
	server, err := r.server(ctx)
	if err != nil {
		return err
	}
	sql, err := os.Open(r.Script)
	if err != nil {
		return fmt.Errorf("your SQL: %w", err)
	}
	defer sql.Close()
	return server.Script(ctx, sql)
}

// app makes the app. One that an attempt before left goes first.
func (r *run) app(ctx context.Context) error {
	if err := r.destroyApp(ctx); err != nil {
		return err
	}
	s, err := r.newSettings(ctx)
	if err != nil {
		return err
	}
	source := r.source()
	err = r.Apps.Create(ctx, NewApp{
		Name: r.App, Mark: r.Journal.Mark, Network: r.Network, Branch: source.Branch, Config: s.config, Scale: r.scale(), Ports: source.Ports,
	})
	if err != nil {
		return err
	}
	r.Report.Detail("%s, %s comes from the link", plural(len(s.config), "config value"), s.link.Key)
	for _, key := range slices.Sorted(maps.Keys(s.dropped)) {
		r.Report.Detail("%s is left out: %s", key, s.dropped[key])
	}
	return nil
}

func (r *run) destroyApp(ctx context.Context) error {
	return r.Apps.Destroy(ctx, r.App, r.Journal.Mark, r.Journal.Started)
}

func (r *run) code(ctx context.Context) error {
	err := r.Apps.Sync(ctx, r.App, r.theCode())
	if err == nil {
		r.record().Commit = r.commit()
		r.Report.Detail("%s", r.commit())
	}
	return err
}

func (r *run) theCode() Code {
	c := Code{Commit: r.commit(), Remote: r.Remote}
	if b := r.source().Bundle; b != nil {
		c.Bundle = b.Content
	}
	return c
}

func (r *run) link(ctx context.Context) error {
	s, err := r.newSettings(ctx)
	if err != nil {
		return err
	}
	return r.Apps.Link(ctx, r.Request.Service, r.App, s.link)
}

// build builds and starts the app; meanwhile the server gets the statistics that the app's queries are planned by.
func (r *run) build(ctx context.Context) error {
	server, err := r.server(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Analyze(ctx, r.service()) })
	group.Go(func() error { return r.Apps.Build(ctx, r.App) })
	return group.Wait()
}

// move gives the running app the proven service, and its code, and removes the app that proved it. Where the app cannot be built
// so, it is put back; its old containers served all the while.
func (r *run) move(ctx context.Context) error {
	if r.Journal.Before == "" {
		before, err := r.Apps.Running(ctx, r.Replace)
		if err != nil {
			return err
		}
		r.Journal.Before = before
		if err := r.Journal.save(); err != nil {
			return err
		}
	}
	err := r.Apps.Relink(ctx, r.Replace, r.service().Name, r.Request.Service)
	if err == nil && r.otherCode() {
		err = r.Apps.Sync(ctx, r.Replace, r.theCode())
	}
	if err == nil {
		err = r.Apps.Build(ctx, r.Replace)
	}
	if err != nil {
		if ctx.Err() != nil {
			return err // as after a kill: it can be gone on with, or taken back
		}
		problem := &backup.Problem{Message: err.Error(), Err: err} // without the hint to build it again, which is as it was then
		if back := r.putBack(ctx); back != nil {
			problem.Message += fmt.Sprintf("; its old settings could not be put back: %v", back)
		}
		return problem
	}
	return r.destroyApp(ctx)
}

// otherCode tells whether the app to replace ran another commit than it gets.
func (j *Job) otherCode() bool { return j.commit() != "" && j.commit() != j.Journal.Before }

// putBack puts the app to replace on its old service and its old code.
func (j *Job) putBack(ctx context.Context) error {
	err := j.Apps.Relink(ctx, j.Replace, j.Request.Service, j.service().Name)
	if err == nil && j.otherCode() && j.Journal.Before != "" {
		err = j.Apps.Sync(ctx, j.Replace, Code{Commit: j.Journal.Before})
	}
	return err
}

func (r *run) report(context.Context) error {
	report := r.record()
	report.Passed, report.Finished = true, time.Now().UTC()
	return nil
}
