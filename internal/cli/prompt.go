package cli

import (
	"context"
	"errors"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// choose lets a person at a terminal pick one of options. Without a terminal, or without options, it is an error that
// tells the command to use instead.
func (p *program) choose(ctx context.Context, question string, options []string, instead string) (string, error) {
	terminal := ui.NewTerminal(p.stdin, p.stderr)
	if terminal == nil {
		return "", &backup.Problem{Message: "no name was given, and there is no terminal to ask on", Hints: []string{"name it: " + instead}}
	}
	if len(options) == 0 {
		return "", &backup.Problem{Message: "there is no service on this host", Hints: []string{"make one: dokku postgres:create NAME"}}
	}
	i, err := terminal.Select(ctx, question, options)
	if err != nil {
		return "", unanswered(err)
	}
	return options[i], nil
}

// confirm asks a person at a terminal to type want. Without a terminal it is an error that names the flag.
func (p *program) confirm(ctx context.Context, question, want, flag string) error {
	answer, err := p.ask(ctx, question)
	if errors.Is(err, errNobody) {
		return &backup.Problem{Message: "there is no terminal to ask on; nothing was done", Hints: []string{"to do it without being asked, add " + flag}}
	}
	if err != nil {
		return err
	}
	if answer != want {
		return &backup.Problem{Message: "that is not what was asked for; nothing was done"}
	}
	return nil
}

// errNobody is the error of a question without a terminal.
var errNobody = errors.New("there is no terminal to ask on")

// ask lets a person at a terminal type a line. Without a terminal it is errNobody.
func (p *program) ask(ctx context.Context, question string) (string, error) {
	terminal := ui.NewTerminal(p.stdin, p.stderr)
	if terminal == nil {
		return "", errNobody
	}
	answer, err := terminal.Input(ctx, question, "", func(string) error { return nil })
	return answer, unanswered(err)
}

// goOn asks for yes or no. Without a terminal it is an error that names the flag.
func (p *program) goOn(ctx context.Context, question, flag string) error {
	terminal := ui.NewTerminal(p.stdin, p.stderr)
	if terminal == nil {
		return &backup.Problem{Message: "there is no terminal to ask on; nothing was done", Hints: []string{"to do it without being asked, add " + flag}}
	}
	yes, err := terminal.Confirm(ctx, question)
	if err == nil && !yes {
		return &backup.Problem{Message: "nothing was done"}
	}
	return unanswered(err)
}

// unanswered says for a person that there was no answer. Other errors stay as they are.
func unanswered(err error) error {
	if errors.Is(err, ui.ErrNoAnswer) {
		return &backup.Problem{Message: "no answer; nothing was done", Code: backup.ExitInterrupted, Err: err}
	}
	return err
}
