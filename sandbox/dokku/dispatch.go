package dokku

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

// call is one dokku command on its way through.
type call struct {
	h   *Host
	ctx context.Context
	in  io.Reader
	out io.Writer
	err io.Writer
	// env is the environment of subcommands, triggers and docker.
	env []string
	// name is the command, args what follows it.
	name  string
	args  []string
	quiet bool
	force bool
	app   string
}

// CLI answers `dokku ARGS`: flags before the command are taken off, then the
// command is looked for here, in the plugins, and in the plugins' `commands`.
func (h *Host) CLI(ctx context.Context, args []string, in io.Reader, out, stderr io.Writer) error {
	c := &call{h: h, ctx: ctx, in: in, out: out, err: stderr, env: append(os.Environ(), h.environment()...)}
	args = c.globalFlags(args)
	if len(args) == 0 {
		args = []string{"help"}
	}
	c.name, c.args = args[0], args[1:]
	c.env = append(c.env, "DOKKU_COMMAND="+c.name)
	err := c.dispatch()
	var f *failure
	if err != nil && (!errors.As(err, &f) || f.message != "") {
		for line := range strings.Lines(err.Error()) {
			c.warn("%s", strings.TrimSuffix(line, "\n"))
		}
	}
	return err
}

// globalFlags sets what the global flags ask for, wherever they stand, and
// cuts off those in front of the command (Dokku's parse_args).
func (c *call) globalFlags(args []string) []string {
	c.app = os.Getenv("DOKKU_APP_NAME")
	c.quiet = os.Getenv("DOKKU_QUIET_OUTPUT") != ""
	c.force = os.Getenv("DOKKU_APPS_FORCE_DELETE") == "1"
	var flags []string
	for n, a := range args {
		switch {
		case a == "--quiet":
			c.quiet = true
			c.env = append(c.env, "DOKKU_QUIET_OUTPUT=1")
		case a == "--trace":
			c.env = append(c.env, "DOKKU_TRACE=1")
		case a == "--force":
			c.force = true
			c.env = append(c.env, "DOKKU_APPS_FORCE_DELETE=1")
		case a == "--app" && n+1 < len(args):
			c.app = args[n+1]
			c.env = append(c.env, "DOKKU_APP_NAME="+c.app)
			a += "=" + c.app
		}
		if strings.HasPrefix(a, "--") {
			flags = append(flags, a)
		}
	}
	if os.Getenv("DOKKU_GLOBAL_FLAGS") == "" {
		c.env = append(c.env, "DOKKU_GLOBAL_FLAGS="+strings.Join(flags, " "))
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "--") && args[0] != "--version" {
		if args[0] == "--app" && len(args) > 1 {
			args = args[1:]
		}
		args = args[1:]
	}
	return args
}

func (c *call) dispatch() error {
	builtin := map[string]func(*call) error{}
	for _, group := range []map[string]func(*call) error{c.appCommands(), configCommands(), gitCommands(), psCommands(), reportCommands(),
		networkCommands(), pluginCommands(), postgresCommands()} {
		for name, run := range group {
			builtin[name] = run
		}
	}
	if run, ok := builtin[c.name]; ok {
		if c.app != "" && !strings.HasPrefix(c.name, "postgres:") {
			c.args = append([]string{c.app}, c.args...)
		}
		return run(c)
	}
	plugin, sub, _ := strings.Cut(c.name, ":")
	enabled := filepath.Join(c.h.plugins("enabled"), plugin, "subcommands")
	if sub == "" {
		sub = "default"
	}
	if program := filepath.Join(enabled, sub); executable(program) {
		return c.become(program)
	}
	return c.askCommands()
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// become replaces this process by a plugin's program, with the command as
// first argument, so that signals reach it.
func (c *call) become(program string) error {
	argv := append([]string{program, c.name}, c.args...)
	return syscall.Exec(program, argv, (&exec.Cmd{Env: c.env}).Environ())
}

// commands runs a plugin's `commands`.
func (c *call) commands(program string) error {
	cmd := exec.Command(program, append([]string{c.name}, c.args...)...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.env, c.in, c.out, c.err
	return c.runToEnd(cmd)
}

// runToEnd runs cmd and ends as it does.
func (c *call) runToEnd(cmd *exec.Cmd) error {
	err := cmd.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		code := failed.ExitCode()
		if code < 0 {
			code = 130
		}
		return &failure{code, ""}
	}
	return err
}

// askCommands offers an unknown command to every plugin's `commands`: exit 10
// says that it is not the plugin's.
func (c *call) askCommands() error {
	programs, err := filepath.Glob(filepath.Join(c.h.plugins("enabled"), "*", "commands"))
	if err != nil {
		return err
	}
	sort.Strings(programs)
	implemented := false
	for _, program := range programs {
		err := c.commands(program)
		if ExitCode(err) == 10 {
			continue
		}
		implemented = true
		if err != nil {
			return err
		}
	}
	if !implemented {
		c.warn("`%s` is not a dokku command.", strings.Join(append([]string{c.name}, c.args...), " "))
		c.warn("See `dokku help` for a list of available commands.")
		return &failure{1, ""}
	}
	return nil
}

// option takes the named flags out of the arguments. names end in "=" when the
// flag takes a value; a flag without one is "true".
func (c *call) option(names ...string) map[string]string {
	given := map[string]string{}
	var rest []string
	for n := 0; n < len(c.args); n++ {
		name, value, hasValue := strings.Cut(c.args[n], "=")
		known := false
		for _, want := range names {
			flag, takes := strings.CutSuffix(want, "=")
			if flag != name {
				continue
			}
			known = true
			switch {
			case takes && !hasValue && n+1 < len(c.args):
				n++
				value = c.args[n]
			case !takes:
				value = "true"
			}
			given[flag] = value
		}
		if !known {
			rest = append(rest, c.args[n])
		}
	}
	c.args = rest
	return given
}

// arg is the nth argument, or "".
func (c *call) arg(n int) string {
	if n < len(c.args) {
		return c.args[n]
	}
	return ""
}

// The lines that Dokku writes; those ending in Quiet are left out by --quiet.
func (c *call) info1(format string, args ...any) { fmt.Fprintf(c.out, "-----> "+format+"\n", args...) }
func (c *call) info2(format string, args ...any) { fmt.Fprintf(c.out, "=====> "+format+"\n", args...) }
func (c *call) verbose(format string, args ...any) {
	fmt.Fprintf(c.out, "       "+format+"\n", args...)
}
func (c *call) warn(format string, args ...any) { fmt.Fprintf(c.err, " !     "+format+"\n", args...) }
func (c *call) info1Quiet(format string, args ...any) {
	if !c.quiet {
		c.info1(format, args...)
	}
}
func (c *call) info2Quiet(format string, args ...any) {
	if !c.quiet {
		c.info2(format, args...)
	}
}
func (c *call) verboseQuiet(format string, args ...any) {
	if !c.quiet {
		c.verbose(format, args...)
	}
}
