package cli

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/settings"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func TestValues(t *testing.T) {
	tests := []struct{ key, good, bad string }{
		{"automatic", "on off", "ON yes true 1"},
		{"upload", "on off", "maybe"},
		{"timeout", "1 60 1440", "0 1441 -1 5m 1.5 x"},
		{"stall-timeout", "1 5 1440", "0 1441"},
		{"alert-after", "off 36h 2d", "0 0d -1h on never 7"},
		{"on-destroy", "on off", "both"},
		{"health-path", "/ /healthz", "healthz http://x/"},
		{"check-http", "/cows", "cows"},
		{"on-deploy", "before after both off", "on Before"},
		{"on-deploy-mode", "warn block", "on"},
		{"max-age", "10m 0 1d", "-1m ten"},
		{"metrics-file", "/var/lib/node_exporter/dokku_backup.prom", "metrics.prom /tmp/metrics.txt ./a.prom"},
	}
	for _, tt := range tests {
		s, known := keyOf(tt.key)
		if !known {
			t.Errorf("there is no key %q", tt.key)
			continue
		}
		for _, value := range strings.Fields(tt.good) {
			if err := s.check(value); err != nil {
				t.Errorf("%s %s: got %v, want it taken", tt.key, value, err)
			}
		}
		for _, value := range strings.Fields(tt.bad) {
			if err := s.check(value); err == nil || !strings.Contains(err.Error(), value) {
				t.Errorf("%s %s: got %v, want it refused by name", tt.key, value, err)
			}
		}
	}
	for _, s := range settingsTable() {
		if s.preset != "" && s.check(s.preset) != nil {
			t.Errorf("%s: its default %q is none of its values", s.key, s.preset)
		}
	}
}

// TestHolding has a value of its own go before the host's, and that before the table's, where the key has one for the host.
func TestHolding(t *testing.T) {
	lib := t.TempDir()
	p := &program{host: dokku.New([]string{"DOKKU_LIB_ROOT=" + lib})}
	store := p.settingsStore()
	set := func(o settings.Owner, key, value string) {
		t.Helper()
		if err := store.Set(o, key, value); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what, want string, get func() (string, error)) {
		t.Helper()
		if got, err := get(); err != nil || got != want {
			t.Errorf("%s: got %q %v, want %q", what, got, err, want)
		}
	}
	timeout := func() (string, error) { return p.setting("herd", "timeout") }
	check("nothing set", "60", timeout)
	set(settings.Host, "timeout", "90")
	check("the host's", "90", timeout)
	set(settings.Service("herd"), "timeout", "10")
	check("its own", "10", timeout)
	check("of a name that no service has", "90", func() (string, error) { return p.setting("../host:", "timeout") })

	set(settings.Service("herd"), "on-deploy-mode", "block") // a service of that name is not the app
	mode := func() (string, error) { return p.appSetting("herd", "on-deploy-mode") }
	check("of an app", "warn", mode)
	set(settings.App("herd"), "on-deploy-mode", "block")
	check("of an app, set", "block", mode)
	set(settings.Host, "on-deploy", "before")
	check("the host's, of a key that it cannot have", "off", func() (string, error) { return p.appSetting("herd", "on-deploy") })
	check("the host's own", "/a.prom", func() (string, error) {
		set(settings.Host, "metrics-file", "/a.prom")
		return p.hostSetting("metrics-file")
	})
	if value, err := p.setting("herd", "nonsense"); err == nil {
		t.Errorf("a key that there is not: got %q, want an error", value)
	}
}

func TestValidKeys(t *testing.T) {
	all, global := validKeys(false), validKeys(true)
	if !slices.IsSorted(all) || len(all) != len(settingsTable()) {
		t.Errorf("got %q, want all, in order", all)
	}
	if !slices.Contains(global, "metrics-file") || slices.Contains(global, "on-deploy") || slices.Contains(global, "check-sql") {
		t.Errorf("with --global: got %q", global)
	}
}

func TestContradictions(t *testing.T) {
	herd, db := settings.App("herd"), settings.Service("db")
	tests := []struct {
		name   string
		owner  settings.Owner
		values map[string]string
		key    string // set last
		want   string
	}{
		{"defaults", db, nil, "timeout", ""},
		{"timeout below the default stall-timeout", db, map[string]string{"timeout": "4"}, "timeout", "stall-timeout is 5 and timeout 4 minutes"},
		{"stall-timeout above", db, map[string]string{"stall-timeout": "61"}, "stall-timeout", "stall-timeout is 61 and timeout 60 minutes"},
		{"equal", db, map[string]string{"stall-timeout": "10", "timeout": "10"}, "timeout", "stall-timeout is 10"},
		{"another key", db, map[string]string{"stall-timeout": "61"}, "upload", ""},
		{"of the host", settings.Host, map[string]string{"timeout": "5"}, "timeout", "stall-timeout is 5 and timeout 5 minutes"},
		{"block, off", herd, map[string]string{"on-deploy-mode": "block"}, "on-deploy-mode", "while on-deploy is off"},
		{"block, after", herd, map[string]string{"on-deploy-mode": "block", "on-deploy": "after"}, "on-deploy", "while on-deploy is after"},
		{"block, both", herd, map[string]string{"on-deploy-mode": "block", "on-deploy": "both"}, "on-deploy", ""},
		{"block, switched off", herd, map[string]string{"on-deploy-mode": "block"}, "on-deploy", ""},
		{"block for the host", settings.Host, map[string]string{"on-deploy-mode": "block"}, "on-deploy-mode", ""},
		{"max-age", herd, map[string]string{"max-age": "10m"}, "max-age", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said strings.Builder
			p := &program{host: dokku.New([]string{"DOKKU_LIB_ROOT=" + t.TempDir()}), ui: ui.New(&said, false)}
			for key := range maps.Keys(tt.values) {
				if err := p.settingsStore().Set(tt.owner, key, tt.values[key]); err != nil {
					t.Fatal(err)
				}
			}
			s, _ := keyOf(tt.key)
			if err := p.warnContradiction(tt.owner, s); err != nil {
				t.Fatal(err)
			}
			if got := said.String(); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
