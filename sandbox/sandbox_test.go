package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/sandbox/postgres"
)

// noted is what the probe plugin noted since the last call.
func (h *host) noted(t *testing.T) []string {
	t.Helper()
	log := filepath.Join(h.dir, "var/log/dokku/probe.log")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func TestTriggersOfADeploy(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	git := t.TempDir()
	ids := appRepository(t, git)
	h.must(t, "dokku", "apps:create", "cows")
	h.noted(t)
	h.must(t, "dokku", "git:sync", "--build", "cows", git+"/happycows", ids["first"])

	want := []string{
		"post-extract cows TREE " + ids["first"] + " pid=N dir=TREE",
		"pre-receive-app cows dockerfile TREE " + ids["first"] + " pid=N dir=TREE",
		"pre-build dockerfile cows TREE pid=N dir=TREE",
		"post-build dockerfile cows TREE pid=N dir=TREE",
		"pre-release-builder dockerfile cows dokku/cows:latest pid=N dir=TREE",
		"post-release-builder dockerfile cows dokku/cows:latest pid=N dir=TREE",
		"pre-deploy cows latest pid=N dir=TREE",
		"post-deploy cows '' '' latest pid=N dir=TREE",
		"receive-app cows " + ids["first"] + " pid=N dir=",
	}
	got := h.noted(t)
	pids := map[string]bool{}
	for n, line := range got {
		pids[regexp.MustCompile(`pid=\d+`).FindString(line)] = true
		line = regexp.MustCompile(`/\S*git_build_app_repo\.\d+`).ReplaceAllString(line, "TREE")
		got[n] = regexp.MustCompile(`pid=\d+`).ReplaceAllString(line, "pid=N")
	}
	if len(got) > 0 {
		got[len(got)-1] = regexp.MustCompile(`dir=.*`).ReplaceAllString(got[len(got)-1], "dir=")
	}
	if !slices.Equal(got, want) {
		t.Errorf("triggers\ngot  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if len(pids) != 1 {
		t.Errorf("DOKKU_PID took %d values in one run, want 1", len(pids))
	}
	tab, err := os.ReadFile(filepath.Join(h.dir, "crontab"))
	if err != nil {
		t.Fatal(err)
	}
	const task = "0 3 * * * /bin/true probe &>> /var/log/dokku/probe.log\n"
	if _, tasks, _ := strings.Cut(string(tab), "SHELL=/bin/bash\n\n"); tasks != task {
		t.Errorf("crontab: got %q, want %q", tasks, task)
	}
}

func TestFailedBuildAndTriggerFailTheirCaller(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	git := t.TempDir()
	ids := appRepository(t, git)
	h.must(t, "dokku", "apps:create", "cows")
	h.must(t, "dokku", "git:sync", "--build", "cows", git+"/happycows", ids["first"])
	image := h.must(t, "docker", "inspect", "--format", "{{.Image}}", "cows.web.1")

	dockerfile := filepath.Join(git, "happycows/Dockerfile")
	if err := os.WriteFile(dockerfile, []byte("FROM scratch\nRUN false\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("git", "-C", git+"/happycows", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qam", "break").CombinedOutput(); err != nil {
		t.Fatalf("commit: %v\n%s", err, out)
	}
	if _, stderr, code := h.run(t, "dokku", "git:sync", "--build", "cows", git+"/happycows", "main"); code != 1 || !strings.Contains(stderr, "App build failed") {
		t.Errorf("failed build: exit %d, stderr %q; want 1 and \"App build failed\"", code, stderr)
	}
	for _, ref := range []string{"cows.web.1", "dokku/cows:latest"} {
		format := map[string]string{"cows.web.1": "{{.Image}}", "dokku/cows:latest": "{{.Id}}"}[ref]
		if got := h.must(t, "docker", "inspect", "--format", format, ref); got != image {
			t.Errorf("%s after a failed build: got %s, want %s", ref, got, image)
		}
	}

	// A crash leaves the old container, but the tag means the new image; a
	// restart then starts that one, and fails too.
	if _, _, code := h.run(t, "dokku", "git:sync", "--build", "cows", git+"/happycows", ids["crash"]); code != 1 {
		t.Errorf("failed deploy: exit %d, want 1", code)
	}
	if got := h.must(t, "docker", "inspect", "--format", "{{.Image}}", "cows.web.1"); got != image {
		t.Errorf("container after a failed deploy: got %s, want %s", got, image)
	}
	if got := h.must(t, "docker", "inspect", "--format", "{{.Id}}", "dokku/cows:latest"); got == image {
		t.Errorf("tag after a failed deploy: got the old image %s, want the new one", got)
	}
	if _, _, code := h.run(t, "dokku", "ps:restart", "cows"); code != 1 {
		t.Errorf("restart after a failed deploy: exit %d, want 1", code)
	}
	// Setting config only warns of it.
	if _, stderr, code := h.run(t, "dokku", "config:set", "cows", "A=b"); code != 0 || !strings.Contains(stderr, "Failure while restarting app") {
		t.Errorf("config:set after a failed deploy: exit %d, stderr %q; want 0 and a warning", code, stderr)
	}
}

// TestPostBuildThatFails has a plugin end a deploy when the image is built:
// the old container and the image that it runs from stay. Dokku's builders give
// that trigger the app's config as environment.
func TestPostBuildThatFails(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	git := t.TempDir()
	ids := appRepository(t, git)
	h.must(t, "dokku", "apps:create", "cows")
	h.must(t, "dokku", "git:sync", "--build", "cows", git+"/happycows", ids["first"])
	h.must(t, "dokku", "config:set", "--no-restart", "cows", "MOOD=fine")
	serving := h.must(t, "docker", "inspect", "--format", "{{.Id}} {{.Image}}", "cows.web.1")
	image := h.must(t, "docker", "inspect", "--format", "{{.Id}}", "dokku/cows:latest")

	guard := filepath.Join(h.dir, "var/lib/dokku/plugins/enabled/guard")
	if err := os.Mkdir(guard, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(guard, "post-build"), []byte("#!/bin/sh\necho \"no, $MOOD\"\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := h.run(t, "dokku", "git:sync", "--build", "cows", git+"/happycows", ids["crash"])
	if code != 1 || !strings.Contains(stdout, "no, fine\n") || !strings.Contains(stderr, "App build failed") {
		t.Errorf("got exit %d, stdout %q, stderr %q; want 1, the app's config, and \"App build failed\"", code, stdout, stderr)
	}
	if got := h.must(t, "docker", "inspect", "--format", "{{.Id}} {{.Image}}", "cows.web.1"); got != serving {
		t.Errorf("container: got %s, want %s", got, serving)
	}
	if got := h.must(t, "docker", "inspect", "--format", "{{.Id}}", "dokku/cows:latest"); got != image {
		t.Errorf("latest image: got %s, want %s", got, image)
	}
}

func TestPluginSubcommands(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	// The plugin is called backup, whatever it is.
	for _, c := range []struct {
		argv []string
		want string
		code int
	}{
		{[]string{"dokku", "backup:show", "a", "--flag", "x y"}, "<backup:show><a><--flag><x y>\napp= quiet= flags=--flag command=backup:show\n", 0},
		{[]string{"dokku", "--app", "cows", "--quiet", "backup:show", "a"}, "<backup:show><a>\napp=cows quiet=1 flags=--app=cows --quiet command=backup:show\n", 0},
		{[]string{"dokku", "backup"}, "<backup>\napp= quiet= flags= command=backup\n", 0},
		{[]string{"dokku", "backup:nope"}, "", 1},
	} {
		stdout, stderr, code := h.run(t, c.argv...)
		if stdout != c.want || code != c.code {
			t.Errorf("%q: got %q, exit %d (%s); want %q, exit %d", c.argv, stdout, code, stderr, c.want, c.code)
		}
	}
	_, stderr, _ := h.run(t, "dokku", "backup:nope", "x")
	want := " !     `backup:nope x` is not a dokku command.\n !     See `dokku help` for a list of available commands.\n"
	if stderr != want {
		t.Errorf("unknown command: got %q, want %q", stderr, want)
	}
	if out := h.must(t, "dokku", "help"); !strings.Contains(out, "    probe      Note what Dokku calls\n") {
		t.Errorf("help does not show the plugin's line:\n%s", out)
	}
}

func TestServicesSideBySide(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	names := []string{"a", "b-1", "c"}
	var wg sync.WaitGroup
	for _, n := range names {
		wg.Go(func() {
			if _, stderr, code := h.run(t, "dokku", "postgres:create", n); code != 0 {
				t.Errorf("create %s: exit %d\n%s", n, code, stderr)
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, n := range names {
		ip := strings.TrimSpace(h.must(t, "dokku", "postgres:info", n, "--internal-ip"))
		if !strings.HasPrefix(ip, "127.") || seen[ip] {
			t.Errorf("address of %s: got %q, want one of its own", n, ip)
		}
		seen[ip] = true
	}
	h.must(t, "docker", "exec", "dokku.postgres.a", "psql", "-U", "postgres", "-qc", "create table t as select generate_series(1,5)", "a")
	load := exec.Command("sh", "-c", "dokku postgres:export a | dokku postgres:import b-1")
	load.Env = h.env
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("export | import: %v\n%s", err, out)
	}
	if got := h.must(t, "docker", "exec", "dokku.postgres.b-1", "psql", "-U", "postgres", "-Atc", "select count(*) from t", "b_1"); got != "5\n" {
		t.Errorf("rows after import: got %q, want 5", got)
	}
	dsn := strings.TrimSpace(h.must(t, "dokku", "postgres:info", "a", "--dsn"))
	ip := strings.TrimSpace(h.must(t, "dokku", "postgres:info", "a", "--internal-ip"))
	tls := exec.Command("psql", strings.Replace(dsn, "dokku-postgres-a", ip, 1)+"?sslmode=require", "-Atc", "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
	if out, err := tls.CombinedOutput(); err != nil || string(out) != "t\n" {
		t.Errorf("connection with TLS: got %q, %v; want t", out, err)
	}
}

func TestHelperContainer(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must(t, "dokku", "postgres:create", "db")
	password := regexp.MustCompile(`postgres:([0-9a-f]{32})@`).FindStringSubmatch(h.must(t, "dokku", "postgres:info", "db", "--dsn"))[1]
	id := strings.TrimSpace(h.must(t, "docker", "inspect", "--format", "{{.Id}}", "dokku.postgres.db"))
	image := strings.TrimSpace(h.must(t, "dokku", "postgres:info", "db", "--version"))
	out := t.TempDir()
	fifo := filepath.Join(out, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	h.env = append(h.env, "PGPASSWORD="+password)
	head := make(chan string, 1)
	go func() {
		dump, err := os.ReadFile(fifo)
		if err != nil || len(dump) < 5 {
			head <- "nothing"
			return
		}
		head <- string(dump[:5])
	}()
	h.must(t, "docker", "run", "--rm", "--pull", "never", "--network", "container:"+id, "-e", "PGPASSWORD", "-v", out+":/out",
		"--entrypoint", "pg_dump", image, "-Fc", "-Z0", "-h", "127.0.0.1", "-U", "postgres", "--no-sync", "-f", "/out/fifo", "db")
	if got := <-head; got != "PGDMP" {
		t.Errorf("dump through the FIFO begins with %q, want PGDMP", got)
	}
	if left := h.must(t, "docker", "ps", "-aq", "--filter", "name=helper"); left != "" {
		t.Errorf("--rm left %q", left)
	}

	for _, c := range []struct {
		env  string
		argv []string
		code int
	}{
		{"", []string{"docker", "run", "--rm", "--pull", "never", "nosuch:1"}, 125},
		{"", []string{"docker", "run", "--rm", "--entrypoint", "nosuch", image}, 127},
		{"SANDBOX_DOCKER_RUN_FAILS=1", []string{"docker", "run", "--rm", "--entrypoint", "true", image}, 125},
	} {
		again := *h
		again.env = append(slices.Clone(h.env), c.env)
		if _, stderr, code := again.run(t, c.argv...); code != c.code || !strings.HasPrefix(stderr, "docker: ") {
			t.Errorf("%s %q: exit %d, stderr %q; want %d", c.env, c.argv, code, stderr, c.code)
		}
	}
}

// TestKilledContainer: docker kill ends the program and the command that waits
// for it.
func TestKilledContainer(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	server, err := postgres.Newest()
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command(h.dir+"/bin/docker", "run", "--rm", "--name", "helper", "--entrypoint", "sleep", "postgres:"+server.Version, "1000")
	run.Env = h.env
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, _, code := h.run(t, "docker", "kill", "helper"); code == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := run.Wait(); run.ProcessState.ExitCode() != 137 {
		t.Errorf("docker run whose container was killed: %v, want exit 137", err)
	}
}

// TestKilledExecLeavesItsProgram holds a fact that the plugin has to live with
// (moby#9098).
func TestKilledExecLeavesItsProgram(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must(t, "dokku", "postgres:create", "db")
	sleep := exec.Command(h.dir+"/bin/docker", "exec", "dokku.postgres.db", "psql", "-U", "postgres", "-c", "select pg_sleep(600)")
	sleep.Env = h.env
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	sleeping := func() string {
		return strings.TrimSpace(h.must(t, "docker", "exec", "dokku.postgres.db", "psql", "-U", "postgres", "-Atc",
			"select count(*) from pg_stat_activity where query = 'select pg_sleep(600)'"))
	}
	for range 100 {
		if sleeping() == "1" {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := sleep.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	sleep.Wait()
	time.Sleep(200 * time.Millisecond)
	if got := sleeping(); got != "1" {
		t.Errorf("backends after the exec was killed: got %s, want 1", got)
	}
}
