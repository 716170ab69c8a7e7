package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/sandbox/postgres"
)

// plugin is the host as the plugin sees it.
func (h *host) plugin(env ...string) *dokku.Host {
	p := dokku.New(append(append(slices.Clone(h.env), "DOKKU_LIB_ROOT="+h.dir+"/var/lib/dokku", "DOKKU_ROOT="+h.dir+"/home/dokku"), env...))
	p.Dokku, p.Docker = h.dir+"/bin/dokku", h.dir+"/bin/docker"
	if _, err := os.Stat(p.Docker); err != nil {
		p.Docker = "docker" // the real engine's
	}
	return p
}

const mark = "a1b2c3"

// verbs is what the steps of a restore work on.
type verbs struct {
	*host
	p       *dokku.Host
	app     string
	service dokku.NewService
	git     string
	ids     map[string]string
}

func newVerbs(t *testing.T, h *host) *verbs {
	server, err := postgres.Newest()
	ok(t, err)
	v := &verbs{host: h, p: h.plugin(), app: "vt-" + hostID(h.dir), git: t.TempDir()}
	v.ids = appRepository(t, v.git)
	v.service = dokku.NewService{Service: dokku.Service{Type: "postgres", Name: v.app}, Image: "postgres", ImageVersion: server.Version,
		Network: v.app, Mark: mark}
	return v
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func matches(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// TestVerbs walks through what a restore changes on a host, and takes it back.
func TestVerbs(t *testing.T) {
	t.Parallel()
	newVerbs(t, newHost(t)).walk(t)
}

func TestVerbsOnRealEngine(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := exec.CommandContext(ctx, "docker", "version").Run(); err != nil {
		t.Skipf("no Docker engine answers: %v", err)
	}
	newVerbs(t, newHost(t, "--docker")).walk(t)
}

func (v *verbs) walk(t *testing.T) {
	ctx := t.Context()
	v.make(t)
	v.deploy(t)
	v.feed(t)
	v.moveLink(t)
	left, err := v.p.Leftovers(ctx, mark)
	ok(t, err)
	want := []string{"app " + v.app, "container " + v.app + ".web.1", "network " + v.app, "service postgres:" + v.app}
	if !slices.Equal(left, want) {
		t.Errorf("leftovers: got %q, want %q", left, want)
	}
	v.remove(t)
	left, err = v.p.Leftovers(ctx, mark)
	ok(t, err)
	if len(left) > 0 {
		t.Errorf("leftovers at the end: got %q, want none", left)
	}
}

func (v *verbs) make(t *testing.T) {
	ctx := t.Context()
	ok(t, v.p.CreateNetwork(ctx, v.app, mark))
	ok(t, v.p.CreateNetwork(ctx, v.app, mark))
	matches(t, "network of another", v.p.CreateNetwork(ctx, v.app, "other"), dokku.ErrExists)
	ok(t, v.p.CreateService(ctx, v.service))
	baseImage(t, v.host, v.app)
	matches(t, "service again", v.p.CreateService(ctx, v.service), dokku.ErrExists)
	other := v.service
	other.Name, other.ImageVersion = v.app+"-2", "1.2"
	matches(t, "no such version", v.p.CreateService(ctx, other), dokku.ErrNoImage)
	matches(t, "pull of no such version", v.p.PullImage(ctx, "postgres:1.2"), dokku.ErrNoImage)
	for ref, want := range map[string]bool{"postgres:" + v.service.ImageVersion: true, "postgres:1.2": false} {
		if has, err := v.p.HasImage(ctx, ref); has != want || err != nil {
			t.Errorf("image %s: got %t, %v; want %t", ref, has, err, want)
		}
	}
	for name, want := range map[string]bool{v.app: true, v.app + "-2": false} {
		if there, err := v.p.ServiceExists(ctx, dokku.Service{Type: "postgres", Name: name}); there != want || err != nil {
			t.Errorf("service %s exists: got %t, %v; want %t", name, there, err, want)
		}
	}
	ok(t, v.p.CreateApp(ctx, v.app, mark))
	matches(t, "app again", v.p.CreateApp(ctx, v.app, mark), dokku.ErrExists)
	if free, err := v.p.FreeSpace(); free <= 0 || err != nil {
		t.Errorf("free space: got %d, %v", free, err)
	}
}

func (v *verbs) deploy(t *testing.T) {
	ctx := t.Context()
	values := map[string]string{"QUOTES": `x$y "q" 's' !b ` + "`c`" + `\d <&>`, "LINES": "a\nb\n", "EMPTY": "", dokku.MarkKey: "another"}
	ok(t, v.p.SetConfig(ctx, v.app, values))
	values[dokku.MarkKey] = mark
	if got, err := v.p.Config(ctx, v.app); err != nil || !maps.Equal(got, values) {
		t.Errorf("config: got %q, %v; want %q", got, err, values)
	}
	err := v.p.SetConfig(ctx, v.app, map[string]string{"no key": "s3cret"})
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "no key") {
		t.Errorf("invalid key: got %v", err)
	}
	ok(t, v.p.SetInitialNetwork(ctx, v.app, v.app))
	ok(t, v.p.SetDeployBranch(ctx, v.app, "main"))
	ok(t, v.p.SetScale(ctx, v.app, map[string]int{"web": 1, "worker": 0}))
	ok(t, v.p.SetPorts(ctx, v.app, []string{"https:443:5001", "http:80:5001"}))
	bundle := filepath.Join(v.git, "code.bundle")
	ok(t, v.p.SyncCode(ctx, v.app, bundle, v.ids["first"]))
	ok(t, v.p.SyncCode(ctx, v.app, bundle, v.ids["mood"])) // forward, with a history
	ok(t, v.p.SyncCode(ctx, v.app, bundle, v.ids["first"]))
	if err := v.p.SyncCode(ctx, v.app, bundle, strings.Repeat("ab", 20)); err == nil {
		t.Error("a commit that the bundle does not have: no error")
	}
	ok(t, v.p.SyncCode(ctx, v.app, filepath.Join(v.git, "happycows"), v.ids["first"])) // a remote
	ok(t, v.p.Link(ctx, v.service.Service, v.app, ""))
	ok(t, v.p.Link(ctx, v.service.Service, v.app, ""))
	var log bytes.Buffer
	if err := v.p.Build(ctx, v.app, &log); err != nil || !strings.Contains(log.String(), "Application deployed") {
		t.Fatalf("build: %v\n%s", err, log.String())
	}
	got, err := v.p.Processes(ctx, v.app)
	if want := map[string]int{"web": 1}; err != nil || !maps.Equal(got, want) {
		t.Errorf("processes: got %v, %v; want %v", got, err, want)
	}
	address, err := v.p.Web(ctx, v.app)
	if err != nil || !strings.HasSuffix(address, ":5001") {
		t.Errorf("web: got %q, %v; want an address with port 5001", address, err)
	}
}

// feed gives programs their input, in helper containers and where none start.
func (v *verbs) feed(t *testing.T) {
	ctx := t.Context()
	info, err := v.p.Info(ctx, v.service.Service)
	ok(t, err)
	container, err := v.p.Container(ctx, info.ContainerID)
	ok(t, err)
	_, password, _ := strings.Cut(info.DSN, "://postgres:")
	password, _, _ = strings.Cut(password, "@")
	env := []string{"PGPASSWORD=" + password}
	database := strings.ReplaceAll(v.app, "-", "_")
	psql := []string{"psql", "-h", "127.0.0.1", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-d", database}
	withFile := func(file string) []string {
		if file == "" {
			return psql
		}
		return append(slices.Clone(psql), "-f", file)
	}
	for name, host := range map[string]*dokku.Host{"aside": v.p, "within": v.plugin("SANDBOX_DOCKER_RUN_FAILS=1")} {
		var fallbacks []error
		tools := &dokku.Tools{Host: host, Container: container.ID, Image: container.ImageID, Purpose: "x", Folder: t.TempDir(),
			Fallback: func(why error) { fallbacks = append(fallbacks, why) }}
		ok(t, tools.Feed(ctx, psql, env, strings.NewReader("create table "+name+" (a int); insert into "+name+" select 1;")))
		ok(t, tools.WithFile(ctx, withFile, env, []byte("insert into "+name+" select 2;")))
		count := v.must(t, "docker", "exec", container.ID, "psql", "-U", "postgres", "-Atc", "select sum(a) from "+name, database)
		if count != "3\n" {
			t.Errorf("%s: sum of rows: got %q, want 3", name, count)
		}
		if err := tools.Feed(ctx, psql, env, strings.NewReader("select nonsense;")); err == nil || !strings.Contains(err.Error(), `column "nonsense" does not exist`) {
			t.Errorf("%s: failed statement: got %v", name, err)
		}
		cut := errors.New("the segment is damaged")
		err := tools.Feed(ctx, psql, env, io.MultiReader(strings.NewReader("select 1;"), iotest.ErrReader(cut)))
		matches(t, name+": input cut short", err, cut)
		// With a real engine helpers start in any case.
		if want := map[bool]int{true: 4}[name == "within" && v.p.Docker != "docker"]; len(fallbacks) != want {
			t.Errorf("%s: fallbacks: got %d, want %d: %v", name, len(fallbacks), want, fallbacks)
		}
	}
}

// moveLink gives the app another service and the first one back.
func (v *verbs) moveLink(t *testing.T) {
	ctx := t.Context()
	other := v.service
	other.Name = v.app + "-2"
	ok(t, v.p.CreateService(ctx, other))
	ok(t, v.p.Link(ctx, other.Service, v.app, ""))
	before, err := v.p.Config(ctx, v.app)
	ok(t, err)
	ok(t, v.p.SetConfig(ctx, v.app, map[string]string{"DATABASE_URL": before["DOKKU_POSTGRES_AQUA_URL"]}))
	ok(t, v.p.UnsetConfig(ctx, v.app, []string{"DOKKU_POSTGRES_AQUA_URL", "NO_SUCH_KEY"}))
	after, err := v.p.Config(ctx, v.app)
	ok(t, err)
	want := maps.Clone(before)
	delete(want, "DOKKU_POSTGRES_AQUA_URL")
	want["DATABASE_URL"] = before["DOKKU_POSTGRES_AQUA_URL"]
	if !maps.Equal(after, want) {
		t.Errorf("moved: got %q, want %q", after, want)
	}
	ok(t, v.p.SetConfig(ctx, v.app, map[string]string{"DATABASE_URL": before["DATABASE_URL"]}))
	ok(t, v.p.Unlink(ctx, other.Service, v.app))
	ok(t, v.p.Unlink(ctx, other.Service, v.app))
	// Stopped, it has no container.
	v.must(t, "dokku", "postgres:stop", other.Name)
	matches(t, "stopped service, another mark", v.p.DestroyService(ctx, other.Service, "other"), dokku.ErrNotOurs)
	ok(t, v.p.DestroyService(ctx, other.Service, mark))
}

func (v *verbs) remove(t *testing.T) {
	ctx := t.Context()
	for _, m := range []string{"", "other"} {
		matches(t, "app", v.p.DestroyApp(ctx, v.app, m, time.Unix(1, 0)), dokku.ErrNotOurs)
		matches(t, "service", v.p.DestroyService(ctx, v.service.Service, m), dokku.ErrNotOurs)
		matches(t, "network", v.p.RemoveNetwork(ctx, v.app, m), dokku.ErrNotOurs)
	}
	if err := v.p.DestroyService(ctx, v.service.Service, mark); err == nil {
		t.Error("a linked service was destroyed")
	}
	for range 2 {
		ok(t, v.p.DestroyApp(ctx, v.app, mark, time.Time{}))
		ok(t, v.p.DestroyService(ctx, v.service.Service, mark))
		ok(t, v.p.RemoveNetwork(ctx, v.app, mark))
	}
	_, err := v.p.Web(ctx, v.app)
	matches(t, "web of an app that is gone", err, dokku.ErrNotFound)
	if there, err := v.p.AppExists(ctx, v.app); there || err != nil {
		t.Errorf("app exists: got %t, %v", there, err)
	}
}

// TestUnmarkedApp has an app that a killed run may have made and not marked.
func TestUnmarkedApp(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.plugin()
	ctx := t.Context()
	began := time.Now()
	for name, spoil := range map[string][]string{"fresh": nil, "configured": {"config:set", "configured", "A=b"}} {
		h.must(t, "dokku", "apps:create", name)
		if spoil != nil {
			h.must(t, append([]string{"dokku"}, spoil...)...)
		}
	}
	matches(t, "no time given", p.DestroyApp(ctx, "fresh", mark, time.Time{}), dokku.ErrNotOurs)
	matches(t, "made before", p.DestroyApp(ctx, "fresh", mark, time.Now().Add(time.Minute)), dokku.ErrNotOurs)
	matches(t, "with config", p.DestroyApp(ctx, "configured", mark, began), dokku.ErrNotOurs)
	ok(t, p.DestroyApp(ctx, "fresh", mark, began))
	if there, err := p.AppExists(ctx, "fresh"); there || err != nil {
		t.Errorf("app exists: got %t, %v", there, err)
	}
}
