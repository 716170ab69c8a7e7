package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"charm.land/bubbles/v2/key"
	"charm.land/huh/v2"
	"charm.land/lipgloss/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// ErrNoAnswer is the error of a question that a person turned down, with ctrl-C, or could not answer: the input ended.
var ErrNoAnswer = errors.New("no answer")

// tallest is how many lines a list of options takes; the others scroll.
const tallest = 12

// Terminal asks a person. Questions and what is typed are shown on the output stream. Its methods return ErrNoAnswer, or the
// cause of a context that ended.
type Terminal struct {
	in, out *os.File
	plain   bool // cannot move its cursor: questions are lines, options are numbers
}

// NewTerminal is nil when in or out is not a terminal, so that there is nobody to ask.
func NewTerminal(in io.Reader, out io.Writer) *Terminal {
	i, inIsFile := in.(*os.File)
	o, outIsFile := out.(*os.File)
	if !inIsFile || !outIsFile || !term.IsTerminal(int(i.Fd())) || !term.IsTerminal(int(o.Fd())) {
		return nil
	}
	kind := os.Getenv("TERM")
	return &Terminal{in: i, out: o, plain: kind == "" || kind == "dumb"}
}

// Select lets a person pick one of options, and returns its index.
func (t *Terminal) Select(ctx context.Context, question string, options []string) (int, error) {
	list := make([]huh.Option[int], len(options))
	for i, option := range options {
		list[i] = huh.NewOption(oneLine(option), i)
	}
	var answer int
	field := huh.NewSelect[int]().Title(oneLine(question)).Options(list...).Value(&answer)
	if len(options) > tallest {
		field.Height(tallest + 1)
	}
	if err := t.ask(ctx, field); err != nil {
		return 0, err
	}
	t.echo(question, options[answer])
	return answer, nil
}

// Input lets a person type a line; enter alone, where nothing of suggestion was changed, takes that. What validate says against
// an answer is shown, and it is asked again.
func (t *Terminal) Input(ctx context.Context, question, suggestion string, validate func(answer string) error) (string, error) {
	answer, title, means := suggestion, oneLine(question), strings.TrimSpace
	if t.plain { // which cannot show the suggestion as typed already
		means = func(typed string) string { return cmp.Or(strings.TrimSpace(typed), suggestion) }
		if suggestion != "" {
			title += " [" + oneLine(suggestion) + "]"
		}
	}
	field := huh.NewInput().Title(title).Value(&answer).Validate(func(typed string) error { return validate(means(typed)) })
	if err := t.ask(ctx, field); err != nil {
		return "", err
	}
	answer = means(answer)
	t.echo(question, answer)
	return answer, nil
}

// Secret lets a person type or paste a line that is not shown. It is returned as typed, without spaces around it.
func (t *Terminal) Secret(ctx context.Context, question string) (string, error) {
	var answer string
	field := huh.NewInput().Title(oneLine(question) + " ").Value(&answer)
	if t.plain { // the library would read a hidden answer in a way that no context ends
		show, err := hide(t.in)
		if err != nil {
			return "", err
		}
		defer show()
	} else {
		field.EchoMode(huh.EchoModePassword)
	}
	if err := t.ask(ctx, field); err != nil {
		return "", err
	}
	t.echo(question, "(not shown)")
	return strings.TrimSpace(answer), nil
}

// hide lets a terminal no longer show what is typed; show takes that back.
func hide(terminal *os.File) (show func(), err error) {
	fd := int(terminal.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("hide what is typed: %w", err)
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ECHONL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return nil, fmt.Errorf("hide what is typed: %w", err)
	}
	return func() { unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil
}

// Confirm asks for yes or no. Enter alone means no.
func (t *Terminal) Confirm(ctx context.Context, question string) (bool, error) {
	var yes bool
	field := huh.NewConfirm().Title(oneLine(question)).Inline(true).WithButtonAlignment(lipgloss.Left).Value(&yes)
	if err := t.ask(ctx, field); err != nil {
		return false, err
	}
	answer := "no"
	if yes {
		answer = "yes"
	}
	t.echo(question, answer)
	return yes, nil
}

// ask shows one field until it is answered.
func (t *Terminal) ask(ctx context.Context, field huh.Field) error {
	asking, end := context.WithCancel(ctx)
	in := &input{asking: asking, end: end, file: t.in}
	defer in.stop()
	keys := huh.NewDefaultKeyMap()
	keys.Quit = key.NewBinding(key.WithKeys("ctrl+c", "ctrl+d"))
	form := huh.NewForm(huh.NewGroup(field)).WithInput(in).WithOutput(t.out).WithAccessible(t.plain).
		WithKeyMap(keys).WithShowHelp(false).WithTheme(huh.ThemeFunc(theme))
	err := form.RunWithContext(asking)
	// The library catches signals itself, and takes one for the end of a form that has no answer; plain forms have no state.
	stopped := err == nil && !t.plain && form.State != huh.StateCompleted
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case asking.Err() != nil || stopped || errors.Is(err, huh.ErrUserAborted):
		return ErrNoAnswer
	}
	return err
}

// echo leaves question and answer on the screen, from which the library takes its fields when they are answered.
func (t *Terminal) echo(question, answer string) {
	if !t.plain {
		fmt.Fprintf(t.out, "%s  %s\n", oneLine(question), oneLine(answer))
	}
}

// input is the terminal's input during one question. Two things that the library gets wrong are put right here. Its reader
// outlives a form and takes what is typed for the next one: this input ends with its question. And it takes the end of the
// terminal's input for the suggested answer, or waits for ever: here that ends the question without an answer.
type input struct {
	asking  context.Context
	end     func()
	file    *os.File
	reading sync.Mutex
}

// listen is how long, in milliseconds, a read waits before it looks whether the question has ended.
const listen = 20

func (i *input) Read(p []byte) (int, error) {
	i.reading.Lock()
	defer i.reading.Unlock()
	for i.asking.Err() == nil {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(i.file.Fd()), Events: unix.POLLIN}}, listen)
		if ready == 0 || errors.Is(err, unix.EINTR) {
			continue
		}
		n, err := i.file.Read(p)
		if err != nil {
			i.end()
		}
		return n, err
	}
	return 0, io.EOF
}

// stop ends the question and waits until nobody reads.
func (i *input) stop() {
	i.end()
	i.reading.Lock()
	defer i.reading.Unlock()
}

// Fd, Write and Close let the library see that this is a terminal.
func (i *input) Fd() uintptr { return i.file.Fd() }

func (i *input) Write(p []byte) (int, error) { return i.file.Write(p) }

func (i *input) Close() error { return nil }

// theme has no colours: what is chosen is marked or shown in reverse.
func theme(bool) *huh.Styles {
	s := huh.ThemeBase(false)
	s.Focused.Base = lipgloss.NewStyle()
	s.Focused.FocusedButton = lipgloss.NewStyle().Reverse(true).Padding(0, 1)
	s.Focused.BlurredButton = lipgloss.NewStyle().Padding(0, 1)
	s.Focused.TextInput.Prompt = lipgloss.NewStyle()
	s.Focused.ErrorMessage = lipgloss.NewStyle().SetString(" !    ")
	return s
}

// oneLine is text that can neither drive the terminal nor break the line.
func oneLine(text string) string { return strings.ReplaceAll(Printable(text), "\n", " ") }
