package dokku

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// answers is a dokku that knows the app happycows by the transcripts. Before, a script, may answer first.
func answers(t *testing.T, before string) string {
	t.Helper()
	dir, err := filepath.Abs("testdata")
	must(t, err)
	return program(t, before+`
case "$*" in
*nosuchapp*) echo " !     App nosuchapp does not exist" >&2; exit 20 ;;
"apps:exists happycows") ;;
"config:export --format json happycows") cat `+dir+`/config-export.json ;;
*" happycows") cat "`+dir+`/$(echo "${1}" | tr : -).txt" ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac`)
}

func TestApp(t *testing.T) {
	h := New(os.Environ())
	h.Dokku = answers(t, "")
	got, err := h.App(t.Context(), "happycows")
	must(t, err)
	want := &App{
		Name:           "happycows",
		CreatedAt:      time.Unix(1795248106, 0).UTC(),
		DeploySource:   "git-sync",
		DeployMetadata: "https://github.com/example/happycows.git#" + commitA,
		Git:            Git{SHA: commitA, Branch: "master", BranchUpdated: time.Unix(1795248174, 0).UTC(), RevEnvVar: "GIT_REV"},
		Deployed:       true,
		Running:        true,
		Config: map[string]string{
			"DATABASE_URL": "postgres://postgres:00000000000000000000000000000000@dokku-postgres-happycows-db:5432/happycows_db",
			"GIT_REV":      commitA,
		},
		Scale:         map[string]int{"web": 1},
		Domains:       []string{"happycows.dokku.me"},
		PortsDetected: []string{"http:5000:5000"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAppFailures(t *testing.T) {
	h := New(os.Environ())
	h.Dokku = answers(t, "")
	_, err := h.App(t.Context(), "nosuchapp")
	var p *backup.Problem
	if !errors.Is(err, ErrNoApp) || !errors.As(err, &p) || p.ExitCode() != 20 {
		t.Errorf("no such app: got %v, want ErrNoApp with exit code 20", err)
	}
	for app, want := range map[string]bool{"happycows": true, "nosuchapp": false} {
		if got, err := h.AppExists(t.Context(), app); err != nil || got != want {
			t.Errorf("AppExists(%q): got %v, %v; want %v", app, got, err, want)
		}
	}
	if _, err := h.App(t.Context(), "../x"); !errors.Is(err, ErrNoApp) {
		t.Errorf("a bad name: got %v, want ErrNoApp", err)
	}

	h.Dokku = answers(t, `case "$1" in domains:report|storage:list) exit 1 ;; esac`)
	got, err := h.App(t.Context(), "happycows")
	must(t, err)
	if want := []string{"domains", "storage"}; !slices.Equal(got.Missing, want) {
		t.Errorf("missing: got %q, want %q", got.Missing, want)
	}

	h.Dokku = answers(t, `case "$1" in git:report) echo boom >&2; exit 1 ;; esac`)
	if _, err := h.App(t.Context(), "happycows"); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("a failing git:report: got %v, want it", err)
	}

	h.Dokku = answers(t, `case "$1" in config:export) echo "{\"KEY\":\"hunter2"; exit 0 ;; esac`)
	if _, err := h.App(t.Context(), "happycows"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("config that is no JSON: got %v, want an error without values", err)
	}
}

func TestAppOnDokku030(t *testing.T) {
	h := New(os.Environ())
	dir, err := filepath.Abs("testdata")
	must(t, err)
	h.Dokku = answers(t, `case "$1" in
git:report) cat `+dir+`/git-report-0.30.txt; exit ;;
ports:report) echo " !     ports:report is not a dokku command" >&2; exit 1 ;;
proxy:report) printf '=====> happycows proxy information\n       Proxy enabled:                 true\n       Proxy port map:                http:80:5000 https:443:5000\n'; exit ;;
storage:list) printf -- '-----> happycows volume bind-mounts:\n       /var/lib/dokku/data/storage/x:/app/x\n'; exit ;;
ps:scale) printf -- '-----> Scaling for happycows\nproctype: qty\n--------: ---\nweb:  2\nWorker: 0\n'; exit ;;
esac`)
	got, err := h.App(t.Context(), "happycows")
	must(t, err)
	wantGit := Git{SHA: "82eeec6fe1", Branch: "master", BranchUpdated: time.Unix(1795248174, 0).UTC()}
	if got.Git != wantGit {
		t.Errorf("git: got %+v, want %+v", got.Git, wantGit)
	}
	if want := []string{"http:80:5000", "https:443:5000"}; !slices.Equal(got.Ports, want) {
		t.Errorf("ports: got %q, want %q", got.Ports, want)
	}
	if want := []string{"/var/lib/dokku/data/storage/x:/app/x"}; !slices.Equal(got.Storage, want) {
		t.Errorf("storage: got %q, want %q", got.Storage, want)
	}
	if want := map[string]int{"web": 2, "Worker": 0}; !reflect.DeepEqual(got.Scale, want) {
		t.Errorf("scale: got %v, want %v", got.Scale, want)
	}
	if len(got.Missing) != 0 {
		t.Errorf("missing: got %q, want none", got.Missing)
	}
}

func TestGitReportWithoutACommit(t *testing.T) {
	var a App
	a.parseGit(testdata(t, "git-report-empty.txt"))
	if want := (Git{Branch: "master", RevEnvVar: "GIT_REV"}); a.Git != want {
		t.Errorf("got %+v, want %+v", a.Git, want)
	}
}

// From hooks to answer, with Docker and Dokku played by scripts: what the hooks of a deploy recorded is what Deployed
// says, and reading the reports again cannot change it.
func TestHooksThenDeployed(t *testing.T) {
	lib := t.TempDir()
	docker := program(t, `case "$*" in
ps*) echo one ;;
"inspect one") echo '[{"Id":"one","Name":"/happycows.web.1","Image":"sha256:b","Created":"2026-11-21T08:00:00Z","State":{"Running":true,"Status":"running"},"Config":{"Labels":{"com.dokku.dyno":"web.1"}}}]' ;;
"inspect sha256:b"|"inspect dokku/happycows:latest") echo '[{"Id":"sha256:b","Created":"2026-11-21T07:50:00Z"}]' ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac`)
	h := New(append(os.Environ(), "DOKKU_LIB_ROOT="+lib, "DOCKER_BIN="+docker, "DOKKU_PID=1"))
	h.Dokku = answers(t, "")

	hooks := [][]string{
		{"post-extract", "happycows", "/tmp/dokku-2957-x", commitB},
		{"post-release-builder", "dockerfile", "happycows", "dokku/happycows:latest"},
		{"post-app-rename-setup", "nosuchapp", "other"},
		{"post-delete", "other", "latest"},
	}
	for _, call := range hooks {
		must(t, h.Hook(t.Context(), call[0], call[1:]))
	}
	if commit, err := h.Building("happycows"); commit != commitB || err != nil {
		t.Errorf("what this dokku run builds: got %q %v, want %s", commit, err, commitB)
	}
	later := New([]string{"DOKKU_LIB_ROOT=" + lib, "DOKKU_PID=2"})
	if commit, err := later.Building("happycows"); commit != "" || err != nil {
		t.Errorf("what a run builds that has built nothing: got %q %v, want none", commit, err)
	}
	d, err := h.Deployed(t.Context(), "happycows")
	must(t, err)
	if d.Commit != commitB || d.Certainty != backup.Recorded || d.State != StateRunning || !d.Running || d.ImageID != "sha256:b" {
		t.Errorf("got %+v, want %s recorded and running", d, commitB)
	}
	if d.Branch != "master" || d.Source != "git-sync" {
		t.Errorf("got branch %q, source %q; want master, git-sync", d.Branch, d.Source)
	}

	must(t, h.Hook(t.Context(), "post-delete", []string{"happycows"}))
	if d, err = h.Deployed(t.Context(), "happycows"); err != nil || d.Certainty == backup.Recorded {
		t.Errorf("after the app was deleted: got %+v, %v; want nothing recorded", d, err)
	}
	if _, err := h.Deployed(t.Context(), "nosuchapp"); !errors.Is(err, ErrNoApp) {
		t.Errorf("no such app: got %v, want ErrNoApp", err)
	}
}

func TestLinked(t *testing.T) {
	enabled := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(enabled, "postgres/subcommands"), 0o755))
	must(t, os.WriteFile(filepath.Join(enabled, "postgres/subcommands/app-links"), nil, 0o755))
	h := New(append(os.Environ(), "PLUGIN_ENABLED_PATH="+enabled))
	h.Dokku = answers(t, `case "$*" in
"postgres:app-links happycows") printf 'happycows-db\norders-db\n'; exit ;;
"postgres:app-links lonely") exit ;;
"postgres:app-links nosuchapp") echo ' !     App nosuchapp does not exist' >&2; exit 20 ;;
esac`)
	got, err := h.Linked(t.Context(), "postgres", "happycows")
	must(t, err)
	if want := []Service{{"postgres", "happycows-db"}, {"postgres", "orders-db"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, err := h.Linked(t.Context(), "postgres", "lonely"); len(got) > 0 || err != nil {
		t.Errorf("an app without links: got %v %v, want none", got, err)
	}
	if got, err := h.Linked(t.Context(), "redis", "happycows"); len(got) > 0 || err != nil {
		t.Errorf("without the plugin: got %v %v, want none", got, err)
	}
	if _, err := h.Linked(t.Context(), "postgres", "nosuchapp"); !errors.Is(err, ErrNoApp) {
		t.Errorf("no such app: got %v, want ErrNoApp", err)
	}
}

func TestHookRefuses(t *testing.T) {
	h := New([]string{"DOKKU_LIB_ROOT=" + t.TempDir(), "DOKKU_PID=1"})
	outside := New([]string{"DOKKU_LIB_ROOT=" + t.TempDir()})
	for name, err := range map[string]error{
		"unknown hook":   h.Hook(t.Context(), "pre-deploy", []string{"happycows"}),
		"no arguments":   h.Hook(t.Context(), "post-extract", nil),
		"bad app":        h.Hook(t.Context(), "post-delete", []string{"../../etc"}),
		"no such docker": New([]string{"DOCKER_BIN=/nonexistent", "DOKKU_PID=1"}).Hook(t.Context(), "post-release-builder", []string{"dockerfile", "a", "b"}),
		"outside dokku":  outside.Hook(t.Context(), "post-extract", []string{"happycows", "/tmp", commitA}),
	} {
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// Two runs with one process id, one after the other, are two runs.
func TestRunName(t *testing.T) {
	self := New([]string{"DOKKU_PID=" + "self"})
	a, err := self.run()
	must(t, err)
	b, err := self.run()
	must(t, err)
	if a != b || !strings.HasPrefix(a, "self-") || strings.Count(a, "-") < 6 {
		t.Errorf("got %q and %q, want one name of pid, start and boot", a, b)
	}
	gone, err := New([]string{"DOKKU_PID=999999999"}).run()
	if err != nil || gone != "999999999" {
		t.Errorf("a process that is gone: got %q, %v; want its id", gone, err)
	}
}

func TestSourceImage(t *testing.T) {
	for _, tt := range []struct {
		app  App
		want string
	}{
		{App{DeploySource: "git-sync", DeployMetadata: "https://u:token@example.com/x.git#" + commitA}, ""},
		{App{DeploySource: "docker-image", DeployMetadata: "nginx:1.27", Git: Git{SourceImage: "nginx:1.27"}}, "nginx:1.27"},
		{App{DeploySource: "docker-image", DeployMetadata: "nginx:1.27"}, "nginx:1.27"},
		{App{DeploySource: "tar.gz", DeployMetadata: "https://u:token@example.com/x.tar.gz?key=token#frag"}, "https://example.com/x.tar.gz"},
		{App{DeploySource: "tar", DeployMetadata: "://"}, ""},
		{App{}, ""},
	} {
		if got := tt.app.sourceImage(); got != tt.want {
			t.Errorf("%s %s: got %q, want %q", tt.app.DeploySource, tt.app.DeployMetadata, got, tt.want)
		}
	}
}
