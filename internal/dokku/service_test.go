package dokku

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// plugins makes a host whose enabled plugins are three datastores, one of them without export, and a core plugin.
func plugins(t *testing.T, dokku string) *Host {
	t.Helper()
	dir := t.TempDir()
	add := func(plugin string, commands ...string) {
		must(t, os.MkdirAll(filepath.Join(dir, plugin, "subcommands"), 0o755))
		for _, c := range commands {
			must(t, os.WriteFile(filepath.Join(dir, plugin, "subcommands", c), nil, 0o755))
		}
	}
	all := append(slices.Clone(serviceCommands), "export", "import")
	add("apps", "create", "list", "report")
	add("network", "create", "info", "list")
	add("postgres", all...)
	add("redis", all...)
	add("memcached", all...)
	add("graphite", serviceCommands...)
	must(t, os.WriteFile(filepath.Join(dir, "postgres", "config"), []byte("export PLUGIN_UNIMPLEMENTED_SUBCOMMANDS=()\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "memcached", "config"), []byte(`#!/usr/bin/env bash
export PLUGIN_UNIMPLEMENTED_SUBCOMMANDS=("backup" "clone" "export" "import")
`), 0o644))
	h := New(append(os.Environ(), "PLUGIN_ENABLED_PATH="+dir))
	h.Dokku = program(t, dokku)
	return h
}

const listing = `case "$1" in
postgres:list) echo "=====> Postgres services"; echo happycows-db; echo orders-db; echo shared ;;
redis:list) echo "=====> Redis services"; echo shared; echo cache ;;
memcached:list) echo "=====> Memcached services"; echo memo ;;
graphite:list) echo " !     There are no Graphite services" >&2 ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac`

func TestServices(t *testing.T) {
	h := plugins(t, listing)
	types, err := h.Types()
	must(t, err)
	if want := []string{"graphite", "memcached", "postgres", "redis"}; !slices.Equal(types, want) {
		t.Errorf("types: got %q, want %q", types, want)
	}
	got, err := h.Services(t.Context())
	must(t, err)
	want := []Service{{"memcached", "memo"}, {"postgres", "happycows-db"}, {"postgres", "orders-db"}, {"postgres", "shared"}, {"redis", "shared"}, {"redis", "cache"}}
	if !slices.Equal(got, want) {
		t.Errorf("services: got %v, want %v", got, want)
	}
}

func TestFind(t *testing.T) {
	h := plugins(t, listing)
	tests := []struct {
		name string
		want Service
		err  error
		text string
	}{
		{"happycows-db", Service{"postgres", "happycows-db"}, nil, ""},
		{"postgres:happycows-db", Service{"postgres", "happycows-db"}, nil, ""},
		{"redis:shared", Service{"redis", "shared"}, nil, ""},
		{"shared", Service{}, ErrAmbiguous, `2 services are named "shared": postgres:shared, redis:shared; name its type as well, as in postgres:shared`},
		{"hapycows-db", Service{}, ErrNoService, `service "hapycows-db" does not exist; did you mean happycows-db?`},
		{"nothing-like-it", Service{}, ErrNoService, `service "nothing-like-it" does not exist; see all services: dokku postgres:list`},
		{"redis:happycows-db", Service{}, ErrNoService, `service "redis:happycows-db" does not exist; did you mean postgres:happycows-db?`},
		{"postgras:happycows-db", Service{}, ErrNoService, `service "postgras:happycows-db" does not exist; did you mean postgres:happycows-db?`},
		{"memo", Service{}, ErrNoExport, `memcached:memo cannot be backed up: the memcached plugin has no export`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := h.Find(t.Context(), tt.name)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, tt.want, tt.err)
			}
			var p *backup.Problem
			if errors.As(err, &p) {
				if got := strings.Join(append([]string{p.Message}, p.Hints...), "; "); got != tt.text {
					t.Errorf("got  %s\nwant %s", got, tt.text)
				}
			}
		})
	}
}

func TestFindRefusesBadNamesBeforeRunningAnything(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	h := plugins(t, "touch "+ran)
	for _, name := range []string{"", "a/b", "../x", "a'b", `a"b`, "a b", "a;b", "a\nb", "postgres:", ":x", "a:b:c", "post/gres:x", "ä"} {
		if _, err := h.Find(t.Context(), name); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: got %v, want ErrBadName", name, err)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a command was run")
	}
}

// A broken plugin hides neither the services of the others nor its own failure.
func TestFindWithABrokenPlugin(t *testing.T) {
	h := plugins(t, `case "$1" in
postgres:list) echo happycows-db ;;
redis:list) echo "redis is broken" >&2; exit 1 ;;
esac`)
	if got, err := h.Find(t.Context(), "happycows-db"); err != nil || got.Type != "postgres" {
		t.Errorf("got %v, %v; want postgres:happycows-db", got, err)
	}
	if _, err := h.Find(t.Context(), "cache"); err == nil || errors.Is(err, ErrNoService) {
		t.Errorf("got %v, want the plugin's failure", err)
	}
}

func TestParseInfo(t *testing.T) {
	tests := []struct {
		file string
		want ServiceInfo
	}{
		{"postgres-info.txt", ServiceInfo{
			DSN:         "postgres://postgres:00000000000000000000000000000000@dokku-postgres-happycows-db:5432/happycows_db",
			ContainerID: "7e70b97cfd768d9e3350fbdd6fc40b92c6027b5a6d4fa9df58cfcf10f01ffeab",
			Apps:        []string{"happycows"}, Status: "running", Image: "postgres:15.18",
		}},
		{"postgres-info-network.txt", ServiceInfo{
			DSN:         "postgres://postgres:00000000000000000000000000000000@dokku-postgres-happycows-db-practice:5432/happycows_db_practice",
			ContainerID: "48436fb31c4a7920c15084466b26358f459a31fdb21cb1b282bb819d337d7792",
			Status:      "running", Image: "postgres:15.18", InitialNetwork: "practice-net",
		}},
	}
	for _, tt := range tests {
		got := parseInfo(testdata(t, tt.file))
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", tt.file, got, tt.want)
		}
		if !got.Running() {
			t.Errorf("%s: got not running", tt.file)
		}
	}
	if (ServiceInfo{Status: "missing"}).Running() {
		t.Error("a missing container: got running")
	}
	for value, want := range map[string][]string{"a b ": {"a", "b"}, "a,b": {"a", "b"}, "-": nil, "": nil} {
		if got := (report{"links": value}).list("links"); !slices.Equal(got, want) {
			t.Errorf("links %q: got %q, want %q", value, got, want)
		}
	}
}

func TestStopped(t *testing.T) {
	err := Stopped(Service{"postgres", "happycows-db"})
	if got, want := err.Error(), "postgres:happycows-db is stopped; start it with: dokku postgres:start happycows-db"; got != want || !errors.Is(err, ErrStopped) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClosest(t *testing.T) {
	names := []string{"happycows-db", "happycows-db-2", "orders-db", "x"}
	for name, want := range map[string][]string{
		"hapycows-db":  {"happycows-db", "happycows-db-2"},
		"order-db":     {"orders-db"},
		"y":            {"x"},
		"unlike-these": {},
	} {
		if got := closest(name, names); !slices.Equal(got, want) {
			t.Errorf("closest(%q): got %q, want %q", name, got, want)
		}
	}
}
