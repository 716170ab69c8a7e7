package dokku

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long a cancelled program has for its own clean-up before it is killed.
const stopGrace = 10 * time.Second

// dirty are the variables by which an outer dokku run, or the person's terminal, would change what an inner `dokku`
// prints or does. DOKKU_PID goes too, so that each inner run is one of its own. Source: the `dokku` script, parse_args
// and has_tty in Dokku's plugins/common/functions; SSH_TTY makes a datastore's export call stty.
var dirty = []string{
	"DOKKU_QUIET_OUTPUT", "DOKKU_TRACE", "DOKKU_APPS_FORCE_DELETE", "DOKKU_APP_NAME", "DOKKU_GLOBAL_FLAGS",
	"DOKKU_COMMAND", "DOKKU_PID", "SKIP_REBUILD", "SSH_ORIGINAL_COMMAND", "SSH_TTY",
	"GIT_DIR", "GIT_WORK_TREE", "GIT_QUARANTINE_PATH",
}

func cleanEnviron(environ []string) []string {
	var clean []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.Contains(dirty, name) {
			clean = append(clean, kv)
		}
	}
	return clean
}

// Command is one program to run.
type Command struct {
	Argv    []string
	Secrets []string  // NAME=value, added to the environment; the values are cut out of any error
	Stdin   io.Reader // nil: empty
	Stdout  io.Writer // nil: dropped
	Stderr  io.Writer // nil: dropped; the last lines are in the error either way
}

// Exec runs c to its end, without a terminal. When ctx ends, the program and all that it started get SIGTERM and, after
// ten seconds, SIGKILL; the error then matches ctx's. A program that fails gives a *RunError.
func (h *Host) Exec(ctx context.Context, c Command) error {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(slices.Clone(h.environ), c.Secrets...)
	cmd.Stdin = c.Stdin
	cmd.Stdout = c.Stdout
	var stderr tail
	cmd.Stderr = &stderr
	if c.Stderr != nil {
		cmd.Stderr = io.MultiWriter(&stderr, c.Stderr)
	}
	// A session of its own: no terminal to prompt on, and one process group to signal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace

	err := cmd.Run()
	if err == nil {
		return nil
	}
	name := filepath.Base(c.Argv[0])
	if len(c.Argv) > 1 {
		name += " " + c.Argv[1]
	}
	if ctx.Err() != nil {
		if cmd.Process != nil {
			// The leader is gone; its children may have outlived SIGTERM. That none is left is no failure.
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		return fmt.Errorf("%s: %w", name, context.Cause(ctx))
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("run %s: %w", name, err)
	}
	return &RunError{Name: name, Code: exit.ExitCode(), Detail: redact(stderr.lastLines(), c.Secrets)}
}

// Run is Exec for a program with little output, which it returns.
func (h *Host) Run(ctx context.Context, argv []string, secrets ...string) ([]byte, error) {
	var out bytes.Buffer
	err := h.Exec(ctx, Command{Argv: argv, Secrets: secrets, Stdout: &out})
	var failed *RunError
	if errors.As(err, &failed) && failed.Detail == "" && (failed.Code == 126 || failed.Code == 127) {
		// `docker exec` of a missing program explains itself on stdout.
		var said tail
		_, _ = said.Write(out.Bytes())
		failed.Detail = redact(said.lastLines(), secrets)
	}
	return out.Bytes(), err
}

// RunError is a program that ended with an error. Its text holds no password of a DSN and no value of Command.Secrets.
type RunError struct {
	Name   string // the program and its first argument
	Code   int    // exit code, -1 when ended by a signal
	Detail string // the last lines of stderr, Dokku's " !     " cut off
}

func (e *RunError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("%s failed and did not say why (exit status %d)", e.Name, e.Code)
	}
	return fmt.Sprintf("%s: %s (exit status %d)", e.Name, e.Detail, e.Code)
}

// exitCode is the exit code that err tells of, 0 when it is none of a program.
func exitCode(err error) int {
	var failed *RunError
	if errors.As(err, &failed) {
		return failed.Code
	}
	return 0
}

// dsnPassword reaches to the last @ of a word: a password may hold one.
var dsnPassword = regexp.MustCompile(`(://[^:/@\s]*:)\S+@`)

// httpUser is the part of an address of a git remote that may be a token.
var httpUser = regexp.MustCompile(`(https?://)[^/\s]*@`)

// redact replaces the passwords of DSNs, the users of web addresses, and the values of secrets (NAME=value) in s.
func redact(s string, secrets []string) string {
	for _, kv := range secrets {
		if _, value, _ := strings.Cut(kv, "="); value != "" {
			s = strings.ReplaceAll(s, value, "***")
		}
	}
	return httpUser.ReplaceAllString(dsnPassword.ReplaceAllString(s, "${1}***@"), "${1}***@")
}

// tail keeps the end of what is written to it.
type tail struct{ buf []byte }

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*tailSize {
		t.buf = slices.Clone(t.buf[len(t.buf)-tailSize:])
	}
	return len(p), nil
}

// failedQuery is how PostgreSQL's programs begin the text, often of many lines, of the query that failed: the reason is before it.
var failedQuery = regexp.MustCompile(`(?m)^\w+: (detail: )?(Query|Command) was: `)

// lastLines joins the last three lines that say something.
func (t *tail) lastLines() string {
	var lines []string
	text := string(t.buf)
	if at := failedQuery.FindStringIndex(text); at != nil && at[0] > 0 {
		text = text[:at[0]]
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "!"))
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
