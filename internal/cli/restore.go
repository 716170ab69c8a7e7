package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/restore"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// restoreMemory is how many bytes of heap a restore may have before the collector works harder.
const restoreMemory = 150 << 20

// restoreStall is how long a program of a restore may go without taking a byte.
const restoreStall = 5 * time.Minute

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

// hand gives the parts of a job what its journal has for them.
func (p *program) hand(job *restore.Job, repo *repository.Repository, jobs int) {
	typ := job.Manifest.Services[0].Type
	p.host = p.host.ForRun(job.Journal.Mark)
	job.Services = newServices{program: p, typ: typ, jobs: jobs, folder: job.Journal.Folder(), mark: job.Journal.Mark}
	job.Apps = newApps{program: p, typ: typ, folder: job.Journal.Folder(), repo: repo}
}
