// Package metrics writes how backups stand as a text file for Prometheus, as node_exporter's textfile collector reads it. Names and units
// are those of doc/notifications.md, and follow Prometheus' "Metric and label naming".
package metrics

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Service is how the backups of one service stand. What has no time yet is left out.
type Service struct {
	Name     string // type:name
	State    string // one of States
	Problems map[string]int
	Backups  int

	Newest   time.Time // the newest good backup, and what it took
	Size     int64     // bytes
	Stored   int64     // bytes that were new
	Duration time.Duration

	Run       time.Time // the last run, and whether it made a backup
	RunFailed bool

	Practice       time.Time // the last practice run
	PracticeFailed bool
	RTO            time.Duration

	Confirmed       map[string]time.Time // store -> the newest backup that is confirmed there
	RetentionFailed bool
	Next            time.Time // the next scheduled run
}

// States are those that a service can be in: all is well, something is wrong, or there is no good backup.
func States() []string { return []string{"ok", "problems", "no-good-backup"} }

// Write replaces the file at path, whose folder must be there. node_exporter, which runs as another user, may read it.
func Write(path string, services []Service) error {
	f := newFile()
	for _, s := range services {
		f.add(s)
	}
	registry := prometheus.NewRegistry()
	for _, g := range f.gauges {
		if err := registry.Register(g); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	if err := prometheus.WriteToTextfile(path, registry); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// file is the gauges by name.
type file struct {
	gauges map[string]*prometheus.GaugeVec
}

func newFile() *file {
	f := &file{gauges: map[string]*prometheus.GaugeVec{}}
	for _, g := range []struct{ name, help, label string }{
		{"state", "1 for the state that the backups of a service are in.", "state"},
		{"problems", "What is wrong with the backups of a service.", "kind"},
		{"backups", "Backups of a service that are kept on the host.", ""},
		{"newest_timestamp_seconds", "When the newest good backup was made.", ""},
		{"newest_size_bytes", "What the newest good backup restores to.", ""},
		{"newest_stored_bytes", "What the newest good backup added to the repository.", ""},
		{"newest_duration_seconds", "How long the newest good backup took.", ""},
		{"last_run_timestamp_seconds", "When a backup was last begun.", ""},
		{"last_run_success", "1 if the last run made a backup.", ""},
		{"last_practice_timestamp_seconds", "When a restore was last practised.", ""},
		{"last_practice_success", "1 if the last practice run passed.", ""},
		{"last_practice_rto_seconds", "How long the last practice run took to bring all back.", ""},
		{"store_confirmed_timestamp_seconds", "When the newest backup was made that a store is known to hold whole.", "store"},
		{"retention_success", "1 unless removing old backups failed.", ""},
		{"next_run_timestamp_seconds", "When the next backup is due by its schedule.", ""},
	} {
		labels := []string{"service"}
		if g.label != "" {
			labels = append(labels, g.label)
		}
		f.gauges[g.name] = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "dokku_backup", Name: g.name, Help: g.help}, labels)
	}
	return f
}

func (f *file) add(s Service) {
	set := func(name string, value float64, labels ...string) {
		f.gauges[name].WithLabelValues(append([]string{s.Name}, labels...)...).Set(value)
	}
	at := func(name string, t time.Time, labels ...string) {
		if !t.IsZero() {
			set(name, float64(t.Unix()), labels...)
		}
	}
	for _, state := range States() {
		set("state", number(state == s.State), state)
	}
	for kind, n := range s.Problems {
		set("problems", float64(n), kind)
	}
	set("backups", float64(s.Backups))
	at("newest_timestamp_seconds", s.Newest)
	if !s.Newest.IsZero() {
		set("newest_size_bytes", float64(s.Size))
		set("newest_stored_bytes", float64(s.Stored))
	}
	if s.Duration > 0 {
		set("newest_duration_seconds", s.Duration.Seconds())
	}
	at("last_run_timestamp_seconds", s.Run)
	if !s.Run.IsZero() {
		set("last_run_success", number(!s.RunFailed))
	}
	at("last_practice_timestamp_seconds", s.Practice)
	if !s.Practice.IsZero() {
		set("last_practice_success", number(!s.PracticeFailed))
		if !s.PracticeFailed {
			set("last_practice_rto_seconds", s.RTO.Seconds())
		}
	}
	for store, t := range s.Confirmed {
		at("store_confirmed_timestamp_seconds", t, store)
	}
	set("retention_success", number(!s.RetentionFailed))
	at("next_run_timestamp_seconds", s.Next)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
