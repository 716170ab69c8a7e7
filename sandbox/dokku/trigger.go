package dokku

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// Plugn answers `plugn ARGS`, as far as plugins use it.
func (h *Host) Plugn(ctx context.Context, args []string, in io.Reader, out, stderr io.Writer) error {
	c := &call{h: h, ctx: ctx, in: in, out: out, err: stderr, env: append(os.Environ(), h.environment()...)}
	if len(args) < 2 || args[0] != "trigger" {
		return fail("the sandbox's plugn knows only: plugn trigger NAME ARGS")
	}
	switch name, args := args[1], args[2:]; name {
	case "scheduler-cron-write":
		return c.writeCrontab(args)
	case "app-exists":
		_, err := c.h.loadApp(append(args, "")[0])
		return err
	default:
		return c.trigger("", name, args...)
	}
}

// hooks are the programs that the enabled plugins have for a trigger, in the
// plugins' order.
func (h *Host) hooks(name string) []string {
	found, err := filepath.Glob(filepath.Join(h.plugins("enabled"), "*", name))
	if err != nil {
		return nil
	}
	sort.Strings(found)
	var programs []string
	for _, p := range found {
		if executable(p) {
			programs = append(programs, p)
		}
	}
	return programs
}

// trigger fires a trigger in dir ("" is the caller's folder). The first plugin
// that fails stops the rest and fails the caller.
func (c *call) trigger(dir, name string, args ...string) error {
	for _, program := range c.h.hooks(name) {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, c.env, c.out, c.err
		if err := c.runToEnd(cmd); err != nil {
			return err
		}
	}
	return nil
}

// crontabHead is what Dokku's crontab begins with (plugins/cron/templates), but for the folder in which the sandbox's dokku is.
const crontabHead = "PATH=%s:/usr/local/bin:/usr/bin:/bin\nSHELL=/bin/bash\n\n"

// writeCrontab asks the plugins for their entries and writes DIR/crontab, the
// stand-in for user dokku's, or removes it. As in Dokku one malformed line
// refuses it all, and a blank one drops every entry.
func (c *call) writeCrontab(args []string) error {
	var entries bytes.Buffer
	for _, program := range c.h.hooks("cron-entries") {
		cmd := exec.Command(program, "docker-local")
		cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &entries, c.err
		if err := c.runToEnd(cmd); err != nil {
			return err
		}
	}
	var tasks strings.Builder
	for line := range strings.Lines(entries.String()) {
		line = strings.TrimSuffix(line, "\n")
		if strings.TrimSpace(line) == "" {
			tasks.Reset()
			break
		}
		parts := strings.Split(line, ";")
		if len(parts) < 2 || len(parts) > 3 {
			return fail("Invalid injected cron task: %v", line)
		}
		fmt.Fprintf(&tasks, "%s %s", parts[0], parts[1])
		if len(parts) == 3 {
			fmt.Fprintf(&tasks, " &>> %s", parts[2])
		}
		tasks.WriteString("\n")
	}
	if err := c.h.putCrontab(tasks.String()); err != nil {
		return err
	}
	c.info1("Updated schedule file")
	return c.trigger("", "scheduler-cron-write", append([]string{"docker-local"}, args...)...)
}

func (h *Host) putCrontab(tasks string) error {
	if tasks == "" {
		if err := os.Remove(h.path("crontab")); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	text := fmt.Sprintf(crontabHead, h.path("bin")) + tasks
	if engine := os.Getenv("DOCKER_HOST"); engine != "" { // a host's engine is where docker looks by itself
		text = "DOCKER_HOST=" + engine + "\n" + text
	}
	return os.WriteFile(h.path("crontab"), []byte(text), 0o600)
}

// Crontab answers `crontab -l`.
func (h *Host) Crontab(args []string, out io.Writer) error {
	if len(args) != 1 || args[0] != "-l" {
		return fail("the sandbox's crontab knows only: crontab -l")
	}
	text, err := os.ReadFile(h.path("crontab"))
	if errors.Is(err, os.ErrNotExist) {
		return fail("no crontab for dokku")
	}
	_, _ = out.Write(text)
	return err
}
