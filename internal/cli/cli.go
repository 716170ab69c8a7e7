// Package cli is the command line: a file a subcommand. A command takes its flags and arguments, wires the parts together
// (nobody else does), makes one call, and prints what came of it. Start at Run.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/notify"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// version is set by the build.
var version = "dev"

// program is one run of the program.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	host           *dokku.Host
	ui             *ui.Printer
	command        *cli.Context       // that runs; nil in hooks
	keys           *repository.Unlock // that open the repository; nil until they are needed
	teller         *notify.Teller     // of the receivers of notifications; nil until it is needed
	log            *os.File           // of the run that is under way; nil for none
}

// Run runs one command, args being the program's own argv as Dokku gives it (backup:create happycows-db), and returns the
// exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	environ := os.Environ()
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, host: dokku.New(environ)}
	p.ui = ui.New(stderr, os.Getenv("DOKKU_QUIET_OUTPUT") != "")
	err := p.run(ctx, args[1:])
	if err != nil && ctx.Err() != nil {
		p.ui.Warn("interrupted; backups made before are intact")
		var left *unfinishedError
		if errors.As(err, &left) {
			for _, hint := range left.hints {
				p.ui.Warn("%s", hint)
			}
		}
		return backup.ExitInterrupted
	}
	return p.explain(err)
}

// warnings is the error of a command that did its work, with warnings that were already printed.
type warnings struct{}

func (warnings) Error() string { return "done, with warnings" }

// explain prints an error for a person and returns the exit code.
func (p *program) explain(err error) int {
	if err == nil {
		return backup.ExitOK
	}
	if errors.Is(err, warnings{}) {
		return backup.ExitWarnings
	}
	var problem *backup.Problem
	var damage *repository.DamageError
	var path *fs.PathError
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		p.ui.Warn("disk full: there is no room left for the repository; nothing was kept of this run, earlier backups are intact")
		p.ui.Warn("make room, or remove old backups: dokku backup:delete ID")
	case errors.As(err, &problem):
		p.ui.Warn("%s", problem.Message)
		for _, hint := range problem.Hints {
			p.ui.Warn("%s", hint)
		}
		return problem.ExitCode()
	case errors.As(err, &damage):
		p.ui.Warn("%s; find out what is affected: dokku backup:verify --all", damage)
	case errors.As(err, &path) && errors.Is(err, fs.ErrPermission):
		p.ui.Warn("%s may not be opened by this user: run the command as Dokku does, dokku backup:...", path.Path)
	default:
		p.ui.Warn("%s", err)
	}
	return backup.ExitFailed
}

// run finds the command that args name and runs it.
func (p *program) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"help"}
	}
	name := strings.TrimPrefix(args[0], "backup:")
	switch name {
	case "backup", "default", "":
		name = "help"
	case "hook":
		return p.hook(ctx, args[1:])
	case "--version":
		p.print("%s", version)
		return nil
	case "commands-help":
		return p.commandsHelp(slices.Contains(args[1:], "--all"))
	}
	commands := p.commands()
	i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.Name == name })
	if i < 0 {
		return &backup.Problem{
			Message: fmt.Sprintf("backup:%s is not a command", name),
			Hints:   []string{"see what there is: dokku backup:help"},
		}
	}
	return p.runCommand(ctx, commands[i], args[1:])
}

// commands is the one table of all commands, in the order of the help.
func (p *program) commands() []*cli.Command {
	return []*cli.Command{
		p.createCommand(), p.listCommand(), p.infoCommand(), p.verifyCommand(), p.restoreCommand(), p.practiceCommand(), p.diffCommand(),
		p.statusCommand(), p.doctorCommand(), p.reportCommand(), p.logsCommand(), p.cancelCommand(),
		p.scheduleCommand(), p.schedulesCommand(), p.unscheduleCommand(), p.scheduleRunCommand(),
		p.retentionCommand(), p.pruneCommand(), p.pinCommand(), p.unpinCommand(), p.deleteCommand(),
		p.storeAddCommand(), p.storeListCommand(), p.storeCheckCommand(), p.storeRemoveCommand(), p.syncCommand(),
		p.notifyAddCommand(), p.notifyListCommand(), p.notifyRemoveCommand(), p.notifyTestCommand(),
		p.setCommand(), p.keyCommand(), p.helpCommand(),
	}
}

func (p *program) runCommand(ctx context.Context, command *cli.Command, args []string) error {
	// Dokku's own flags stay in argv when they stand behind the command. They are accepted, and --quiet is meant.
	for _, flag := range []cli.Flag{
		&cli.BoolFlag{Name: "quiet", Usage: "print nothing but data, warnings and errors"},
		&cli.BoolFlag{Name: "trace", Hidden: true}, &cli.BoolFlag{Name: "force", Hidden: true}, &cli.StringFlag{Name: "app", Hidden: true},
	} {
		own := func(f cli.Flag) bool { return f.Names()[0] == flag.Names()[0] }
		if !slices.ContainsFunc(command.Flags, own) {
			command.Flags = append(command.Flags, flag)
		}
	}
	command.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return usage(command, "%s", flagWords(err)) }
	command.HideHelp = true
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return p.page(command)
	}
	action := command.Action
	command.Action = func(c *cli.Context) error {
		p.command = c
		if c.Bool("quiet") {
			p.ui = ui.New(p.stderr, true)
		}
		return action(c)
	}
	app := &cli.App{
		Name: "dokku backup", Commands: []*cli.Command{command}, HideHelpCommand: true,
		Writer: p.stdout, ErrWriter: p.stderr, ExitErrHandler: func(*cli.Context, error) {},
		DisableSliceFlagSeparator: true, // a value may hold commas
	}
	return app.RunContext(ctx, append([]string{"backup", command.Name}, flagsFirst(command, args)...))
}

// flagsFirst moves flags before arguments, where urfave/cli wants them; a person may write them anywhere. What follows
// "--" stays as it is.
func flagsFirst(command *cli.Command, args []string) []string {
	takesValue := map[string]bool{}
	for _, f := range command.Flags {
		if _, is := f.(*cli.BoolFlag); is {
			continue
		}
		for _, name := range f.Names() {
			takesValue[name] = true
		}
	}
	var flags, rest []string
	for i := 0; i < len(args); i++ {
		name := strings.TrimLeft(args[i], "-")
		switch {
		case args[i] == "--":
			rest = append(rest, args[i+1:]...)
			i = len(args)
		case name == args[i] || name == "":
			rest = append(rest, args[i])
		default:
			flags = append(flags, args[i])
			if takesValue[name] {
				if i++; i == len(args) {
					return flags // without a value, which is told
				}
				flags = append(flags, args[i])
			}
		}
	}
	return append(append(flags, "--"), rest...)
}

// flagWords is an error of Go's flag package with flags as a person writes them.
func flagWords(err error) string {
	text := strings.TrimSuffix(err.Error(), ": parse error")
	return strings.NewReplacer("flag provided but not defined: -", "there is no flag --", "flag -", "flag --", "needs an argument: -", "needs a value: --").Replace(text)
}

// usage is the problem of a command that was called wrongly.
func usage(command *cli.Command, format string, args ...any) error {
	return &backup.Problem{
		Message: "backup:" + command.Name + ": " + fmt.Sprintf(format, args...),
		Hints:   []string{"see how it is used: dokku backup:help " + command.Name},
	}
}

// argument is the one argument of a command that takes at most one.
func argument(c *cli.Context) (string, error) {
	if c.NArg() > 1 {
		return "", usage(c.Command, "takes one argument, not %d", c.NArg())
	}
	return c.Args().First(), nil
}

// formatFlag is --format, of commands that list or show something.
func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Value: "text", Usage: "text or json"}
}

// wantsJSON tells which format was asked for.
func wantsJSON(c *cli.Context) (bool, error) {
	switch c.String("format") {
	case "text":
		return false, nil
	case "json":
		return true, nil
	}
	return false, usage(c.Command, "--format is text or json, not %q", c.String("format"))
}
