package dokku

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program writes an executable shell script and returns its path.
func program(t *testing.T, script string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "program")
	must(t, os.WriteFile(name, []byte("#!/bin/sh\n"+script), 0o755))
	return name
}

func TestNew(t *testing.T) {
	h := New([]string{"PATH=/bin"})
	if h.LibRoot != "/var/lib/dokku" || h.LibHostRoot != h.LibRoot || h.Root != "/home/dokku" || h.LogsDir != "/var/log/dokku" ||
		h.Docker != "docker" || h.PluginsEnabled != "/var/lib/dokku/plugins/enabled" {
		t.Errorf("defaults: got %+v", h)
	}
	h = New([]string{"DOKKU_LIB_ROOT=/l", "DOKKU_LIB_HOST_ROOT=/outside/l", "DOKKU_ROOT=/r", "DOKKU_LOGS_DIR=/g", "DOCKER_BIN=podman", "PLUGIN_ENABLED_PATH=/p"})
	if h.LibRoot != "/l" || h.Root != "/r" || h.LogsDir != "/g" || h.Docker != "podman" || h.PluginsEnabled != "/p" {
		t.Errorf("set: got %+v", h)
	}
	for path, want := range map[string]string{"/l/data/backup/x": "/outside/l/data/backup/x", "/l": "/outside/l", "/tmp/x": "/tmp/x", "/lx": "/lx"} {
		if got := h.HostPath(path); got != want {
			t.Errorf("HostPath(%q): got %q, want %q", path, got, want)
		}
	}
}

func TestRunEnvironment(t *testing.T) {
	h := New([]string{"PATH=" + os.Getenv("PATH"), "KEPT=yes", "DOKKU_QUIET_OUTPUT=1", "DOKKU_TRACE=1", "DOKKU_APPS_FORCE_DELETE=1",
		"DOKKU_APP_NAME=x", "DOKKU_GLOBAL_FLAGS=--x", "DOKKU_PID=7", "SSH_ORIGINAL_COMMAND=x", "DOKKU_LIB_ROOT=/l"})
	out, err := h.Run(t.Context(), []string{program(t, "env | grep -v '^\\(PWD\\|SHLVL\\|_\\|OLDPWD\\)='")}, "PGPASSWORD=s3cret")
	must(t, err)
	got := strings.Fields(string(out))
	slices.Sort(got)
	want := []string{"DOKKU_LIB_ROOT=/l", "KEPT=yes", "PATH=" + os.Getenv("PATH"), "PGPASSWORD=s3cret"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunFailure(t *testing.T) {
	h := New(os.Environ())
	tests := []struct {
		name, script, want string
		code               int
	}{
		{"dokku's warning", `echo " !     Postgres service nope does not exist" >&2; exit 1`, "program postgres:info: Postgres service nope does not exist (exit status 1)", 1},
		{"last lines only", `for i in 1 2 3 4 5; do echo line $i; done >&2; exit 20`, "program postgres:info: line 3; line 4; line 5 (exit status 20)", 20},
		{"query", `printf 'pg_dump: error: query failed: ERROR:  no such thing\npg_dump: detail: Query was: SELECT a\nFROM b\nWHERE c\nORDER BY d\n' >&2; exit 1`, "program postgres:info: pg_dump: error: query failed: ERROR:  no such thing (exit status 1)", 1},
		{"silent", `exit 3`, "program postgres:info failed and did not say why (exit status 3)", 3},
		{"missing program in docker exec", `echo 'exec: "nosuch": executable file not found'; exit 126`, `program postgres:info: exec: "nosuch": executable file not found (exit status 126)`, 126},
		{"output is not told", `echo DATABASE_PASSWORD=hunter2; exit 1`, "program postgres:info failed and did not say why (exit status 1)", 1},
		{"dsn", `echo "cannot reach postgres://postgres:0123abc@dokku-postgres-x:5432/x" >&2; exit 1`, "program postgres:info: cannot reach postgres://postgres:***@dokku-postgres-x:5432/x (exit status 1)", 1},
		{"secret", `echo "bad password $PGPASSWORD" >&2; exit 1`, "program postgres:info: bad password *** (exit status 1)", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := program(t, tt.script)
			_, err := h.Run(t.Context(), []string{path, "postgres:info", "hidden"}, "PGPASSWORD=s3cret")
			if err == nil {
				t.Fatal("got no error")
			}
			if got := strings.TrimPrefix(err.Error(), filepath.Dir(path)+"/"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got := exitCode(err); got != tt.code {
				t.Errorf("got code %d, want %d", got, tt.code)
			}
		})
	}
	if _, err := h.Run(t.Context(), []string{"/nonexistent/dokku"}); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: got %v, want one matching os.ErrNotExist", err)
	}
}

func TestRunCancelEndsTheChildrenToo(t *testing.T) {
	h := New(os.Environ())
	pidFile := filepath.Join(t.TempDir(), "pid")
	path := program(t, "sleep 60 & echo $! >'"+pidFile+".new'; mv '"+pidFile+".new' '"+pidFile+"'; wait")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if _, err := os.Stat(pidFile); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	begin := time.Now()
	_, err := h.Run(ctx, []string{path})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want one matching context.Canceled", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	data, err := os.ReadFile(pidFile)
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	must(t, err)
	for range 100 {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Error("a child of the cancelled program still runs")
}

func TestExecStreams(t *testing.T) {
	h := New(os.Environ())
	var out bytes.Buffer
	must(t, h.Exec(t.Context(), Command{Argv: []string{"tr", "a-z", "A-Z"}, Stdin: strings.NewReader("moo"), Stdout: &out}))
	if got, want := out.String(), "MOO"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTooOld(t *testing.T) {
	for version, want := range map[string]bool{"0.38.27": false, "0.30.0": false, "0.29.4": true, "0.4.1": true, "1.0.0": false, "master-abc": false, "": false} {
		if got := tooOld(version); got != want {
			t.Errorf("tooOld(%q): got %v, want %v", version, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	h := New(os.Environ())
	h.Dokku = program(t, `[ "$*" = version ] && echo "dokku version 0.38.27"`)
	if got, err := h.Version(t.Context()); err != nil || got != "0.38.27" {
		t.Errorf("got %q, %v; want 0.38.27", got, err)
	}
	h.Dokku = program(t, `echo "dokku version 0.29.0"`)
	if _, err := h.Version(t.Context()); !errors.Is(err, ErrOldDokku) {
		t.Errorf("got %v, want one matching ErrOldDokku", err)
	}
}
