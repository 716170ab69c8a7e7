package capture

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// runs says in a line what of an app runs, and how sure that is.
func runs(app backup.App) string {
	var line strings.Builder
	line.WriteString(app.Name + " ")
	switch {
	case app.State == "never deployed":
		return app.Name + " was never deployed"
	case app.Commit == "":
		line.WriteString("runs a commit that is not known")
	case app.State == "running" || app.State == "deploying":
		line.WriteString("runs " + short(app))
	default:
		line.WriteString("is " + app.State + ", last ran " + short(app))
	}
	if app.Subject != "" {
		fmt.Fprintf(&line, " %q", app.Subject)
	}
	var facts []string
	if app.Branch != "" {
		facts = append(facts, "branch "+app.Branch)
	}
	if !app.DeployedAt.IsZero() {
		facts = append(facts, "deployed "+app.DeployedAt.Local().Format("2006-01-02 15:04 MST")+", "+humanize.Time(app.DeployedAt))
	}
	if app.Commit != "" && app.Certainty != backup.Recorded {
		facts = append(facts, string(app.Certainty)+", not recorded")
	}
	if len(facts) > 0 {
		line.WriteString(" (" + strings.Join(facts, ", ") + ")")
	}
	return line.String()
}

// short is how a person reads an app's commit.
func short(app backup.App) string {
	switch {
	case app.Short != "":
		return app.Short
	case app.Commit != "":
		return app.Commit[:min(7, len(app.Commit))]
	}
	return "a commit that is not known"
}

func noCommit(app backup.App) string {
	if app.State == "never deployed" {
		return app.Name + " was never deployed: the backup holds no code of it"
	}
	return fmt.Sprintf("which commit %s runs is not known (%s): the backup holds no code of it",
		app.Name, strings.Join(app.Evidence, "; "))
}

// kept says what of an app's code is in the backup.
func kept(app backup.App) string {
	if app.Bundle == nil {
		return app.Name + ": no code"
	}
	ancestors := ""
	if n := app.Bundle.Commits - 1; n > 0 {
		ancestors = " and its " + plural(n, "ancestor", "ancestors")
	}
	return fmt.Sprintf("%s%s as a bundle, %s", short(app), ancestors, humanize.Bytes(uint64(app.Bundle.Bytes)))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + many
}

func (r *run) reportDatabases(s backup.Service) {
	for _, d := range s.Databases {
		var rows int64
		for _, t := range d.Tables {
			rows += t.Rows
		}
		if d.Dump.Opaque != nil {
			r.Report.Detail("%s: %s", d.Name, humanize.Bytes(uint64(d.Dump.Bytes)))
			continue
		}
		r.Report.Detail("%s: %s, %s, %s", d.Name, plural(len(d.Tables), "table", "tables"), plural(int(rows), "row", "rows"),
			humanize.Bytes(uint64(d.Dump.Bytes)))
	}
}
