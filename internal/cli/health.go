package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/repository"
)

// assess looks at the backups of all services, or of one ("postgres:happycows-db"); services that have none are problems too.
func (p *program) assess(ctx context.Context, only string) (*health.Health, error) {
	now := time.Now()
	h := &health.Health{Host: p.hostTroubles(now), Services: []health.Service{}}
	byService, err := p.linesByService(ctx, only, h)
	if err != nil {
		return nil, err
	}
	practices, unfinished, err := p.openRestores()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(byService))
	for name := range byService {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s := health.Service{Service: name, Verified: "never", Practised: "never", Stores: []string{}, Problems: []health.Trouble{}, Lines: byService[name]}
		switch {
		case practices[s.Bare()]:
			continue
		case unfinished[s.Bare()]:
			s.Add("unfinished", "not proven: a restore into it has not finished", fmt.Sprintf("dokku backup:restore --resume %[1]s, or --abort %[1]s", s.Bare()))
		default:
			if err := p.judge(&s, now); err != nil {
				s.Add("unknown", repository.Told(err).Message, "")
			}
		}
		h.Services = append(h.Services, s)
	}
	slices.SortStableFunc(h.Services, func(a, b health.Service) int { return min(len(b.Problems), 1) - min(len(a.Problems), 1) })
	return h, nil
}

// linesByService are the backups and failed runs of each service that exists or has some. What cannot be asked for is a trouble of the host: the
// others are judged all the same.
func (p *program) linesByService(ctx context.Context, only string, h *health.Health) (map[string][]health.Line, error) {
	byService := map[string][]health.Line{}
	scheduled, err := p.schedules().All()
	if err != nil {
		h.AddHost("schedule", repository.Told(err).Message, "dokku backup:schedules")
	}
	if only != "" {
		byService[only] = nil
	} else {
		services, err := p.host.Services(ctx)
		if err != nil {
			h.AddHost("unknown", repository.Told(err).Message, "")
		}
		for _, s := range services {
			if s.Type == "postgres" {
				byService[s.String()] = nil
			}
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

// judge notes what a service's lines, schedules and settings say.
func (p *program) judge(s *health.Service, now time.Time) error {
	upload, err := p.isOn(s.Bare(), "upload")
	if err != nil {
		return err
	}
	facts := health.Facts{Upload: upload}
	if record, ok, err := p.runs().UnderWay(s.Bare()); err == nil && ok {
		facts.Running = &record.Percent
	}
	facts.RetentionFailed, _ = p.retentionFailures().Last(s.Service)
	if err := p.scheduled(s, &facts, now); err != nil {
		return err
	}
	if facts.AlertAfter, err = p.setting(s.Bare(), "alert-after"); err != nil {
		return err
	}
	return s.Judge(facts, now)
}

// scheduled finds out which schedules a service has, and how they went.
func (p *program) scheduled(s *health.Service, facts *health.Facts, now time.Time) error {
	all, _ := p.schedules().Of(s.Service) // of one that cannot be read the host's troubles tell
	if len(all) == 0 {
		return nil
	}
	automatic, err := p.isOn(s.Bare(), "automatic")
	if err != nil {
		return err
	}
	if facts.Off = !automatic; facts.Off {
		return nil
	}
	for _, one := range all {
		state, _, err := p.schedules().State(one, now)
		if err != nil {
			return err
		}
		facts.Schedules = append(facts.Schedules, health.Scheduled{Schedule: one, Last: state.Last})
	}
	typ, name, _ := strings.Cut(s.Service, ":")
	facts.Timeout, err = p.minutes(dokku.Service{Type: typ, Name: name}, "timeout")
	return err
}

// hostTroubles are what is wrong with no service in particular.
func (p *program) hostTroubles(now time.Time) []health.Trouble {
	return health.OfHost(p.cronSilent(now), p.receiversFailing())
}

// cronSilent says since when cron has not looked at schedules, although there are some; "" when it has.
func (p *program) cronSilent(now time.Time) string {
	all, _ := p.schedules().All() // those that can be read
	beat, err := p.schedules().Heartbeat()
	if err != nil {
		beat = time.Time{}
	}
	return health.CronSilent(all, beat, now)
}
