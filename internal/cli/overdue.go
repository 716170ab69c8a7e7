package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/notify"
	"github.com/dokku-backup/dokku-backup/internal/schedule"
)

// slack is how much later than its schedule, its jitter and its timeout have it a backup may be before it counts as overdue.
const slack = 15 * time.Minute

// silence is how long cron may not have looked at schedules: it does so once an hour at least.
const silence = 2*time.Hour + slack

// judgeSchedules notes when a service's next run is, and how the last ones ended that made no backup and left no report. It returns when the
// last backup was due that should be there by now; zero for never.
func (p *program) judgeSchedules(s *serviceStatus, now time.Time) (due time.Time, err error) {
	all, err := p.schedules().Of(s.Service)
	if err != nil || len(all) == 0 {
		return time.Time{}, err
	}
	automatic, err := p.isOn(s.bare(), "automatic")
	if err != nil {
		return time.Time{}, err
	}
	if !automatic {
		s.Off = true
		return time.Time{}, nil
	}
	for _, one := range all {
		timing, err := one.Timing()
		if err != nil {
			s.add("schedule", err.Error(), fmt.Sprintf("dokku backup:unschedule %s %s", s.bare(), one.Name))
			continue
		}
		if next := timing.Next(now); s.Next.IsZero() || !next.IsZero() && next.Before(s.Next) {
			s.Next = next
		}
		if err := p.judgeLast(s, one, now); err != nil {
			return time.Time{}, err
		}
		if one.Practice {
			continue
		}
		s.watched = true
		grace, err := p.grace(one)
		if err != nil {
			return time.Time{}, err
		}
		if last := timing.Last(maxTime(one.Created, now.AddDate(0, -2, 0)), now.Add(-grace)); last.After(due) {
			due = last
		}
	}
	return due, nil
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// grace is how long after its time a scheduled backup may be complete.
func (p *program) grace(one schedule.Schedule) (time.Duration, error) {
	typ, name, _ := strings.Cut(one.Service, ":")
	timeout, err := p.minutes(dokku.Service{Type: typ, Name: name}, "timeout")
	return 2*timeout + time.Duration(one.Jitter)*time.Second + slack, err // two tries
}

// judgeLast notes how the last run of a schedule ended, where neither a failed run nor a report says so.
func (p *program) judgeLast(s *serviceStatus, one schedule.Schedule, now time.Time) error {
	state, _, err := p.schedules().State(one, now)
	if err != nil || state.Last == nil {
		return err
	}
	switch last := state.Last; {
	case last.Result == schedule.NoTarget:
		s.add("schedule", "schedule "+one.Name+": the service is gone", fmt.Sprintf("dokku backup:unschedule %s %s", s.bare(), one.Name))
	case last.Result == schedule.Failed && last.Finished.After(s.At) && !s.has(notify.Failed) && !s.has(notify.PracticeFailed):
		s.add("schedule", fmt.Sprintf("schedule %s failed: %s", one.Name, firstWords(last.Why)), fmt.Sprintf("dokku backup:schedule-run %s %s", s.bare(), one.Name))
	}
	return nil
}

func (s *serviceStatus) has(kind notify.Kind) bool {
	for _, t := range s.Problems {
		if t.Kind == kind {
			return true
		}
	}
	return false
}

// judgeAge is the dead-man's switch: it notes that the newest good backup is older than the owner wants, or, where that is not set, than the
// schedules promise: due is when the last backup should have been made.
func (p *program) judgeAge(s *serviceStatus, due, now time.Time) error {
	value, err := p.setting(s.bare(), "alert-after")
	if err != nil {
		return err
	}
	doing := "dokku backup:create " + s.bare()
	switch {
	case s.Newest == "":
		s.watched = value != "off" && (s.watched && !due.IsZero() || value != "")
		s.add(notify.NoGoodBackup, "no good backup", doing)
	case value == "off":
	case value != "":
		limit, err := parseAge(value)
		if err != nil {
			return fmt.Errorf("setting alert-after of %s: %w", s.Service, err)
		}
		if now.Sub(s.At) > limit {
			s.watched = true
			s.add(notify.NoGoodBackup, "no good backup newer than "+value, doing)
		}
	case s.At.Before(due):
		s.add(notify.NoGoodBackup, "no good backup since its schedule was last due", doing)
	}
	return nil
}

// hostTroubles are what is wrong with no service in particular.
func (p *program) hostTroubles(now time.Time) []trouble {
	troubles := []trouble{}
	if what := p.cronSilent(now); what != "" {
		troubles = append(troubles, trouble{"cron", what, "dokku backup:doctor"})
	}
	for _, name := range p.receiversFailing() {
		troubles = append(troubles, trouble{"receiver", fmt.Sprintf("receiver %s cannot be told anything", name), "dokku backup:notify-test " + name})
	}
	return troubles
}

// cronSilent says since when cron has not looked at schedules, although there are some; "" when it has.
func (p *program) cronSilent(now time.Time) string {
	all, err := p.schedules().All()
	if err != nil || len(all) == 0 {
		return ""
	}
	since := all[0].Created
	for _, one := range all {
		if one.Created.Before(since) {
			since = one.Created
		}
	}
	beat, err := p.schedules().Heartbeat()
	if err == nil {
		since = maxTime(since, beat)
	}
	if now.Sub(since) <= silence {
		return ""
	}
	if beat.IsZero() {
		return "cron has never looked at the schedules"
	}
	return "cron has not looked at the schedules since " + beat.Local().Format("2006-01-02 15:04")
}
