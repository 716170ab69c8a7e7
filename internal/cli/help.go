package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

func (p *program) helpCommand() *cli.Command {
	return &cli.Command{
		Name: "help", ArgsUsage: "[<command>]", Usage: "Show all backup commands or the page of one",
		Description: "Without an argument lists the commands; with one shows its arguments, flags, examples and exit codes.",
		UsageText:   "dokku backup:help\ndokku backup:help create",
		Action:      p.help,
	}
}

func (p *program) help(c *cli.Context) error {
	name, err := argument(c)
	if err != nil {
		return err
	}
	name = strings.TrimPrefix(name, "backup:")
	if name == "" || name == "--all" {
		return p.overview()
	}
	commands := p.commands()
	i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.Name == name })
	if i < 0 {
		return &backup.Problem{Message: fmt.Sprintf("backup:%s is not a command", name), Hints: []string{"see what there is: dokku backup:help"}}
	}
	return p.page(commands[i])
}

func (p *program) overview() error {
	p.print("usage: dokku backup[:COMMAND]\n\nBack up services together with the commit that their apps run.\n\nCommands:")
	if err := p.commandsHelp(true); err != nil {
		return err
	}
	p.print("\nExample: dokku backup:create happycows-db\nMore about a command: dokku backup:help create")
	return nil
}

// commandsHelp prints the lines that Dokku's own help collects: four spaces, the command, a comma, what it does. There
// must be no other comma, since Dokku makes columns of it.
func (p *program) commandsHelp(all bool) error {
	if !all {
		p.print("    backup, Manage backups")
		return nil
	}
	for _, command := range p.commands() {
		p.print("    %s, %s", strings.TrimSpace("backup:"+command.Name+" "+command.ArgsUsage), command.Usage)
	}
	return nil
}

// page prints all about one command.
func (p *program) page(command *cli.Command) error {
	p.print("usage: %s", strings.TrimSpace("dokku backup:"+command.Name+" "+command.ArgsUsage+" [flags]"))
	p.print("\n%s.\n\n%s", command.Usage, command.Description)
	p.print("\nflags:")
	for _, f := range append(command.Flags, &cli.BoolFlag{Name: "quiet", Usage: "print nothing but data, warnings and errors"}) {
		p.print("    %s", flagLine(f.(cli.DocGenerationFlag), f.Names()[0]))
	}
	p.print("\nexamples:")
	for line := range strings.Lines(command.UsageText) {
		p.print("    %s", strings.TrimSpace(line))
	}
	p.print("\nexit codes:\n    0 done    1 failed    3 done with warnings    11 locked by another run\n    12 key missing or wrong    20 no such app    130 interrupted")
	return nil
}

// flagLine is a flag with what it takes and what it is for. What it takes stands in back quotes in its usage, and is otherwise its own
// name in capitals, as Go's flag package has it.
func flagLine(f cli.DocGenerationFlag, name string) string {
	usage := f.GetUsage()
	flag := "--" + name
	if f.TakesValue() {
		value := strings.ToUpper(name)
		if before, rest, found := strings.Cut(usage, "`"); found {
			inner, after, _ := strings.Cut(rest, "`")
			value, usage = inner, before+inner+after
		}
		flag += " " + value
		if f.GetValue() != "" && f.GetValue() != "0" {
			usage += ", default " + f.GetValue()
		}
	}
	return fmt.Sprintf("%-27s %s", flag, usage)
}
