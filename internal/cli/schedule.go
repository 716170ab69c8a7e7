package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/schedule"
)

func (p *program) scheduleCommand() *cli.Command {
	return &cli.Command{
		Name: "schedule", ArgsUsage: "<service> <when>", Usage: "Back up a service regularly",
		Description: `When is one of
  hourly             at each full hour
  daily              at 00:00
  weekly             on Sundays at 00:00
  monthly            on the first at 00:00
  "at 03:30"         daily at that time; "at 03:30 on mon,thu" or "at 03:30 on mon-fri" on these days
  "30 3 * * 1-5"     a cron line: minute, hour, day of the month, month, day of the week
in UTC unless --tz names a zone. Where the clock is set forward over a time it runs right after; where an hour comes twice it runs once, but
a line for every hour runs every hour. A run that was missed, because the host was down, is caught up once.
A service can have several schedules, each with a name. The same name again replaces a schedule.`,
		UsageText: `dokku backup:schedule happycows-db daily
dokku backup:schedule happycows-db "at 03:30 on mon,thu" --tz Europe/Berlin
dokku backup:schedule happycows-db weekly --practice`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "tz", Usage: "time `ZONE` of the times, such as Europe/Berlin", Value: "UTC"},
			&cli.StringFlag{Name: "name", Usage: "what to call it (default: what it is, such as daily)"},
			&cli.DurationFlag{Name: "jitter", Usage: "begin up to so much later, such as 10m, so that not all begin at once"},
			&cli.BoolFlag{Name: "practice", Usage: "rehearse a restore of the newest backup, and make none"},
		},
		Action: p.schedule,
	}
}

func (p *program) schedules() schedule.Store {
	return schedule.Store{Dir: filepath.Join(p.host.DataDir(), "schedules")}
}

func (p *program) schedule(c *cli.Context) error {
	if c.NArg() != 2 {
		return usage(c.Command, "takes a service and when; put what has blanks into quotes: \"at 03:30 on mon,thu\"")
	}
	if c.String("tz") == "" {
		return usage(c.Command, "--tz is a zone such as Europe/Berlin")
	}
	now := time.Now()
	one := schedule.Schedule{
		Name: c.String("name"), When: strings.Join(strings.Fields(c.Args().Get(1)), " "), Zone: c.String("tz"),
		Jitter: int(c.Duration("jitter").Seconds()), Practice: c.Bool("practice"), Created: now.UTC().Truncate(time.Second),
	}
	timing, err := schedule.Parse(c.Args().Get(1), one.Zone)
	if err != nil {
		return usage(c.Command, "%v", err)
	}
	if one.Name == "" {
		one.Name = scheduleName(one)
	}
	if !schedule.ValidName(one.Name) {
		return usage(c.Command, "%q cannot be the name of a schedule: up to 40 letters, digits, - and _ can", one.Name)
	}
	if err := checkJitter(c.Duration("jitter"), timing, now); err != nil {
		return usage(c.Command, "%v", err)
	}
	service, err := p.service(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	one.Service = service.String()
	if one.Practice {
		if err := p.canPractise(c); err != nil {
			return err
		}
	}
	return p.keepSchedule(c, one, timing)
}

func (p *program) keepSchedule(c *cli.Context, one schedule.Schedule, timing schedule.Timing) error {
	there, err := p.schedules().Of(one.Service)
	if err != nil {
		p.ui.Warn("%v", err) // it may be the one that is replaced
	}
	did := "Scheduling"
	if i := slices.IndexFunc(there, func(s schedule.Schedule) bool { return s.Name == one.Name }); i >= 0 {
		did = fmt.Sprintf("Replacing schedule %s (%s) of", there[i].Name, there[i].Words())
	}
	if err := p.schedules().Put(one); err != nil {
		return err
	}
	p.ui.Heading("%s %s: %s, called %s", did, one.Service, one.Words(), one.Name)
	at := time.Now()
	for range 3 {
		if at = timing.Next(at); at.IsZero() {
			break
		}
		p.ui.Detail("%s", twoClocks(at))
	}
	if value, err := p.setting(scheduledService(one).Name, "automatic"); err == nil && value == "off" && !one.Practice {
		p.ui.Warn("nothing happens by itself: automatic is off for %s; switch it on: dokku backup:set %[1]s automatic on", scheduledService(one).Name)
	}
	if log, err := openScheduleLog(p.scheduleLogPath()); err != nil {
		p.ui.Warn("it runs without a log: %v", err)
	} else if err := log.Close(); err != nil {
		return err
	}
	return p.refreshCrontab(c.Context)
}

// scheduleName is the name of a schedule that was given none: a preset's word, at-0330, or cron.
func scheduleName(s schedule.Schedule) string {
	words := strings.Fields(strings.ToLower(s.When))
	name := "cron"
	switch {
	case len(words) == 1:
		name = words[0]
	case words[0] == "at":
		name = "at-" + strings.ReplaceAll(words[1], ":", "")
	}
	if s.Practice {
		return "practice-" + name
	}
	return name
}

func checkJitter(jitter time.Duration, t schedule.Timing, now time.Time) error {
	interval := t.Interval(now)
	switch {
	case jitter < 0:
		return fmt.Errorf("--jitter is a time such as 10m, not %s", jitter)
	case jitter%time.Second != 0:
		return fmt.Errorf("--jitter is in whole seconds, not %s", jitter)
	case interval > 0 && jitter > interval/2:
		return fmt.Errorf("--jitter %s is too long: runs can be %s apart, and half of it is the most", jitter, interval)
	}
	return nil
}

// canPractise refuses practice runs that would need somebody to give the key.
func (p *program) canPractise(c *cli.Context) error {
	repo, err := p.openRepository(c.Context)
	if err != nil {
		return nil // there is none yet, or what is wrong with it is told when it is used
	}
	return repo.NeedKey()
}

// scheduledService is the service of a schedule.
func scheduledService(s schedule.Schedule) dokku.Service {
	typ, name, _ := strings.Cut(s.Service, ":")
	return dokku.Service{Type: typ, Name: name}
}

// twoClocks is a time to come in its zone and in UTC.
func twoClocks(t time.Time) string {
	const layout = "Mon 2006-01-02 15:04"
	words := t.Format(layout + " MST")
	if _, offset := t.Zone(); offset != 0 {
		words += t.UTC().Format("   " + layout + " UTC")
	}
	return words
}
