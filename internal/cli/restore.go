package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/code"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/restore"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// restoreMemory is how many bytes of heap a restore may have before the collector works harder.
const restoreMemory = 150 << 20

func (p *program) restoreCommand() *cli.Command {
	return &cli.Command{
		Name: "restore", ArgsUsage: "<id or service> <new-service>", Usage: "Restore a backup into a new service and prove it",
		Description: `Makes a new service, loads the backup and compares every table with it. With --app the app comes back as well, at exactly
the commit that belongs to the data, and is started only when the data is proven. The service and the app that were backed
up are not touched. The plan is shown first. A gate that does not open stops the restore there: go on with --resume, or
remove what was made with --abort. With missing answers, on a terminal, it asks.`,
		UsageText: `dokku backup:restore happycows-db happycows-db-2 --app happycows-restored
dokku backup:restore happycows-db happycows-db-2 --replace-app happycows`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "app", Usage: "restore the app as well, under the new name `NEW-APP`"},
			&cli.StringFlag{Name: "replace-app", Usage: "recover the running `APP`: prove all of it beside the app, then give it the new service"},
			&cli.StringFlag{Name: "resume", Usage: "go on with the unfinished restore into `SERVICE`"},
			&cli.StringFlag{Name: "abort", Usage: "remove all that the unfinished restore into `SERVICE` made"},
			&cli.BoolFlag{Name: "dry-run", Usage: "show the plan and do nothing"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
			&cli.StringFlag{Name: "verify", Value: "rows", Usage: "`HOW`: rows, exact (the digest of every table) or none"},
			&cli.BoolFlag{Name: "skip-code", Usage: "make the app with config and link, and do not build it"},
			&cli.StringFlag{Name: "config", Value: "all", Usage: "`WHICH` config values the app gets: all, none or keys=A,B"},
			&cli.StringSliceFlag{Name: "scale", Usage: "`PROCESS=N`, such as web=1, in place of the recorded ones"},
		}, commonRestoreFlags()...),
		Action: p.restore,
	}
}

// commonRestoreFlags are those of restore and practice.
func commonRestoreFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "from", Usage: "which `APP` of the backup, where it holds several"},
		&cli.StringFlag{Name: "commit", Usage: "build `REF`, a commit, branch or tag, in place of the commit that belongs to the data"},
		&cli.StringFlag{Name: "from-remote", Usage: "take the code from the git remote `URL` in place of the backup's bundle"},
		&cli.StringFlag{Name: "image-version", Usage: "`VERSION` of the service's image in place of the recorded one"},
		&cli.StringSliceFlag{Name: "env", KeepSpace: true, Usage: "config value `KEY=VALUE` for the app; can be given several times"},
		&cli.StringFlag{Name: "env-file", Usage: "`FILE` with a KEY=VALUE a line"},
		&cli.IntFlag{Name: "jobs", Usage: "`N` tables to load at once (default as many as there are cores, at most 4)"},
		formatFlag(),
	}
}

func (p *program) restore(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	if c.String("resume") != "" && c.String("abort") != "" {
		return usage(c.Command, "either --resume or --abort")
	}
	if name := c.String("resume"); name != "" {
		return p.resume(c, name, asJSON)
	}
	if name := c.String("abort"); name != "" {
		return p.abort(c, name)
	}
	request, err := p.restoreRequest(c)
	if err != nil {
		return err
	}
	job, repo, err := p.restoreJob(c, c.Args().First(), request)
	if err != nil {
		return err
	}
	if err := p.journals().Free(job.Request.Service); err != nil {
		return err
	}
	if err := p.confirmPlan(c, job, asJSON); err != nil || c.Bool("dry-run") {
		return err
	}
	return p.runRestore(c, job, repo, asJSON, restore.Run)
}

// restoreRequest is what flags and arguments say.
func (p *program) restoreRequest(c *cli.Context) (restore.Request, error) {
	if c.NArg() > 2 {
		return restore.Request{}, usage(c.Command, "takes a backup and the name of a new service, not %d arguments", c.NArg())
	}
	r := restore.Request{
		Service: c.Args().Get(1), App: c.String("app"), Replace: c.String("replace-app"), SkipCode: c.Bool("skip-code"),
		Verify: restore.Verification(c.String("verify")), Config: c.String("config"),
	}
	var err error
	if r.Scale, err = parseScale(c.StringSlice("scale")); err != nil {
		return r, usage(c.Command, "%v", err)
	}
	if r.Replace != "" {
		r.From = r.Replace
		if r.App == "" {
			r.App = r.Replace + "-restored"
		}
		if r.SkipCode {
			return r, usage(c.Command, "--replace-app proves the app before it moves it: it cannot go with --skip-code")
		}
	}
	return r, p.commonRequest(c, &r)
}

// commonRequest fills in what restore and practice share.
func (p *program) commonRequest(c *cli.Context, r *restore.Request) error {
	if r.From == "" || c.String("from") != "" {
		r.From = c.String("from")
	}
	r.Remote, r.Commit = c.String("from-remote"), c.String("commit")
	switch r.Verify {
	case restore.Rows, restore.Exact, restore.None:
	default:
		return usage(c.Command, "--verify is rows, exact or none, not %q", r.Verify)
	}
	if c.Int("jobs") < 0 || c.Int("jobs") > 64 {
		return usage(c.Command, "--jobs is 1 to 64, not %d", c.Int("jobs"))
	}
	var err error
	if r.Env, err = readEnv(c.StringSlice("env"), c.String("env-file")); err != nil {
		return usage(c.Command, "%v", err)
	}
	return nil
}

// configKey is what Dokku takes as the name of a config value (validateKey in its plugins/config/config.go).
var configKey = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// readEnv takes KEY=VALUE pairs; those of the command line win over those of the file.
func readEnv(pairs []string, file string) (map[string]string, error) {
	var all []string
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--env-file: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
				all = append(all, line)
			}
		}
	}
	env := map[string]string{}
	for _, pair := range append(all, pairs...) {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || !configKey.MatchString(key) {
			return nil, errors.New("config values are KEY=VALUE, a line each in a file") // not shown: it may be a secret
		}
		env[key] = value
	}
	return env, nil
}

func parseScale(pairs []string) (map[string]int, error) {
	scale := map[string]int{}
	for _, pair := range pairs {
		process, number, _ := strings.Cut(pair, "=")
		n, err := strconv.Atoi(number)
		if err != nil || process == "" || n < 0 {
			return nil, fmt.Errorf("--scale is such as web=1, not %q", pair)
		}
		scale[process] = n
	}
	return scale, nil
}

// restoreJob finds the backup, asks for what is missing, and puts the parts of the job together.
func (p *program) restoreJob(c *cli.Context, name string, r restore.Request) (*restore.Job, *repository.Repository, error) {
	if (name == "" || r.Service == "") && !c.Bool("yes") {
		var err error
		if name, err = p.fillIn(c.Context, name, &r); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case name == "":
		return nil, nil, usage(c.Command, "which backup? give an id or a service")
	case r.Service == "":
		return nil, nil, usage(c.Command, "into which service? give the name of a new one")
	}
	repo, entry, err := p.chosen(c.Context, name)
	if err != nil {
		return nil, nil, err
	}
	m := entry.Manifest
	if err := p.complete(c, repo, m, &r); err != nil {
		return nil, nil, err
	}
	job, err := p.newJob(repo, entry, r)
	return job, repo, err
}

// complete works out what the request leaves open: which app, which image, which commit.
func (p *program) complete(c *cli.Context, repo *repository.Repository, m *backup.Manifest, r *restore.Request) error {
	r.Backup, r.Type = m.ID, m.Services[0].Type
	if r.App != "" && r.From == "" && len(m.Apps) == 1 {
		r.From = m.Apps[0].Name
	}
	if v := c.String("image-version"); v != "" {
		image := m.Services[0].Image
		r.Image = image[:strings.LastIndexByte(image, ':')+1] + v
	}
	to := r.Commit // as it was typed
	if to == "" {
		return nil
	}
	i := slices.IndexFunc(m.Apps, func(a backup.App) bool { return a.Name == r.From })
	if r.App == "" || i < 0 {
		return usage(c.Command, "--commit is the code of an app: it goes with --app")
	}
	diff, err := p.changes(c.Context, repo, m, m.Apps[i], to, r.Remote)
	var problem *backup.Problem
	if errors.Is(err, code.ErrNoCommit) && errors.As(err, &problem) && r.Remote == "" {
		return &backup.Problem{Message: problem.Message, Hints: []string{"name a repository that has it: --from-remote URL"}}
	}
	if err != nil {
		return err
	}
	r.Commit = diff.To.SHA
	if r.Remote == "" && diff.Direction != code.Same && diff.Direction != code.Behind { // the bundle ends with the backup's commit
		r.Remote = p.host.Repository(r.From)
	}
	for _, line := range diffLines(diff, to, false) {
		p.ui.Detail("%s", line)
	}
	return nil
}

// newJob wires a request to the parts that do it.
func (p *program) newJob(repo *repository.Repository, entry repository.Entry, r restore.Request) (*restore.Job, error) {
	checks, err := p.checks(entry.Manifest.Services[0])
	if err != nil {
		return nil, err
	}
	return &restore.Job{
		Request: r, Manifest: entry.Manifest, Checks: checks, Last: entry.Marks.Practised, Repository: repo, Report: uiReporter{p.ui},
		Services: newServices{program: p, typ: entry.Manifest.Services[0].Type},
		Apps:     newApps{program: p, typ: entry.Manifest.Services[0].Type, repo: repo},
	}, nil
}

// uiReporter is the printer as restore sees it.
type uiReporter struct{ *ui.Printer }

func (r uiReporter) Progress(total int64) restore.Progress { return r.Printer.Progress(total) }

// confirmPlan shows the plan and asks.
func (p *program) confirmPlan(c *cli.Context, job *restore.Job, asJSON bool) error {
	plan, err := restore.NewPlan(c.Context, job)
	if err != nil {
		return err
	}
	if c.Bool("dry-run") && asJSON {
		return p.printJSON(plan)
	}
	heading, out := p.ui.Heading, p.ui.Detail
	if c.Bool("dry-run") { // then it is the data
		heading = func(format string, args ...any) { p.print("=====> "+format, args...) }
		out = func(format string, args ...any) { p.print("       "+format, args...) }
	}
	heading("Plan")
	for _, line := range planLines(job, plan) {
		out("%s", line)
	}
	if c.Bool("dry-run") || c.Bool("yes") {
		return nil
	}
	return p.goOn(c.Context, "Go on?", "--yes")
}

// planLines is a plan as a person reads it.
func planLines(job *restore.Job, plan *restore.Plan) []string {
	var lines []string
	for i, s := range plan.Steps {
		line := fmt.Sprintf("%2d %-18s %s", i+1, s.Does, s.What)
		if job.Last != nil && job.Last.Passed {
			for _, t := range job.Last.Steps {
				if t.Step == s.Step && t.Took >= 1000 {
					line += fmt.Sprintf(" (%s when practised)", ui.Took(time.Duration(t.Took)*time.Millisecond))
				}
			}
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	for _, note := range plan.Notes {
		lines = append(lines, "note: "+note)
	}
	untouched := []string{job.Manifest.Services[0].Name}
	for _, a := range job.Manifest.Apps {
		if a.Name != plan.Replace {
			untouched = append(untouched, a.Name)
		}
	}
	needs := fmt.Sprintf("Needs about %s, %s are free.", ui.Bytes(plan.Needs), ui.Bytes(plan.Free))
	if len(untouched) == 1 {
		return append(lines, untouched[0]+" is not touched. "+needs)
	}
	return append(lines, strings.Join(untouched, " and ")+" are not touched. "+needs)
}

func (p *program) journals() *restore.Journals {
	return &restore.Journals{Dir: filepath.Join(p.host.DataDir(), "restores")}
}

// runRestore begins the journal and does the work by do; the report is printed whatever came of it.
func (p *program) runRestore(c *cli.Context, job *restore.Job, repo *repository.Repository, asJSON bool,
	do func(context.Context, *restore.Job) (*backup.Report, error)) error {
	release, err := p.runs().Share() // so that no clean-up takes segments away
	if err != nil {
		return err
	}
	defer release()
	if job.Journal == nil {
		if job.Journal, err = p.journals().Begin(job.Request); err != nil {
			return err
		}
	}
	p.hand(job, repo, c.Int("jobs"))
	limitMemory(restoreMemory)
	report, err := do(c.Context, job)
	if err != nil {
		defer job.Journal.Close()
		var problem *backup.Problem
		if errors.As(err, &problem) && errors.As(err, new(*repository.DamageError)) {
			problem.Hints = slices.Insert(problem.Hints, 0, "find out what else is damaged: dokku backup:verify --all")
		}
		if c.Context.Err() != nil && errors.As(err, &problem) {
			return &unfinishedError{problem.Hints}
		}
		return err
	}
	if err := p.restored(job, report, asJSON); err != nil {
		return err
	}
	if err := job.Journal.Remove(); err != nil {
		return err
	}
	if len(report.Warnings) > 0 {
		return warnings{}
	}
	return nil
}

// unfinishedError is the error of a restore that was interrupted, with what it left and how to go on.
type unfinishedError struct{ hints []string }

func (e *unfinishedError) Error() string { return "interrupted" }

// hand gives the parts of a job what its journal has for them.
func (p *program) hand(job *restore.Job, repo *repository.Repository, jobs int) {
	typ := job.Manifest.Services[0].Type
	p.host = p.host.ForRun(job.Journal.Mark)
	job.Services = newServices{program: p, typ: typ, jobs: jobs, folder: job.Journal.Folder(), mark: job.Journal.Mark}
	job.Apps = newApps{program: p, typ: typ, folder: job.Journal.Folder(), repo: repo}
}

// unfinished is the job of a journal, to go on with or to remove what it made.
func (p *program) unfinished(c *cli.Context, service string, remove bool) (*restore.Job, *repository.Repository, error) {
	if !backup.ValidServiceName(service) {
		return nil, nil, usage(c.Command, "%q is not the name of a service", service)
	}
	journal, err := p.journals().Open(service)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &backup.Problem{
			Message: fmt.Sprintf("there is no unfinished restore into %s", service),
			Hints:   []string{"begin one: dokku backup:restore ID " + service},
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if err := p.outlast(c.Context, journal.Mark); err != nil {
		return nil, nil, errors.Join(err, journal.Close())
	}
	repo, entry, err := p.chosen(c.Context, string(journal.Request.Backup))
	if err != nil && remove && journal.Request.Replace == "" { // without the backup, or its key, it can still be removed
		lost := backup.Service{Type: journal.Request.Type, Name: journal.Request.Backup.Service()}
		entry.Manifest, err = &backup.Manifest{Services: []backup.Service{lost}}, nil
	}
	if err != nil {
		return nil, nil, errors.Join(err, journal.Close())
	}
	job, err := p.newJob(repo, entry, journal.Request)
	if err != nil {
		return nil, nil, errors.Join(err, journal.Close())
	}
	job.Journal = journal
	p.hand(job, repo, c.Int("jobs"))
	return job, repo, nil
}

// outlastWait is how long --resume and --abort wait for programs that a killed run had started: a build may take minutes.
const outlastWait = 10 * time.Minute

// outlast waits until nothing runs any more that a killed run had started: it would undo what is done next. Helper containers it
// ends, since nobody reads what they write.
func (p *program) outlast(ctx context.Context, mark string) error {
	deadline := time.Now().Add(outlastWait)
	for told := false; ; told = true {
		helpers, err := p.host.ListByLabel(ctx, dokku.HelperLabel+"="+mark)
		if err != nil {
			return err
		}
		for _, helper := range helpers {
			if err := p.host.Kill(ctx, helper.ID); err != nil {
				return err
			}
		}
		left, err := dokku.Outlived(mark)
		if err != nil || len(left) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return &backup.Problem{
				Message: "what the killed run had started is still running: " + strings.Join(left, ", "),
				Hints:   []string{"wait for it to end, or end it, and try again"}, Code: backup.ExitLocked,
			}
		}
		if !told {
			p.ui.Step("Waiting for what the killed run had started: %s", left[0])
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (p *program) resume(c *cli.Context, service string, asJSON bool) error {
	job, repo, err := p.unfinished(c, service, false)
	if err != nil {
		return err
	}
	if job.Practice {
		job.Journal.Close()
		return &backup.Problem{Message: service + " belongs to a practice run, which is not gone on with", Hints: []string{"remove it: dokku backup:practice --cleanup"}}
	}
	p.ui.Heading("Going on with the restore of %s into %s", job.Backup, service)
	return p.runRestore(c, job, repo, asJSON, restore.Resume)
}

func (p *program) abort(c *cli.Context, service string) error {
	job, _, err := p.unfinished(c, service, true)
	if err != nil {
		return err
	}
	p.ui.Step("Removing what the restore into %s made", service)
	if err := restore.Abort(c.Context, job); err != nil {
		return errors.Join(err, job.Journal.Close())
	}
	p.ui.Heading("Removed: nothing of the restore into %s is left", service)
	return nil
}

// restored prints what a restore came to.
func (p *program) restored(job *restore.Job, report *backup.Report, asJSON bool) error {
	p.ui.Heading("%s is restored as service %s%s in %s", report.Backup, report.Service, andApp(job, report), took(report.RTO))
	for _, line := range reportLines(report) {
		p.ui.Detail("%s", line)
	}
	service := job.Manifest.Services[0]
	switch {
	case job.Replace != "":
		old := service.Name
		typ := service.Type
		p.ui.Detail("%s stays as it was. Go back to it with:", old)
		p.ui.Detail("  %s", strings.Join(goBack(typ, old, report.Service, job.Replace, job.Journal.Before, report.Commit, p.host.Repository(job.Replace)), " && "))
	case job.App == "":
		p.ui.Detail("Use it: dokku %s:link %s APP", service.Type, report.Service)
	}
	if asJSON {
		return p.printJSON(report)
	}
	p.print("%s", report.Service)
	return nil
}

func andApp(job *restore.Job, report *backup.Report) string {
	switch {
	case job.Replace != "":
		return ", which " + job.Replace + " now uses,"
	case report.App != "":
		return " with app " + report.App
	}
	return ""
}

// goBack is how an app gets its old service again. The old one is linked last, so that it gets the usual variable; `promote` would
// restart the app in between, its present code on the old data.
func goBack(typ, old, now, app, before, commit, repository string) []string {
	commands := []string{
		fmt.Sprintf("dokku %s:unlink %s %s --no-restart", typ, now, app),
		fmt.Sprintf("dokku %s:link %s %s --no-restart", typ, old, app),
	}
	if before != "" && before != commit {
		commands = append(commands, fmt.Sprintf("dokku git:sync %s %s %s", app, repository, before))
	}
	return append(commands, "dokku ps:rebuild "+app)
}

func took(millis int64) string { return ui.Took(time.Duration(millis) * time.Millisecond) }

// reportLines is a report as a person reads it.
func reportLines(r *backup.Report) []string {
	var lines []string
	add := func(key, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("%-11s ", key)+fmt.Sprintf(format, args...))
	}
	if r.Failed != "" {
		add("failed", "%s", strings.ReplaceAll(r.Failed, "\n", "; "))
	}
	if r.Data != nil {
		add("data", "%s", restore.ProofWords(*r.Data))
	} else if r.Failed == "" {
		add("data", "loaded, not verified")
	}
	if r.Commit != "" && slices.ContainsFunc(r.Steps, func(t backup.Timing) bool { return t.Step == "build" }) {
		add("code", "%s built and deployed", r.Commit[:min(7, len(r.Commit))])
	}
	if r.Health != nil {
		add("app", "%s", restore.HealthWords(*r.Health))
	}
	if r.Migrated != nil {
		add("migrations", "%s", restore.MigratedWords(r.Migrated))
	}
	if passed := len(r.Checks); passed > 0 {
		for _, c := range r.Checks {
			if !c.OK {
				passed--
			}
		}
		add("your checks", "%d of %d", passed, len(r.Checks))
	}
	var steps []string
	for _, t := range r.Steps {
		if t.Step != "report" {
			steps = append(steps, fmt.Sprintf("%s %.1f", t.Step, float64(t.Took)/1000))
		}
	}
	add("RTO", "%-11s %s", took(r.RTO), strings.Join(steps, ", "))
	add("RPO", "%-11s the backup's age", ui.Age(time.Duration(r.RPO)*time.Millisecond))
	for _, w := range r.Warnings {
		add("warning", "%s", w)
	}
	return lines
}

// checks are the user's own, for a captured service; see set.
func (p *program) checks(s backup.Service) (restore.Checks, error) {
	values, err := p.settings(s.Name)
	return restore.Checks{Path: values["health-path"], SQL: splitLines(values["check-sql"]), HTTP: splitLines(values["check-http"])}, err
}
