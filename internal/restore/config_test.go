package restore

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

func TestNewSettings(t *testing.T) {
	const dsn = "postgres://postgres:pw@dokku-postgres-happy-cows-db:5432/happy_cows_db"
	captured := backup.Service{Type: "postgres", Name: "happy_cows-db"}
	tests := []struct {
		name    string
		old     map[string]string
		request Request
		config  map[string]string
		key     string
		also    []string
		dropped []string
	}{
		{
			name:   "the address of the service comes from the new link, Dokku's own values from Dokku",
			old:    map[string]string{"DATABASE_URL": dsn, "SECRET": "a=b", "GIT_REV": "x", "DOKKU_APP_TYPE": "herokuish", "NO_VHOST": "1"},
			config: map[string]string{"SECRET": "a=b"}, key: "DATABASE_URL", also: []string{"DATABASE_URL"},
		},
		{
			name:   "an alias stays, and a second key with it",
			old:    map[string]string{"HERD_URL": dsn + "?sslmode=disable", "REPLICA": dsn},
			config: map[string]string{}, key: "HERD_URL", also: []string{"HERD_URL", "REPLICA"},
		},
		{
			name:   "another service of the host is left out, an outer one stays",
			old:    map[string]string{"REDIS_URL": "redis://:pw@dokku-redis-cache:6379", "MAIL_URL": "smtp://u:p@mail.example.com", "OTHER": "postgres://u:p@dokku-postgres-happy-cows-db-2:5432/x"},
			config: map[string]string{"MAIL_URL": "smtp://u:p@mail.example.com"}, key: "DATABASE_URL", dropped: []string{"OTHER", "REDIS_URL"},
		},
		{
			name: "--env wins", old: map[string]string{"REDIS_URL": "redis://dokku-redis-cache:6379", "A": "1"},
			request: Request{Env: map[string]string{"REDIS_URL": "redis://elsewhere", "A": "2", "B": ""}},
			config:  map[string]string{"REDIS_URL": "redis://elsewhere", "A": "2", "B": ""}, key: "DATABASE_URL",
		},
		{
			name: "none", old: map[string]string{"A": "1", "DATABASE_URL": dsn}, request: Request{Config: "none"},
			config: map[string]string{}, key: "DATABASE_URL", also: []string{"DATABASE_URL"},
		},
		{
			name: "some", old: map[string]string{"A": "1", "B": "2", "C": "3"}, request: Request{Config: "keys=A,C"},
			config: map[string]string{"A": "1", "C": "3"}, key: "DATABASE_URL",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newSettings(tt.old, captured, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(got.config, tt.config) {
				t.Errorf("config: got %v, want %v", got.config, tt.config)
			}
			if got.link.Key != tt.key {
				t.Errorf("key: got %q, want %q", got.link.Key, tt.key)
			}
			if also := slices.Sorted(maps.Keys(got.link.Also)); !slices.Equal(also, tt.also) {
				t.Errorf("also: got %v, want %v", also, tt.also)
			}
			if dropped := slices.Sorted(maps.Keys(got.dropped)); !slices.Equal(dropped, tt.dropped) {
				t.Errorf("dropped: got %v, want %v", dropped, tt.dropped)
			}
		})
	}
}

func TestNewSettingsRefuses(t *testing.T) {
	old := map[string]string{"A": "secret"}
	for config, want := range map[string]string{"keys=A,B": `no "B"`, "some": "--config is all"} {
		_, err := newSettings(old, backup.Service{}, Request{Config: config})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("--config %s: got %v, want an error that says %q", config, err, want)
		}
	}
}

func TestReaddress(t *testing.T) {
	const dsn = "postgres://postgres:new@dokku-postgres-b:5432/b"
	tests := map[string]string{
		"postgres://postgres:old@dokku-postgres-a:5432/a":                 dsn,
		"postgres://postgres:old@dokku-postgres-a:5432/a?sslmode=disable": dsn + "?sslmode=disable",
		"postgis://postgres:old@dokku-postgres-a:5432/a":                  "postgis" + strings.TrimPrefix(dsn, "postgres"),
	}
	for old, want := range tests {
		if got, err := Readdress(old, dsn); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", old, got, err, want)
		}
	}
	if _, err := Readdress("a b://secret", dsn); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error that does not quote the value", err)
	}
}

func TestMajor(t *testing.T) {
	for version, want := range map[string]int{"15.18": 15, "17": 17, "9.6-alpine": 9, "latest": 0, "": 0} {
		if got := major(version); got != want {
			t.Errorf("%q: got %d, want %d", version, got, want)
		}
	}
}

func TestThrowAway(t *testing.T) {
	a, b := Request{}.ThrowAway("cows-db", "cows", false), Request{}.ThrowAway("cows-db", "cows", true)
	if a.Service == b.Service || a.App == b.App {
		t.Errorf("two practice runs share a name: %q, %q", a.Service, a.App)
	}
	if a.Network == "" || b.Network != "" {
		t.Errorf("network: got %q, and %q when open", a.Network, b.Network)
	}
	if alone := (Request{}).ThrowAway("cows-db", "", false); alone.App != "" {
		t.Errorf("an app out of nothing: %q", alone.App)
	}
}

func TestWords(t *testing.T) {
	tests := []struct{ got, want string }{
		{ProofWords(backup.Proof{Tables: 31, Rows: 6_666_000, Exact: true}), "31 tables equal: 6,666,000 rows, every digest; schema and sequences too"},
		{ProofWords(backup.Proof{Differences: []string{"a", "b"}}), "a; b"},
		{HealthWords(backup.Health{Processes: map[string]int{"web": 1, "worker": 2}, Path: "/", Status: 200, Took: 38}), "web.1, worker.1, worker.2 up; GET / answered 200 in 38 ms"},
		{HealthWords(backup.Health{Processes: map[string]int{"worker": 1}, NotAsked: "it has no web process"}), "worker.1 up; it has no web process"},
		{HealthWords(backup.Health{Trouble: "0 of 1 web processes run"}), "no process; 0 of 1 web processes run"},
		{MigratedWords(&backup.Migrated{Tool: "Rails"}), "none ran on boot: code and data belong together"},
		{MigratedWords(&backup.Migrated{Tool: "Rails", Added: []string{"1", "2"}, Removed: []string{"0"}}), "2 Rails migrations ran: 1, 2; 1 Rails migration taken back: 0"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

// TestJob holds what follows from a request when it says nothing.
func TestJob(t *testing.T) {
	m := &backup.Manifest{
		Services: []backup.Service{{Name: "cows-db", Image: "postgres:15.18"}},
		Apps:     []backup.App{{Name: "cows", Commit: "abc", Scale: map[string]int{"web": 2, "worker": 1}}},
	}
	job := func(r Request) *Job { return &Job{Request: r, Manifest: m} }
	with := Request{App: "cows-2", From: "cows"}
	if got, want := job(with).scale(), m.Apps[0].Scale; !reflect.DeepEqual(got, want) {
		t.Errorf("scale: got %v, want %v", got, want)
	}
	practice := with
	practice.Practice = true
	if got, want := job(practice).scale(), map[string]int{"web": 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("scale of a practice run: got %v, want %v", got, want)
	}
	if got := job(with).commit(); got != "abc" {
		t.Errorf("commit: got %q", got)
	}
	if got := job(Request{}).commit(); got != "" {
		t.Errorf("commit without an app: got %q", got)
	}
	var names []string
	for _, s := range job(Request{Service: "x", Verify: None, Script: "f"}).steps() {
		names = append(names, s.name)
	}
	if want := []string{"check", "create", "load", "script", "report"}; !slices.Equal(names, want) {
		t.Errorf("steps of the service alone, not verified: got %v, want %v", names, want)
	}
}
