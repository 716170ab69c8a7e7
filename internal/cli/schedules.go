package cli

import (
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/schedule"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) schedulesCommand() *cli.Command {
	return &cli.Command{
		Name: "schedules", ArgsUsage: "[<service>]", Usage: "List schedules with their next runs",
		Description: "Lists all schedules, or those of a service: when they run, when next (in the host's zone), and how the last run ended.",
		UsageText:   "dokku backup:schedules\ndokku backup:schedules happycows-db --format json",
		Flags: []cli.Flag{
			formatFlag(),
			&cli.BoolFlag{Name: "crontab", Usage: "print the line that Dokku's crontab has for all of them"},
		},
		Action: p.listSchedules,
	}
}

// scheduleLine is a schedule as it is listed.
type scheduleLine struct {
	schedule.Schedule
	Next    time.Time         `json:"next,omitzero"`
	Running time.Time         `json:"running_since,omitzero"`
	Last    *schedule.Outcome `json:"last,omitempty"`
	Gone    bool              `json:"service_gone,omitempty"`
	Trouble string            `json:"trouble,omitempty"` // why it cannot run
}

func (p *program) listSchedules(c *cli.Context) error {
	if c.Bool("crontab") {
		return p.printCrontabLine()
	}
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	name, err := argument(c)
	if err != nil {
		return err
	}
	all, damaged := p.schedulesOf(name)
	if damaged != nil {
		p.ui.Warn("%v", damaged)
	}
	services, unknown := p.host.Services(c.Context)
	if unknown != nil {
		p.ui.Warn("whether services still exist is not known: %v", unknown)
	}
	lines := []scheduleLine{}
	for _, s := range all {
		line := p.scheduleLine(s, time.Now())
		line.Gone = unknown == nil && !slices.Contains(services, scheduledService(s))
		lines = append(lines, line)
	}
	if err := p.printSchedules(lines, name, asJSON); err != nil || damaged == nil {
		return err
	}
	return warnings{}
}

func (p *program) printSchedules(lines []scheduleLine, name string, asJSON bool) error {
	if asJSON {
		return p.printJSON(lines)
	}
	if len(lines) == 0 && name == "" {
		p.print("No schedules. Make one: dokku backup:schedule SERVICE daily")
		return nil
	}
	if len(lines) == 0 {
		p.print("No schedules of %[1]s. Make one: dokku backup:schedule %[1]s daily", name)
		return nil
	}
	rows := [][]string{{"SERVICE", "NAME", "WHEN", "NEXT RUN", "LAST RUN"}}
	for _, l := range lines {
		rows = append(rows, []string{l.Service, l.Name, l.Schedule.Words(), l.nextWords(), l.lastWords()})
	}
	return ui.Table(p.stdout, rows)
}

// scheduleLine looks up how a schedule's runs went, and when the next one is.
func (p *program) scheduleLine(s schedule.Schedule, now time.Time) scheduleLine {
	line := scheduleLine{Schedule: s}
	timing, err := s.Timing()
	if err == nil {
		line.Next = timing.Next(now).UTC()
		var state schedule.State
		var running bool
		if state, running, err = p.schedules().State(s, now); running {
			line.Running = state.Running
		}
		line.Last = state.Last
	}
	if err != nil {
		line.Trouble = err.Error()
	}
	return line
}

func (l scheduleLine) nextWords() string {
	switch {
	case l.Trouble != "":
		return "never: " + l.Trouble
	case l.Gone && !l.Practice:
		return "service is gone"
	}
	return ui.Soon(l.Next, time.Now())
}

func (l scheduleLine) lastWords() string {
	switch {
	case !l.Running.IsZero():
		return "running since " + l.Running.Local().Format("15:04")
	case l.Last == nil:
		return "-"
	}
	words := ui.Age(time.Since(l.Last.Finished)) + " ago, "
	switch l.Last.Result {
	case schedule.Done:
		return words + "done"
	case schedule.Warned:
		return words + "done with warnings: " + l.Last.Why
	case schedule.Failed:
		return words + "FAILED: " + l.Last.Why
	}
	return words + l.Last.Why
}

// schedulesOf are the schedules of a service by a name that a person gave ("" for all), whether it still exists or not. Those that can be
// read are returned together with the error of those that cannot.
func (p *program) schedulesOf(name string) ([]schedule.Schedule, error) {
	all, err := p.schedules().All()
	return slices.DeleteFunc(all, func(s schedule.Schedule) bool {
		return name != "" && s.Service != name && scheduledService(s).Name != name
	}), err
}
