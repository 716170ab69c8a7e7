package health

import (
	"fmt"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/notify"
	"github.com/dokku-backup/dokku-backup/internal/schedule"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// slack is how much later than its schedule, its jitter and its timeout have it a backup may be before it counts as overdue.
const slack = 15 * time.Minute

// silence is how long cron may not have looked at schedules: it does so once an hour at least.
const silence = 2*time.Hour + slack

// judgeSchedules notes when a service's next run is, and how the last ones ended that made no backup and left no report. It returns when the
// last backup was due that should be there by now; zero for never.
func (s *Service) judgeSchedules(f Facts, now time.Time) (due time.Time) {
	s.Off = f.Off
	for _, one := range f.Schedules {
		timing, err := one.Timing()
		if err != nil {
			s.Add("schedule", err.Error(), fmt.Sprintf("dokku backup:unschedule %s %s", s.Bare(), one.Name))
			continue
		}
		if next := timing.Next(now); s.Next.IsZero() || !next.IsZero() && next.Before(s.Next) {
			s.Next = next
		}
		s.judgeLast(one)
		if one.Practice {
			continue
		}
		s.Watched = true
		grace := 2*f.Timeout + time.Duration(one.Jitter)*time.Second + slack // two tries
		if last := timing.Last(later(one.Created, now.AddDate(0, -2, 0)), now.Add(-grace)); last.After(due) {
			due = last
		}
	}
	return due
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// judgeLast notes how the last run of a schedule ended, where neither a failed run nor a report says so.
func (s *Service) judgeLast(one Scheduled) {
	switch last := one.Last; {
	case last == nil:
	case last.Result == schedule.NoTarget:
		s.Add("schedule", "schedule "+one.Name+": the service is gone", fmt.Sprintf("dokku backup:unschedule %s %s", s.Bare(), one.Name))
	case last.Result == schedule.Failed && last.Finished.After(s.At) && !s.Has(notify.Failed) && !s.Has(notify.PracticeFailed):
		s.Add("schedule", fmt.Sprintf("schedule %s failed: %s", one.Name, ui.FirstWords(last.Why)), fmt.Sprintf("dokku backup:schedule-run %s %s", s.Bare(), one.Name))
	}
}

// judgeAge is the dead-man's switch: it notes that the newest good backup is older than the owner wants, or, where that is not set, than the
// schedules promise: due is when the last backup should have been made.
func (s *Service) judgeAge(value string, due, now time.Time) error {
	doing := "dokku backup:create " + s.Bare()
	switch {
	case s.Newest == "":
		s.Watched = value != "off" && (s.Watched && !due.IsZero() || value != "")
		s.Add(notify.NoGoodBackup, "no good backup", doing)
	case value == "off":
	case value != "":
		limit, err := backup.ParseAge(value)
		if err != nil {
			return fmt.Errorf("setting alert-after of %s: %w", s.Service, err)
		}
		if now.Sub(s.At) > limit {
			s.Watched = true
			s.Add(notify.NoGoodBackup, "no good backup newer than "+value, doing)
		}
	case s.At.Before(due):
		s.Add(notify.NoGoodBackup, "no good backup since its schedule was last due", doing)
	}
	return nil
}

// OfHost are what is wrong with no service in particular: silent is what CronSilent says, failing are the receivers of notifications that could not be
// told anything the last time.
func OfHost(silent string, failing []string) []Trouble {
	troubles := []Trouble{}
	if silent != "" {
		troubles = append(troubles, Trouble{"cron", silent, "dokku backup:doctor"})
	}
	for _, name := range failing {
		troubles = append(troubles, Trouble{"receiver", fmt.Sprintf("receiver %s cannot be told anything", name), "dokku backup:notify-test " + name})
	}
	return troubles
}

// CronSilent says since when cron has not looked at schedules, although there are some; "" when it has. It looked last at beat, zero for never.
func CronSilent(all []schedule.Schedule, beat, now time.Time) string {
	if len(all) == 0 {
		return ""
	}
	since := all[0].Created
	for _, one := range all {
		if one.Created.Before(since) {
			since = one.Created
		}
	}
	since = later(since, beat)
	if now.Sub(since) <= silence {
		return ""
	}
	if beat.IsZero() {
		return "cron has never looked at the schedules"
	}
	return "cron has not looked at the schedules since " + beat.Local().Format("2006-01-02 15:04")
}
