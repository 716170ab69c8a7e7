package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// host is a sandbox that a test runs commands on.
type host struct {
	dir string
	env []string
	// built is the folder that holds bin/sandbox.
	built string
}

// probePlugin copies the probe plugin. Its file "commands" has another name in this tree, since Dokku runs every file of that name
// that it finds below a plugin, at any depth.
func probePlugin(t *testing.T) string {
	probe := filepath.Join(t.TempDir(), "probe")
	if err := os.CopyFS(probe, os.DirFS("testdata/probe")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(probe, "commands.sh"), filepath.Join(probe, "commands")); err != nil {
		t.Fatal(err)
	}
	return probe
}

// newHost builds the program, brings a host up with the probe plugin, and
// takes it down when the test ends; nothing may be left running then.
func newHost(t *testing.T, flags ...string) *host {
	t.Helper()
	built := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(built, "bin/sandbox"), ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	probe := probePlugin(t)
	h := &host{dir: dir, built: built, env: os.Environ()}
	args := append([]string{built + "/bin/sandbox", "up", "--plugin", probe}, append(flags, dir)...)
	stdout, stderr, code := h.run(t, args...)
	if code != 0 {
		t.Fatalf("up: exit %d\n%s", code, stderr)
	}
	for line := range strings.Lines(stdout) {
		if !strings.HasPrefix(line, "export ") {
			t.Fatalf("up printed %q, want export lines only", line)
		}
	}
	t.Cleanup(func() {
		if _, stderr, code := h.run(t, built+"/bin/sandbox", "down", dir); code != 0 {
			t.Errorf("down: exit %d\n%s", code, stderr)
		}
		if left, _ := exec.Command("pgrep", "-f", dir).Output(); len(left) > 0 {
			t.Errorf("down left processes: %s", left)
		}
	})
	h.env = append(h.env, "PATH="+dir+"/bin:"+os.Getenv("PATH"), "SANDBOX_UPTIME=0.5")
	return h
}

// run runs a command with an end to it.
func (h *host) run(t *testing.T, argv ...string) (stdout, stderr string, code int) {
	t.Helper()
	program := argv[0]
	for _, kv := range h.env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok && !strings.Contains(argv[0], "/") {
			for _, d := range filepath.SplitList(path) {
				if _, err := os.Stat(filepath.Join(d, argv[0])); err == nil {
					program = filepath.Join(d, argv[0])
					break
				}
			}
		}
	}
	cmd := exec.Command(program, argv[1:]...)
	cmd.Args[0] = argv[0]
	if program != argv[0] {
		cmd.Args[0] = program
	}
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = h.env, &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatalf("%q: %v", argv, err)
	}
	timer := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatalf("%q: %v", argv, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed and returns its output.
func (h *host) must(t *testing.T, argv ...string) string {
	t.Helper()
	stdout, stderr, code := h.run(t, argv...)
	if code != 0 {
		t.Fatalf("%q: exit %d\n%s%s", argv, code, stdout, stderr)
	}
	return stdout
}

// appRepository makes a repository of a small app below dir: commits first,
// mood and crash, and a bundle of the first two. It returns their ids.
func appRepository(t *testing.T, dir string) map[string]string {
	t.Helper()
	repo := filepath.Join(dir, "happycows")
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com",
			"GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	commit := func(files map[string]string) string {
		for name, text := range files {
			path := filepath.Join(repo, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		git("add", "-A")
		git("commit", "-q", "-m", "change")
		return git("rev-parse", "HEAD")
	}
	if err := os.MkdirAll(repo, 0o755); err != nil {
		t.Fatal(err)
	}
	git("init", "-q", "-b", "main")
	ids := map[string]string{}
	ids["first"] = commit(map[string]string{"Procfile": "web: sleep 100000\n", "db/migrate/001_cows.sql": "",
		"Dockerfile": "FROM postgres:15.18\nCOPY . /app\nWORKDIR /app\nENTRYPOINT []\nEXPOSE 5000\nENV PORT=5000\nCMD [\"/app/cows\"]\n"})
	ids["mood"] = commit(map[string]string{"db/migrate/002_mood.sql": ""})
	git("bundle", "create", "-q", filepath.Join(dir, "code.bundle"), "main")
	git("checkout", "-q", "-b", "crash")
	ids["crash"] = commit(map[string]string{"Procfile": "web: false\n"})
	git("checkout", "-q", "main")
	return ids
}
