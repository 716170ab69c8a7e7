package cli

import (
	"context"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/notify"
	"github.com/dokku-backup/dokku-backup/internal/repository"
)

func (p *program) event(kind notify.Kind, service string) notify.Event {
	return notify.Event{Kind: kind, Service: service, Host: hostname(), At: time.Now()}
}

// tellFailed tells of a run that made no backup.
func (p *program) tellFailed(ctx context.Context, o order, err error) {
	e := p.event(notify.Failed, o.service.String())
	problem := repository.Told(err)
	e.What, e.Why, e.Todo, e.Trigger = "no backup was made", problem.Message, problem.Hints, o.trigger
	if ctx.Err() != nil {
		e.Why, e.Todo = "it was interrupted", []string{"start it again: dokku backup:create " + o.service.Name}
	}
	p.tell(e)
}

// tellMade tells of a backup that is complete.
func (p *program) tellMade(m *made) {
	e := p.event(notify.Success, m.Services[0].Type+":"+m.Services[0].Name)
	e.What, e.Backup, e.Trigger = m.words(), m.ID, m.Trigger
	p.tell(e)
}

// afterRun tells what lasts of a service, and writes the metrics. A failure of that is a warning: the backup is made.
func (p *program) afterRun(ctx context.Context, service dokku.Service) {
	if err := p.look(ctx, service.String()); err != nil {
		p.ui.Warn("how backups stand could not be told: %v", err)
	}
}

// hourly sends what stores lack, and does that for all services. It is the dead-man's switch.
func (p *program) hourly(ctx context.Context) {
	if err := p.sendLacking(ctx); err != nil {
		p.ui.Warn("%v", err)
	}
	if err := p.look(ctx, ""); err != nil {
		p.ui.Warn("how backups stand could not be told: %v", err)
	}
}

// look tells what lasts, of one service or of all, and writes the metrics of all. Where nobody is to be told and no metrics are written, it
// does nothing: asking Dokku for all services takes a while.
func (p *program) look(ctx context.Context, only string) error {
	file, err := p.hostSetting("metrics-file")
	if err != nil {
		return err
	}
	assessed := only
	if file != "" {
		assessed = ""
	} else if receivers, err := p.receivers(); err == nil && len(receivers) == 0 {
		return nil
	}
	h, err := p.assess(ctx, assessed)
	if err != nil {
		return err
	}
	for i := range h.Services {
		if s := &h.Services[i]; only == "" || s.Service == only {
			p.conditions(s.Service, p.lasting(s))
		}
	}
	return p.writeMetrics(h)
}

// lasting are the conditions of a service.
func (p *program) lasting(s *health.Service) []notify.Event {
	var events []notify.Event
	for _, t := range s.Lasting() {
		e := p.event(t.Kind, s.Service)
		e.What, e.Backup = t.What, s.Newest
		if t.Do != "" {
			e.Todo = []string{t.Do}
		}
		events = append(events, e)
	}
	return events
}
