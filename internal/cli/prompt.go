package cli

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// choose lets a person at a terminal pick one of options. Without a terminal, or without options, it is an error that
// tells the command to use instead.
func (p *program) choose(question string, options []string, instead string) (string, error) {
	if !p.interactive(p.stdin) || !p.interactive(p.stderr) {
		return "", &backup.Problem{Message: "no name was given, and there is no terminal to ask on", Hints: []string{"name it: " + instead}}
	}
	if len(options) == 0 {
		return "", &backup.Problem{Message: "there is no service on this host", Hints: []string{"make one: dokku postgres:create NAME"}}
	}
	fmt.Fprintln(p.stderr, question)
	for i, option := range options {
		fmt.Fprintf(p.stderr, "  %d  %s\n", i+1, ui.Printable(option))
	}
	answer, err := p.ask(fmt.Sprintf("Number, 1 to %d:", len(options)))
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(answer)
	if err != nil || n < 1 || n > len(options) {
		return "", &backup.Problem{Message: fmt.Sprintf("%q is not one of the numbers; nothing was done", answer), Hints: []string{instead}}
	}
	return options[n-1], nil
}

// confirm asks a person at a terminal to type want. Without a terminal it is an error that names the flag.
func (p *program) confirm(question, want, flag string) error {
	if !p.interactive(p.stdin) || !p.interactive(p.stderr) {
		return &backup.Problem{Message: "there is no terminal to ask on; nothing was done", Hints: []string{"to do it without being asked, add " + flag}}
	}
	answer, err := p.ask(question)
	if err != nil {
		return err
	}
	if answer != want {
		return &backup.Problem{Message: "that is not what was asked for; nothing was done"}
	}
	return nil
}

func (p *program) ask(question string) (string, error) {
	fmt.Fprint(p.stderr, question+" ")
	answer, err := bufio.NewReader(p.stdin).ReadString('\n')
	if err != nil {
		return "", &backup.Problem{Message: "no answer; nothing was done"}
	}
	return strings.TrimSpace(answer), nil
}
