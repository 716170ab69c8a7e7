package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/schedule"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) doctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "Check this host and say how to mend what is wrong",
		Description: `Looks at all that backups depend on: Dokku and Docker, permissions, the services, room on the disk against growth, the clock, cron, stores,
the key, retention, practice runs and notifications. Below each thing that is wrong stands a command that mends it. It changes nothing.
Ends with 3 when anything is wrong.`,
		UsageText: "dokku backup:doctor\ndokku backup:doctor --format json",
		Flags:     []cli.Flag{formatFlag()},
		Action:    p.doctor,
	}
}

// finding is what one check found.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	What  string `json:"found"`
	Do    string `json:"do,omitempty"` // a command to paste
}

// examination is what the checks look at.
type examination struct {
	*program
	ctx      context.Context
	now      time.Time
	health   *health.Health
	findings []finding
}

func (x *examination) fine(check, format string, args ...any) {
	x.findings = append(x.findings, finding{Check: check, OK: true, What: fmt.Sprintf(format, args...)})
}

func (x *examination) wrong(check, do, format string, args ...any) {
	x.findings = append(x.findings, finding{Check: check, What: fmt.Sprintf(format, args...), Do: do})
}

func (p *program) doctor(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	if c.NArg() > 0 {
		return usage(c.Command, "takes no argument")
	}
	x := &examination{program: p, ctx: c.Context, now: time.Now()}
	x.dokku()
	x.docker()
	x.permissions()
	if x.health, err = p.assess(c.Context, ""); err != nil {
		x.wrong("backups", "", "how they stand cannot be told: %s", repository.Told(err).Message)
		x.health = &health.Health{}
	}
	for _, check := range []func(){x.services, x.disk, x.clock, x.cron, x.askStores, x.key, x.rules, x.practice, x.notifications, x.backups} {
		check()
	}
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	if asJSON {
		err = p.printJSON(x.findings)
	} else {
		p.printFindings(x.findings)
	}
	if err == nil && slices.ContainsFunc(x.findings, func(f finding) bool { return !f.OK }) {
		err = warnings{}
	}
	return err
}

func (p *program) printFindings(all []finding) {
	for _, f := range all {
		sign := " ok   "
		if !f.OK {
			sign = " !    "
		}
		p.print("%s%-14s %s", sign, f.Check, f.What)
		if f.Do != "" {
			p.print("%21s%s", "", f.Do)
		}
	}
}

// askStores asks each store what it has.
func (x *examination) askStores() {
	all, err := x.stores().All()
	if err != nil {
		x.wrong("stores", "", "%s", repository.Told(err).Message)
		return
	}
	if len(all) == 0 {
		x.wrong("stores", "dokku backup:store-add NAME URL", "none: backups are on this host alone, and go with it")
		return
	}
	for _, r := range all {
		state, err := x.storeState(x.ctx, r)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			x.fine("stores", "%s waits for the first backup", r.Name)
		case err != nil:
			x.wrong("stores", "dokku backup:store-check "+r.Name, "%s: %s", r.Name, repository.Told(err).Message)
		case state.State == "unreachable":
			x.wrong("stores", "dokku backup:store-check "+r.Name, "%s cannot be reached: %s", r.Name, state.Why)
		case state.State == "behind":
			x.wrong("stores", "dokku backup:sync "+r.Name, "%s lacks %s", r.Name, ui.Plural(state.Behind, "backup"))
		default:
			x.fine("stores", "%s holds %s, %s", r.Name, ui.Plural(state.Backups, "backup"), ui.Bytes(state.Bytes))
		}
	}
}

// key tells whether the recovery kit of the present keys was ever shown. Whether it is kept elsewhere only a person knows.
func (x *examination) key() {
	repo, err := x.openRepository(x.ctx)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		x.fine("key", "is made with the first backup")
		return
	}
	if err != nil {
		x.wrong("key", "", "%s", repository.Told(err).Message)
		return
	}
	shown, at := x.kitShown()
	switch {
	case repo.Sealed():
		x.fine("key", "is not on this host, which is sealed")
	case shown != repo.CheckWord():
		x.wrong("key", "dokku backup:key", "it is on this host alone, as far as is known: without it no copy of the backups can be read")
	default:
		x.fine("key", "the recovery kit was shown on %s; that it is kept elsewhere only you can know", at.Local().Format("2006-01-02"))
	}
}

// practiceEvery is how old the last practice run should be at most.
const practiceEvery = 92 * 24 * time.Hour

// practice sees that restores were tried.
func (x *examination) practice() {
	practised := 0
	for _, s := range x.health.Services {
		if s.Newest == "" {
			continue
		}
		i := slices.IndexFunc(s.Lines, func(l health.Line) bool { return l.Practised != nil })
		switch {
		case i < 0:
			x.wrong("practice", "dokku backup:practice "+s.Bare(), "a restore of %s was never tried", s.Bare())
		case !s.Lines[i].Practised.Passed:
			x.wrong("practice", "dokku backup:practice "+s.Bare(), "the last one of %s failed: %s", s.Bare(), ui.FirstWords(s.Lines[i].Practised.Failed))
		case x.now.Sub(s.Lines[i].Practised.Started) > practiceEvery:
			x.wrong("practice", "dokku backup:schedule "+s.Bare()+" monthly --practice", "the last one of %s is %s old", s.Bare(), ui.Age(x.now.Sub(s.Lines[i].Practised.Started)))
		default:
			practised++
		}
	}
	if practised > 0 {
		x.fine("practice", "of %s in the last three months", ui.Plural(practised, "service"))
	}
}

// backups says how many problems status has.
func (x *examination) backups() {
	problems := 0
	for _, s := range x.health.Services {
		problems += len(s.Problems)
	}
	if problems > 0 {
		x.wrong("backups", "dokku backup:status", "%s", ui.Plural(problems, "problem"))
	} else {
		x.fine("backups", "%s as they should be", ui.Plural(len(x.health.Services), "service"))
	}
}

// cron sees that every service has a schedule, and that cron calls them.
func (x *examination) cron() {
	all, err := x.schedules().All()
	if err != nil {
		x.wrong("schedules", "", "%s", repository.Told(err).Message)
		return
	}
	backups := 0
	for _, s := range x.health.Services {
		regular := slices.ContainsFunc(all, func(one schedule.Schedule) bool { return one.Service == s.Service && !one.Practice })
		switch {
		case !regular:
			x.wrong("schedules", "dokku backup:schedule "+s.Bare()+" daily", "nothing backs up %s by itself", s.Bare())
		case s.Off:
			x.wrong("schedules", "dokku backup:set "+s.Bare()+" automatic on", "those of %s are switched off", s.Bare())
		default:
			backups++
		}
	}
	if minutes, err := x.crontabMinutes(x.now); err != nil || minutes == "" {
		return
	}
	beat, err := x.schedules().Heartbeat()
	switch {
	case !x.called(x.ctx):
		x.wrong("cron", "dokku plugin:trigger scheduler-cron-write # as root", "nothing happens by itself: this user's crontab has no line for this plugin")
	case x.cronSilent(x.now) != "":
		x.wrong("cron", "systemctl status cron", "%s", x.cronSilent(x.now))
	case err != nil || beat.IsZero():
		x.fine("cron", "is told to look at the schedules of %s", ui.Plural(backups, "service"))
	default:
		x.fine("cron", "looked at the schedules of %s %s ago", ui.Plural(backups, "service"), ui.Age(x.now.Sub(beat)))
	}
}

// notifications sees that somebody is told when backups fail.
func (x *examination) notifications() {
	receivers, err := x.receivers()
	if err != nil {
		x.wrong("notifications", "", "%s", repository.Told(err).Message)
		return
	}
	failing := x.receiversFailing()
	for _, name := range failing {
		x.wrong("notifications", "dokku backup:notify-test "+name, "%s could not be told the last time", name)
	}
	switch {
	case len(receivers) == 0:
		x.wrong("notifications", "dokku backup:notify-add NAME URL", "nobody is told when a backup fails")
	case len(failing) == 0:
		x.fine("notifications", "%s", ui.Plural(len(receivers), "receiver"))
	}
}

// rules sees that backups do not pile up.
func (x *examination) rules() {
	with, without := 0, []string{}
	for _, s := range x.health.Services {
		r, err := x.program.rules().Of(s.Bare(), here)
		switch {
		case err != nil:
			x.wrong("retention", "dokku backup:retention "+s.Bare(), "%s: %s", s.Bare(), repository.Told(err).Message)
		case r.None() && r.Owner == "" && s.Backups > 0:
			without = append(without, s.Bare())
		default:
			with++
		}
	}
	if len(without) > 0 {
		x.wrong("retention", "dokku backup:retention --global --keep-last 7 --keep-daily 14 --keep-weekly 8 --keep-monthly 12",
			"every backup of %s is kept for ever", strings.Join(without, ", "))
	} else if with > 0 {
		x.fine("retention", "is set")
	}
}
