package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/schedule"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) scheduleRunCommand() *cli.Command {
	return &cli.Command{
		Name: "schedule-run", ArgsUsage: "[<service> [<name>]]", Usage: "Run what is due now: cron calls it",
		Description: `Runs every schedule that is due, one after the other, backups before practice runs, and prints a line for each. With a service
its schedules are run now, or the one that is named. One that is being run already is left to that run. Ends with 3 when a run failed.`,
		UsageText: "dokku backup:schedule-run\ndokku backup:schedule-run happycows-db daily",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "log", Usage: "write to schedule.log in Dokku's folder for logs, and nothing to the streams"}},
		Action:    p.scheduleRun,
	}
}

func (p *program) scheduleRun(c *cli.Context) error {
	if c.NArg() > 2 {
		return usage(c.Command, "takes a service and the name of a schedule")
	}
	if c.Bool("log") {
		closeLog := p.toScheduleLog()
		defer closeLog()
	}
	if c.NArg() > 0 {
		return p.runNamed(c.Context, c.Args().Get(0), c.Args().Get(1))
	}
	now := time.Now()
	last, err := p.schedules().Heartbeat()
	if err = errors.Join(err, p.schedules().Beat(now)); err != nil {
		p.ui.Warn("%v", err) // no reason not to run
	}
	err = p.runDue(c.Context)
	if c.Context.Err() == nil && !last.Truncate(time.Hour).Equal(now.Truncate(time.Hour)) { // cron may call every minute
		p.hourly(c.Context)
	}
	return err
}

// runNamed runs the schedules of a service, or the one of that name, whether they are due or not.
func (p *program) runNamed(ctx context.Context, service, name string) error {
	all, err := p.schedulesOf(service)
	if err != nil {
		p.ui.Warn("%v", err) // of others, perhaps
	}
	if name != "" {
		all = slices.DeleteFunc(all, func(s schedule.Schedule) bool { return s.Name != name })
	}
	if len(all) == 0 {
		return &backup.Problem{
			Message: strings.TrimSpace(service + " has no schedule " + name), Hints: []string{"see all schedules: dokku backup:schedules"},
		}
	}
	ok := true
	for _, s := range all {
		run, err := p.schedules().TakeNow(s, time.Now().UTC())
		if err != nil {
			return err
		}
		if run == nil {
			return &backup.Problem{Message: fmt.Sprintf("schedule %s is being run", s), Hints: []string{"wait for it"}, Code: backup.ExitLocked}
		}
		ok = p.runSchedule(ctx, run, true) && ok
	}
	return ended(ctx, ok)
}

// ended is the error of runs, not all of which went well.
func ended(ctx context.Context, ok bool) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !ok:
		return warnings{}
	}
	return nil
}

// due is a schedule that is due, and when its run begins.
type due struct {
	schedule.Schedule
	begins time.Time
}

// runDue runs what is due, until nothing is. What cannot be run does not keep the rest from running.
func (p *program) runDue(ctx context.Context) error {
	for ok := true; ; {
		waiting, err := p.due(ctx, time.Now().UTC())
		if err != nil {
			p.ui.Warn("%v", err)
			ok = false
		}
		ran := 0
		for _, d := range waiting {
			if !pause(ctx, time.Until(d.begins)) {
				return context.Cause(ctx)
			}
			run, err := p.schedules().Take(d.Schedule, time.Now().UTC())
			if err != nil {
				p.ui.Warn("%v", err)
				ok = false
			}
			if run != nil {
				ran++
				ok = p.runSchedule(ctx, run, false) && ok
			}
		}
		if ran == 0 {
			return ended(ctx, ok)
		}
	}
}

// due are the schedules that are due, those that begin first before the others, and backups before practice runs. Those that can be told are
// returned together with an error.
func (p *program) due(ctx context.Context, now time.Time) ([]due, error) {
	self, err := p.stores().Host()
	failed := []error{err}
	all, err := p.schedules().All()
	failed = append(failed, err)
	var found []due
	for _, s := range all {
		died, err := p.schedules().Settle(s, now)
		failed = append(failed, err)
		if died != nil {
			failed = append(failed, p.tellDied(ctx, s, *died))
		}
		begins, err := p.schedules().Due(s, self.ID, now)
		failed = append(failed, err)
		if !begins.IsZero() {
			found = append(found, due{s, begins})
		}
	}
	slices.SortStableFunc(found, func(a, b due) int {
		switch {
		case a.Practice == b.Practice:
			return a.begins.Compare(b.begins)
		case a.Practice:
			return 1
		}
		return -1
	})
	return found, errors.Join(failed...)
}

// pause waits; it is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return ctx.Err() == nil
	}
}

// runSchedule runs a schedule, notes and prints how it ended, and gives it back. A run that is interrupted is as one that was killed: it is
// tried again, unless it was a person who stopped it.
func (p *program) runSchedule(ctx context.Context, run *schedule.Run, asked bool) (ok bool) {
	defer run.Release()
	began := time.Now()
	var o schedule.Outcome
	if run.Practice {
		o = p.scheduledPractice(ctx, run)
	} else {
		o = p.scheduledBackup(ctx, run, asked)
	}
	switch {
	case stopped(ctx):
		o = schedule.Outcome{Result: schedule.Failed, Why: "it was stopped"}
	case ctx.Err() != nil:
		return false
	}
	if err := run.End(time.Now().UTC(), o); err != nil {
		p.ui.Warn("%v", err)
	}
	if o.Result != schedule.Skipped {
		p.print("%s %s: %s, %s", began.Format(time.RFC3339), run.Schedule, outcomeWords(o), ui.Took(time.Since(began)))
	}
	return o.Result != schedule.Failed && o.Result != schedule.NoTarget
}

// stopped tells whether a person ended this process, by Ctrl-C or backup:cancel; a host that goes down sends another signal.
func stopped(ctx context.Context) bool {
	return ctx.Err() != nil && strings.HasPrefix(context.Cause(ctx).Error(), os.Interrupt.String()) // as signal.NotifyContext has it
}

// outcomeWords is how a run ended in a line of the log.
func outcomeWords(o schedule.Outcome) string {
	switch o.Result {
	case schedule.Done:
		return "done: " + o.Backup
	case schedule.Warned:
		return fmt.Sprintf("done with warnings: %s: %s", o.Backup, o.Why)
	case schedule.Failed:
		return "FAILED: " + o.Why
	}
	return o.Why
}

// scheduledBackup makes a backup.
func (p *program) scheduledBackup(ctx context.Context, run *schedule.Run, asked bool) schedule.Outcome {
	o := order{service: scheduledService(run.Schedule), note: run.Name, trigger: "schedule", tries: 2}
	if on, err := p.isOn(o.service.Name, "automatic"); err == nil && !on && !asked {
		return schedule.Outcome{Result: schedule.Skipped, Why: "skipped: automatic is off"}
	}
	_, err := p.host.Find(ctx, run.Service)
	if errors.Is(err, dokku.ErrNoService) {
		return p.scheduledGone(ctx, run, o)
	}
	if err != nil {
		p.tellFailed(ctx, o, err)
		return failed(err)
	}
	m, err := p.backUpUnlocked(ctx, o)
	switch {
	case m == nil:
		return failed(err)
	case err != nil:
		return schedule.Outcome{Result: schedule.Warned, Backup: string(m.ID), Why: repository.Told(err).Message}
	case !m.whole():
		return schedule.Outcome{Result: schedule.Warned, Backup: string(m.ID), Why: "see dokku backup:info " + string(m.ID)}
	}
	return schedule.Outcome{Result: schedule.Done, Backup: string(m.ID)}
}

// scheduledGone is the outcome where the service is no more, which is told once.
func (p *program) scheduledGone(ctx context.Context, run *schedule.Run, o order) schedule.Outcome {
	gone := schedule.Outcome{Result: schedule.NoTarget, Why: "service is gone; if it stays so: dokku backup:unschedule " + run.Service}
	if before := run.Before(); before == nil || before.Result != schedule.NoTarget {
		p.tellFailed(ctx, o, &backup.Problem{Message: fmt.Sprintf("schedule %s: %s", run.Name, gone.Why)})
	}
	return gone
}

// lockedPause is how long a scheduled run waits before it looks again whether another run of the service has ended.
const lockedPause = 10 * time.Second

// backUpUnlocked is backUp, which waits while another run of the service is under way, as long as a run may take.
func (p *program) backUpUnlocked(ctx context.Context, o order) (*made, error) {
	limit, err := p.minutes(o.service, "timeout")
	if err != nil {
		p.tellFailed(ctx, o, err)
		return nil, err
	}
	for deadline := time.Now().Add(limit); ; {
		m, err := p.backUp(ctx, o)
		if !isLocked(err) || !pause(ctx, lockedPause) {
			return m, err
		}
		if time.Now().After(deadline) {
			p.tellFailed(ctx, o, err)
			return nil, err
		}
	}
}

// scheduledPractice rehearses a restore of the newest backup, as the command practice does without a flag.
func (p *program) scheduledPractice(ctx context.Context, run *schedule.Run) schedule.Outcome {
	repo, entry, err := p.chosen(ctx, here, run.Service)
	if err == nil {
		err = repo.NeedKey()
	}
	if err != nil {
		p.tellPractised(ctx, scheduledService(run.Schedule), entry.ID, err)
		return failed(err)
	}
	own := p.command
	err = p.runCommand(ctx, p.practiceCommand(), []string{string(entry.ID)})
	p.command = own
	switch {
	case errors.Is(err, warnings{}):
		return schedule.Outcome{Result: schedule.Warned, Backup: string(entry.ID), Why: "see dokku backup:info " + string(entry.ID)}
	case err != nil:
		return failed(err)
	}
	return schedule.Outcome{Result: schedule.Done, Backup: string(entry.ID)}
}

// tellDied tells of a run that died, and is not tried again.
func (p *program) tellDied(ctx context.Context, s schedule.Schedule, died schedule.Outcome) error {
	problem := &backup.Problem{
		Message: fmt.Sprintf("schedule %s FAILED at %s: %s", s, died.Started.Local().Format("15:04"), died.Why),
		Hints:   []string{"see what else is wrong: dokku backup:status"},
	}
	if s.Practice {
		p.tellPractised(ctx, scheduledService(s), "", problem)
	} else {
		p.tellFailed(ctx, order{service: scheduledService(s), trigger: "schedule"}, problem)
	}
	return problem
}

func failed(err error) schedule.Outcome {
	return schedule.Outcome{Result: schedule.Failed, Why: repository.Told(err).Message}
}
