package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/notify"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/restore"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) practiceCommand() *cli.Command {
	return &cli.Command{
		Name: "practice", ArgsUsage: "<id or service>", Usage: "Rehearse a restore on throw-away names and measure it",
		Description: `Restores a backup into a service and an app with throw-away names: data is compared row by row, the app is built at the commit
that belongs to the data, started and asked. Its network lets nothing out, so that production's config cannot mail, charge or
call anyone. All of it is removed again, whatever comes of it. The report is kept with the backup, and list, info and status
show it, unless --commit or --image-version made it a rehearsal of something else.`,
		UsageText: `dokku backup:practice happycows-db
dokku backup:practice happycows-db --image-version 17`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "cleanup", Usage: "remove what practice runs that were killed left, and do nothing else"},
			&cli.BoolFlag{Name: "keep", Usage: "leave service and app for you to look at; --cleanup removes them later"},
			&cli.BoolFlag{Name: "open-network", Usage: "let the app out to the internet"},
			&cli.BoolFlag{Name: "data-only", Usage: "practise the data alone, without the app"},
			&cli.StringFlag{Name: "verify", Value: "exact", Usage: "`HOW`: exact (the digest of every table) or rows"},
			&cli.StringFlag{Name: "sql", Usage: "`FILE` with SQL to run when the data is proven, before the app starts, such as to mask data"},
			&cli.StringFlag{Name: "report", Usage: "write the report to `FILE` as well"},
		}, commonRestoreFlags()...),
		Action: p.practice,
	}
}

func (p *program) practice(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	name, err := argument(c)
	if err != nil {
		return err
	}
	if c.Bool("cleanup") {
		if name != "" {
			return usage(c.Command, "--cleanup takes no backup: it removes what all practice runs left")
		}
		return p.sweep(c, true)
	}
	if err := p.sweep(c, false); err != nil {
		p.ui.Warn("%v", err) // no reason not to practise
	}
	request, err := p.practiceRequest(c)
	if err != nil {
		return err
	}
	job, repo, err := p.practiceJob(c, name, request)
	if err != nil {
		return err
	}
	if _, err = restore.NewPlan(c.Context, job); err == nil {
		p.beginLog(string(job.Backup)+practiceSuffix, "practising with "+string(job.Backup))
		defer p.endLog()
		p.ui.Heading("Practising with %s: service %s%s", job.Backup, job.Request.Service, withApp(job))
		err = p.runPractice(c, job, repo, asJSON)
	}
	if c.Context.Err() == nil && ofBackup(job) {
		service := job.Manifest.Services[0]
		p.tellPractised(c.Context, dokku.Service{Type: service.Type, Name: service.Name}, job.Backup, err)
	}
	return err
}

// ofBackup tells whether a practice run is one of the backup itself: another commit or version says nothing of it.
func ofBackup(job *restore.Job) bool { return job.Commit == "" && job.Image == "" }

// tellPractised tells how a practice run ended. id is that of the backup, empty when there was none to practise with.
func (p *program) tellPractised(ctx context.Context, service dokku.Service, id backup.ID, failure error) {
	e := p.event(notify.PracticePassed, service.String())
	e.Backup, e.What = id, "the backup was restored in a rehearsal"
	if failure != nil && !errors.Is(failure, warnings{}) {
		problem := repository.Told(failure)
		e.Kind, e.What, e.Why, e.Todo = notify.PracticeFailed, "the backup could not be restored in a rehearsal", problem.Message, problem.Hints
	}
	p.tell(e)
	p.afterRun(ctx, service)
}

func withApp(job *restore.Job) string {
	if job.App == "" {
		return ""
	}
	return ", app " + job.App
}

func (p *program) practiceRequest(c *cli.Context) (restore.Request, error) {
	r := restore.Request{Verify: restore.Verification(c.String("verify")), Config: "all", Practice: true}
	if r.Verify == restore.None {
		return r, usage(c.Command, "a practice run that compares nothing proves nothing: --verify is exact or rows")
	}
	if file := c.String("sql"); file != "" {
		path, err := filepath.Abs(file)
		if err != nil {
			return r, err
		}
		if _, err := os.Stat(path); err != nil {
			return r, usage(c.Command, "--sql: %v", err)
		}
		r.Script = path
	}
	err := p.commonRequest(c, &r) // a statement of its own: it changes r
	return r, err
}

// practiceJob practises with an app too, the first of the backup unless --from-app names one, but not with --data-only.
func (p *program) practiceJob(c *cli.Context, name string, r restore.Request) (*restore.Job, *repository.Repository, error) {
	if name == "" {
		var err error
		if name, err = p.fillIn(c.Context, name, &r); err != nil {
			return nil, nil, err
		}
	}
	if name == "" {
		return nil, nil, usage(c.Command, "which backup? give an id or a service")
	}
	repo, entry, err := p.chosen(c.Context, r.Store, name)
	if err == nil {
		err = repo.NeedKey()
	}
	if err != nil {
		return nil, nil, err
	}
	m := entry.Manifest
	if c.Bool("data-only") {
		r.From = ""
	} else if r.From == "" && len(m.Apps) > 0 {
		r.From = m.Apps[0].Name
		if len(m.Apps) > 1 {
			p.ui.Detail("the backup holds %d apps; practising with %s, choose another with --from-app", len(m.Apps), r.From)
		}
	}
	r = r.ThrowAway(m.Services[0].Name, r.From, c.Bool("open-network"))
	if err := p.complete(c, repo, m, &r); err != nil {
		return nil, nil, err
	}
	job, err := p.newJob(repo, entry, r)
	return job, repo, err
}

func (p *program) runPractice(c *cli.Context, job *restore.Job, repo *repository.Repository, asJSON bool) error {
	release, err := p.runs().Share() // so that no clean-up takes segments away
	if err != nil {
		return err
	}
	defer release()
	if job.Journal, err = p.journals().Begin(job.Request); err != nil {
		return err
	}
	p.hand(job, repo, c.Int("jobs"))
	limitMemory(restoreMemory)
	report, failure := restore.Practise(c.Context, job, c.Bool("keep"))
	if c.Context.Err() != nil { // what was interrupted proves nothing, either way
		for _, left := range report.Left {
			p.ui.Warn("%s; remove it: dokku backup:practice --cleanup", left)
		}
		return failure
	}
	if ofBackup(job) {
		failure = errors.Join(failure, p.keepReport(c.Context, job, repo, report))
	}
	if err := p.showPractice(c, job, report, asJSON); err != nil {
		return errors.Join(failure, err)
	}
	if failure == nil && len(report.Warnings) > 0 {
		return warnings{}
	}
	return failure
}

// keepReport keeps the report with the backup: here, or in the store that it was read from, where this host writes.
func (p *program) keepReport(ctx context.Context, job *restore.Job, repo *repository.Repository, report *backup.Report) error {
	if job.Store == "" {
		return repo.SetPractised(ctx, job.Backup, report)
	}
	own, err := p.openRepository(ctx)
	if err != nil {
		return err
	}
	if _, err := own.Manifest(ctx, job.Backup); err == nil {
		return own.SetPractised(ctx, job.Backup, report) // which the next backup sends
	}
	if err := p.stores().MayWrite(ctx, repo, job.Store); err != nil {
		p.ui.Detail("the report is not kept with the backup: store %s is only read here", job.Store)
		return nil
	}
	return repo.SetPractised(ctx, job.Backup, report)
}

// showPractice prints the report, and writes it to --report.
func (p *program) showPractice(c *cli.Context, job *restore.Job, report *backup.Report, asJSON bool) error {
	page := practicePage(job, report, c.Bool("keep"))
	if asJSON {
		if err := p.printJSON(report); err != nil {
			return err
		}
	} else {
		for _, line := range page {
			p.print("%s", line)
		}
	}
	if file := c.String("report"); file != "" {
		return os.WriteFile(file, []byte(ui.Printable(strings.Join(page, "\n"))+"\n"), 0o600)
	}
	return nil
}

// practicePage is the report of a practice run on one page.
func practicePage(job *restore.Job, r *backup.Report, kept bool) []string {
	verdict := "FAILED"
	if r.Passed {
		verdict = "PASSED"
	}
	page := []string{fmt.Sprintf("=====> Practice of %s: %s in %s", r.Backup, verdict, took(r.RTO))}
	for _, line := range reportLines(r) {
		page = append(page, "       "+line)
	}
	left := "nothing"
	switch {
	case len(r.Left) > 0:
		left = strings.Join(r.Left, "; ")
	case kept:
		left = "service " + r.Service + withApp(job) + ", as asked: remove it with dokku backup:practice --cleanup"
	}
	if r.Sealed {
		left += "; no way out to the internet while it ran"
	}
	return append(page, fmt.Sprintf("       %-11s %s", "left behind", left))
}

// sweep removes what practice runs that were killed, or kept, left: all that journals without an owner stand for.
func (p *program) sweep(c *cli.Context, kept bool) error {
	records, underWay, err := p.journals().Unfinished()
	if err != nil {
		return err
	}
	swept := 0
	for i, record := range records {
		if !record.Request.Practice || underWay[i] || record.Kept && !kept {
			continue
		}
		job, _, err := p.unfinished(c, record.Request.Service, true)
		if err != nil {
			return err
		}
		p.ui.Step("Removing what the practice run of %s left: %s", record.Started.Local().Format("2006-01-02 15:04"), record.Request.Service)
		if err := restore.Abort(c.Context, job); err != nil {
			return errors.Join(err, job.Journal.Close())
		}
		swept++
	}
	if kept {
		p.ui.Heading("%s removed", ui.Plural(swept, "practice run"))
	}
	return nil
}
