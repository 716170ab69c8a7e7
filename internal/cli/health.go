package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/notify"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// health is how backups stand, as status shows it, hooks and schedules tell it, and metrics count it.
type health struct {
	Host     []trouble       `json:"host"` // that is of no service
	Services []serviceStatus `json:"services"`
}

// trouble is something that is wrong, and what to do about it.
type trouble struct {
	Kind notify.Kind `json:"kind"` // of the event by which it is told, see doc/notifications.md; else unfinished, schedule, cron or receiver
	What string      `json:"problem"`
	Do   string      `json:"do,omitempty"` // a command to paste
}

// serviceStatus is how the backups of one service stand.
type serviceStatus struct {
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
	Problems  []trouble `json:"problems"`
	lines     []line    // newest first
	watched   bool      // its owner expects backups of it to be made
}

func (s *serviceStatus) add(kind notify.Kind, what, do string) {
	s.Problems = append(s.Problems, trouble{Kind: kind, What: what, Do: do})
}

// bare is the service's name without its type.
func (s *serviceStatus) bare() string { return s.Service[strings.IndexByte(s.Service, ':')+1:] }

// ok tells whether nothing is wrong.
func (h *health) ok() bool {
	return len(h.Host) == 0 && !slices.ContainsFunc(h.Services, func(s serviceStatus) bool { return len(s.Problems) > 0 })
}

// assess looks at the backups of all services, or of one ("postgres:happycows-db"); services that have none are problems too.
func (p *program) assess(ctx context.Context, only string) (*health, error) {
	now := time.Now()
	byService, err := p.linesByService(ctx, only)
	if err != nil {
		return nil, err
	}
	practices, unfinished, err := p.openRestores()
	if err != nil {
		return nil, err
	}
	h := &health{Host: p.hostTroubles(now), Services: []serviceStatus{}}
	names := make([]string, 0, len(byService))
	for name := range byService {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s := serviceStatus{Service: name, Verified: "never", Practised: "never", Stores: []string{}, Problems: []trouble{}, lines: byService[name]}
		switch {
		case practices[s.bare()]:
			continue
		case unfinished[s.bare()]:
			s.add("unfinished", "not proven: a restore into it has not finished", fmt.Sprintf("dokku backup:restore --resume %[1]s, or --abort %[1]s", s.bare()))
		default:
			if err := p.judge(&s, now); err != nil {
				return nil, err
			}
		}
		h.Services = append(h.Services, s)
	}
	slices.SortStableFunc(h.Services, func(a, b serviceStatus) int { return min(len(b.Problems), 1) - min(len(a.Problems), 1) })
	return h, nil
}

// linesByService are the backups and failed runs of each service that exists or has some.
func (p *program) linesByService(ctx context.Context, only string) (map[string][]line, error) {
	byService := map[string][]line{}
	if only != "" {
		byService[only] = nil
	} else {
		services, err := p.host.Services(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range services {
			if s.Type == "postgres" {
				byService[s.String()] = nil
			}
		}
		scheduled, err := p.schedules().All()
		if err != nil {
			return nil, err
		}
		for _, s := range scheduled {
			byService[s.Service] = nil
		}
	}
	lines, err := p.lines(ctx, here, only)
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		byService[l.Service] = append(byService[l.Service], l)
	}
	return byService, nil
}

// openRestores are the services that restores which have not finished made: those of practice runs, and others.
func (p *program) openRestores() (practices, others map[string]bool, err error) {
	records, _, err := p.journals().Unfinished()
	practices, others = map[string]bool{}, map[string]bool{}
	for _, r := range records {
		if r.Request.Practice {
			practices[r.Request.Service] = true
		} else {
			others[r.Request.Service] = true
		}
	}
	return practices, others, err
}

// judge fills in what a service's lines and schedules say.
func (p *program) judge(s *serviceStatus, now time.Time) error {
	upload, err := p.isOn(s.bare(), "upload")
	if err != nil {
		return err
	}
	s.summarize(upload, now)
	if record, ok, err := p.runs().UnderWay(s.bare()); err == nil && ok {
		s.Running = &record.Percent
	}
	if why, _ := p.retentionFailures().Last(s.Service); why != "" {
		s.add(notify.RetentionFailed, "retention failed: "+firstWords(why), "dokku backup:prune "+s.bare())
	}
	scheduled, err := p.judgeSchedules(s, now)
	if err != nil {
		return err
	}
	return p.judgeAge(s, scheduled, now)
}

// summarize looks at the lines.
func (s *serviceStatus) summarize(upload bool, now time.Time) {
	failed, why := 0, ""
	for i := range s.lines {
		l := &s.lines[i]
		switch {
		case l.Failed != "":
			if s.Newest == "" {
				if failed++; failed == 1 {
					why = l.Failed
				}
			}
			continue
		case l.Verified != nil && !l.Verified.OK():
			s.Backups++
			s.add(notify.Warning, fmt.Sprintf("%s is damaged", l.ID), fmt.Sprintf("dokku backup:verify %s --repair STORE, or make a new one: dokku backup:create %s", l.ID, s.bare()))
			continue
		}
		s.Backups++
		if s.Newest == "" {
			s.newest(l, upload)
		}
		s.proven(l, now)
	}
	if failed > 0 {
		s.add(notify.Failed, fmt.Sprintf("%s failed since: %s", count(failed, "run"), firstWords(why)), "dokku backup:logs "+s.bare())
	}
}

// newest notes the newest good backup.
func (s *serviceStatus) newest(l *line, upload bool) {
	s.Newest, s.At, s.Stores = l.ID, l.CreatedAt, append(s.Stores, here)
	for _, w := range l.Warnings {
		s.add(notify.Warning, w, "dokku backup:info "+string(l.ID))
	}
	for _, state := range l.Stores {
		switch {
		case !state.Confirmed.IsZero():
			s.Stores = append(s.Stores, state.Store)
		case upload:
			s.add(notify.StoreBehind, "not at "+state.Store, "dokku backup:sync "+state.Store)
		}
	}
}

// proven notes when a backup was last verified and practised.
func (s *serviceStatus) proven(l *line, now time.Time) {
	if l.Verified != nil && s.Verified == "never" {
		s.Verified = ui.Age(now.Sub(l.Verified.At)) + " ago"
	}
	if l.Practised == nil || s.Practised != "never" {
		return
	}
	if !l.Practised.Passed {
		s.Practised = "FAILED"
		s.add(notify.PracticeFailed, fmt.Sprintf("practice of %s failed: %s", l.ID, firstWords(l.Practised.Failed)), fmt.Sprintf("dokku backup:logs %s, then: dokku backup:practice %s", l.ID, s.bare()))
		return
	}
	s.Practised = ui.Age(now.Sub(l.Practised.Started)) + " ago, " + took(l.Practised.RTO)
}
