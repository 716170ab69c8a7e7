package cli

import (
	"time"

	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/metrics"
	"github.com/dokku-backup/dokku-backup/internal/notify"
)

// writeMetrics writes how backups stand for Prometheus, where setting metrics-file says.
func (p *program) writeMetrics(h *health.Health) error {
	path, err := p.hostSetting("metrics-file")
	if err != nil || path == "" {
		return err
	}
	services := make([]metrics.Service, len(h.Services))
	for i := range h.Services {
		services[i] = metricsOf(&h.Services[i])
	}
	return metrics.Write(path, services)
}

func metricsOf(s *health.Service) metrics.Service {
	m := metrics.Service{
		Name: s.Service, State: "ok", Problems: map[string]int{}, Backups: s.Backups, Newest: s.At, Next: s.Next,
		RetentionFailed: s.Has(notify.RetentionFailed), Confirmed: map[string]time.Time{},
	}
	for _, kind := range []notify.Kind{notify.Failed, notify.Warning, notify.PracticeFailed, notify.RetentionFailed, notify.StoreBehind, notify.NoGoodBackup} {
		m.Problems[string(kind)] = 0 // so that an alert finds it before it first happens
	}
	for _, t := range s.Problems {
		m.Problems[string(t.Kind)]++
		m.State = "problems"
	}
	if s.Newest == "" || s.Has(notify.NoGoodBackup) {
		m.State = "no-good-backup"
	}
	for i := range s.Lines {
		measure(&s.Lines[i], s, &m)
	}
	return m
}

// measure adds what a line says, which is older than those before.
func measure(l *health.Line, s *health.Service, m *metrics.Service) {
	if m.Run.IsZero() {
		m.Run, m.RunFailed = l.CreatedAt, l.Failed != ""
	}
	if l.ID == s.Newest {
		m.Size, m.Stored, m.Duration = l.Bytes, l.New, l.Took
	}
	if l.Practised != nil && l.Practised.Started.After(m.Practice) {
		m.Practice, m.PracticeFailed, m.RTO = l.Practised.Started, !l.Practised.Passed, time.Duration(l.Practised.RTO)*time.Millisecond
	}
	for _, store := range l.Stores {
		if !store.Confirmed.IsZero() && l.CreatedAt.After(m.Confirmed[store.Store]) {
			m.Confirmed[store.Store] = l.CreatedAt
		}
	}
}
