// Package health is how backups stand: what is wrong with those of a service or with the host, and what to do about it. Start at Service.Judge. It asks
// nobody: what it judges by are plain values, so that the same ones give the same problems. A service without a good backup that is young enough is
// always one (the dead-man's switch, overdue.go).
package health

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/notify"
	"github.com/dokku-backup/dokku-backup/internal/schedule"
	"github.com/dokku-backup/dokku-backup/internal/stores"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// Health is how backups stand, as status shows it, hooks and schedules tell it, and metrics count it.
type Health struct {
	Host     []Trouble `json:"host"` // that is of no service
	Services []Service `json:"services"`
}

// Trouble is something that is wrong, and what to do about it.
type Trouble struct {
	Kind notify.Kind `json:"kind"` // of the event by which it is told, see doc/notifications.md; else unfinished, schedule, cron, receiver or unknown
	What string      `json:"problem"`
	Do   string      `json:"do,omitempty"` // a command to paste
}

// Service is how the backups of one service stand.
type Service struct {
	Service   string    `json:"service"`
	Newest    backup.ID `json:"newest_good,omitempty"`
	At        time.Time `json:"newest_good_at,omitzero"`
	Backups   int       `json:"backups"`
	Next      time.Time `json:"next_run,omitzero"`
	Off       bool      `json:"automatic_off,omitempty"`   // it has schedules that do not run
	Running   *int      `json:"running_percent,omitempty"` // of a run that is under way
	Verified  string    `json:"verified"`
	Practised string    `json:"practised"`
	Stores    []string  `json:"stores"` // that have the newest good backup
	Problems  []Trouble `json:"problems"`
	Lines     []Line    `json:"-"` // newest first
	Watched   bool      `json:"-"` // its owner expects backups of it to be made
}

// Add notes a problem.
func (s *Service) Add(kind notify.Kind, what, do string) {
	s.Problems = append(s.Problems, Trouble{Kind: kind, What: what, Do: do})
}

// AddHost notes a problem of the host.
func (h *Health) AddHost(kind notify.Kind, what, do string) {
	h.Host = append(h.Host, Trouble{Kind: kind, What: what, Do: do})
}

// Bare is the service's name without its type.
func (s *Service) Bare() string { return s.Service[strings.IndexByte(s.Service, ':')+1:] }

// OK tells whether nothing is wrong.
func (h *Health) OK() bool {
	return len(h.Host) == 0 && !slices.ContainsFunc(h.Services, func(s Service) bool { return len(s.Problems) > 0 })
}

// Facts are what a service is judged by, beside its lines.
type Facts struct {
	Upload          bool   // its backups are sent to stores
	Running         *int   // percent of a run that is under way; nil for none
	RetentionFailed string // why retention failed the last time, "" when it did not
	Off             bool   // it has schedules that do not run; they are left out
	Schedules       []Scheduled
	Timeout         time.Duration // of one try of a scheduled backup
	AlertAfter      string        // how old the newest good backup may be, as backup.ParseAge reads it, or off; "" where it is not set
}

// Scheduled is a schedule with how its last run ended; nil where none has.
type Scheduled struct {
	schedule.Schedule
	Last *schedule.Outcome
}

// Judge notes what the lines and the facts say. An error is of AlertAfter.
func (s *Service) Judge(f Facts, now time.Time) error {
	s.summarize(f.Upload, now)
	s.Running = f.Running
	if f.RetentionFailed != "" {
		s.Add(notify.RetentionFailed, "retention failed: "+ui.FirstWords(f.RetentionFailed), "dokku backup:prune "+s.Bare())
	}
	due := s.judgeSchedules(f, now)
	return s.judgeAge(f.AlertAfter, due, now)
}

// ahead is by how much a backup may be from the future: a clock is corrected by minutes now and then.
const ahead = 10 * time.Minute

// summarize looks at the lines.
func (s *Service) summarize(upload bool, now time.Time) {
	failed, why, future := 0, "", []backup.ID(nil)
	for i := range s.Lines {
		l := &s.Lines[i]
		switch {
		case l.Failed != "":
			if s.Newest == "" {
				if failed++; failed == 1 {
					why = l.Failed
				}
			}
			continue
		case l.CreatedAt.Sub(now) > ahead: // it would hide for long that none are made
			s.Backups++
			future = append(future, l.ID)
			continue
		case l.Verified != nil && !l.Verified.OK():
			s.Backups++
			s.Add(notify.Warning, fmt.Sprintf("%s is damaged", l.ID), fmt.Sprintf("dokku backup:verify %s --repair STORE, or make a new one: dokku backup:create %s", l.ID, s.Bare()))
			continue
		}
		s.Backups++
		if s.Newest == "" {
			s.newest(l, upload)
		}
		s.proven(l, now)
	}
	if len(future) > 0 {
		s.Add(notify.Warning, fmt.Sprintf("%s is from the future by this host's clock, and does not count", future[0]), "timedatectl")
	}
	if failed > 0 {
		s.Add(notify.Failed, fmt.Sprintf("%s failed since: %s", ui.Plural(failed, "run"), ui.FirstWords(why)), "dokku backup:logs "+s.Bare())
	}
}

// newest notes the newest good backup.
func (s *Service) newest(l *Line, upload bool) {
	s.Newest, s.At, s.Stores = l.ID, l.CreatedAt, append(s.Stores, stores.Here)
	for _, w := range l.Warnings {
		s.Add(notify.Warning, w, "dokku backup:info "+string(l.ID))
	}
	for _, state := range l.Stores {
		switch {
		case !state.Confirmed.IsZero():
			s.Stores = append(s.Stores, state.Store)
		case upload:
			s.Add(notify.StoreBehind, "not at "+state.Store, "dokku backup:sync "+state.Store)
		}
	}
}

// proven notes when a backup was last verified and practised.
func (s *Service) proven(l *Line, now time.Time) {
	if l.Verified != nil && s.Verified == "never" {
		s.Verified = ui.Age(now.Sub(l.Verified.At)) + " ago"
	}
	if l.Practised == nil || s.Practised != "never" {
		return
	}
	if !l.Practised.Passed {
		s.Practised = "FAILED"
		s.Add(notify.PracticeFailed, fmt.Sprintf("practice of %s failed: %s", l.ID, ui.FirstWords(l.Practised.Failed)), fmt.Sprintf("dokku backup:logs %s, then: dokku backup:practice %s", l.ID, s.Bare()))
		return
	}
	s.Practised = ui.Age(now.Sub(l.Practised.Started)) + " ago, " + ui.Took(time.Duration(l.Practised.RTO)*time.Millisecond)
}

// Lasting are those of a service's problems that last, and are not told when they happen. Without a schedule or an age that the owner set, nobody
// expects a backup.
func (s *Service) Lasting() []Trouble {
	var lasting []Trouble
	for _, t := range s.Problems {
		switch t.Kind {
		case notify.NoGoodBackup:
			if !s.Watched {
				continue
			}
		case notify.Warning, notify.RetentionFailed, notify.StoreBehind:
		default:
			continue
		}
		lasting = append(lasting, t)
	}
	return lasting
}

// Has tells whether there is a problem of a kind.
func (s *Service) Has(kind notify.Kind) bool {
	for _, t := range s.Problems {
		if t.Kind == kind {
			return true
		}
	}
	return false
}
