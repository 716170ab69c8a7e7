package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/restore"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

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
