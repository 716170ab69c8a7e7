package ui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/ui/uitest"
)

func TestSelect(t *testing.T) {
	tests := []struct {
		name, kind string
		typed      []string
		want       int
		err        error
	}{
		{"the first", "xterm", []string{"> one", "\r"}, 0, nil},
		{"the second", "xterm", []string{"> one", uitest.Down + "\r"}, 1, nil},
		{"down and up", "xterm", []string{"> one", uitest.Down + uitest.Down + uitest.Up + "\r"}, 1, nil},
		{"ctrl-C", "xterm", []string{"> one", uitest.CtrlC}, 0, ErrNoAnswer},
		{"ctrl-D", "xterm", []string{"> one", uitest.CtrlD}, 0, ErrNoAnswer},
		{"plain", "dumb", []string{"between 1 and 3: ", "2\n"}, 1, nil},
		{"plain, TERM not set", "", []string{"between 1 and 3: ", "2\n"}, 1, nil},
		{"plain, enter alone", "dumb", []string{"between 1 and 3: ", "\n"}, 0, nil},
		{"plain, no such number", "dumb", []string{"between 1 and 3: ", "4\n", "between 1 and 3: ", "two\n", "between 1 and 3: ", "3\n"}, 2, nil},
		{"plain, end of input", "dumb", []string{"between 1 and 3: ", uitest.CtrlD}, 0, ErrNoAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			person := uitest.New(t, tt.kind, 80)
			terminal := NewTerminal(person.Terminal, person.Terminal)
			go person.Types(tt.typed...)
			got, err := terminal.Select(t.Context(), "Which?", []string{"one", "two", "three"})
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %d, %v, want %d, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestInput(t *testing.T) {
	taken := func(answer string) error {
		if answer == "" || answer == "taken" {
			return fmt.Errorf("%q will not do", answer)
		}
		return nil
	}
	tests := []struct {
		name, kind string
		typed      []string
		want       string
		err        error
	}{
		{"the suggestion", "xterm", []string{"cows-2", "\r"}, "cows-2", nil},
		{"changed", "xterm", []string{"cows-2", "\x7f3\r"}, "cows-3", nil},
		{"another", "xterm", []string{"cows-2", uitest.CtrlU + " herd \r"}, "herd", nil},
		{"refused", "xterm", []string{"cows-2", uitest.CtrlU + "taken\r", `"taken" will not do`, uitest.CtrlU + "herd\r"}, "herd", nil},
		{"nothing", "xterm", []string{"cows-2", uitest.CtrlU + "\r", `"" will not do`, uitest.CtrlC}, "", ErrNoAnswer},
		{"plain, the suggestion", "dumb", []string{"Name? [cows-2] ", "\n"}, "cows-2", nil},
		{"plain, another", "dumb", []string{"Name? [cows-2] ", " herd \n"}, "herd", nil},
		{"plain, refused", "dumb", []string{"Name? [cows-2] ", "taken\n", `"taken" will not do`, "herd\n"}, "herd", nil},
		{"plain, end of input", "dumb", []string{"Name? [cows-2] ", uitest.CtrlD}, "", ErrNoAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			person := uitest.New(t, tt.kind, 80)
			terminal := NewTerminal(person.Terminal, person.Terminal)
			go person.Types(tt.typed...)
			got, err := terminal.Input(t.Context(), "Name?", "cows-2", taken)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// TestSecret: what is typed is returned, and is nowhere on the screen, nor when it is typed after the question.
func TestSecret(t *testing.T) {
	const secret = "AGE-SECRET-KEY-1NOTONE"
	tests := []struct {
		name, kind string
		typed      []string
		want       string
		err        error
	}{
		{"typed", "xterm", []string{"Key?", secret + "\r"}, secret, nil},
		{"spaces around", "xterm", []string{"Key?", " " + secret + " \r"}, secret, nil},
		{"ctrl-C", "xterm", []string{"Key?", secret + uitest.CtrlC}, "", ErrNoAnswer},
		{"plain", "dumb", []string{"Key?", secret + "\n"}, secret, nil},
		{"plain, end of input", "dumb", []string{"Key?", uitest.CtrlD}, "", ErrNoAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			person := uitest.New(t, tt.kind, 80)
			terminal := NewTerminal(person.Terminal, person.Terminal)
			go person.Types(tt.typed...)
			got, err := terminal.Secret(t.Context(), "Key?")
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
			if screen := person.Screen(); strings.Contains(screen, "NOTONE") {
				t.Errorf("the secret is on the screen: %q", screen)
			}
			go person.Types("Name?", "shown\r\n") // as before: typing is visible again
			name, err := terminal.Input(t.Context(), "Name?", "", func(string) error { return nil })
			if name != "shown" || err != nil {
				t.Errorf("the next question: got %q, %v", name, err)
			}
		})
	}
}

func TestConfirm(t *testing.T) {
	tests := []struct {
		name, kind, await, typed string
		want                     bool
		err                      error
	}{
		{"yes", "xterm", "No", "y", true, nil},
		{"no", "xterm", "No", "n", false, nil},
		{"enter alone", "xterm", "No", "\r", false, nil},
		{"ctrl-C", "xterm", "No", uitest.CtrlC, false, ErrNoAnswer},
		{"plain, yes", "dumb", "[y/N]", "y\n", true, nil},
		{"plain, in full", "dumb", "[y/N]", "YES\n", true, nil},
		{"plain, enter alone", "dumb", "[y/N]", "\n", false, nil},
		{"plain, end of input", "dumb", "[y/N]", uitest.CtrlD, false, ErrNoAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			person := uitest.New(t, tt.kind, 80)
			terminal := NewTerminal(person.Terminal, person.Terminal)
			go person.Types(tt.await, tt.typed)
			got, err := terminal.Confirm(t.Context(), "Go on?")
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %v, %v, want %v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// TestNothingTypedIsLost answers one question after another as soon as each is shown.
func TestNothingTypedIsLost(t *testing.T) {
	person := uitest.New(t, "xterm", 80)
	terminal := NewTerminal(person.Terminal, person.Terminal)
	const rounds = 20
	var typed []string
	for i := range rounds {
		typed = append(typed, fmt.Sprintf("Which %d?", i), uitest.Down+"\r", fmt.Sprintf("Name %d?", i), fmt.Sprintf("n%d\r", i), fmt.Sprintf("Sure %d?", i), "y")
	}
	go person.Types(typed...)
	for i := range rounds {
		n, err := terminal.Select(t.Context(), fmt.Sprintf("Which %d?", i), []string{"one", "two"})
		if n != 1 || err != nil {
			t.Fatalf("select %d: got %d, %v", i, n, err)
		}
		name, err := terminal.Input(t.Context(), fmt.Sprintf("Name %d?", i), "", func(string) error { return nil })
		if name != fmt.Sprintf("n%d", i) || err != nil {
			t.Fatalf("input %d: got %q, %v", i, name, err)
		}
		yes, err := terminal.Confirm(t.Context(), fmt.Sprintf("Sure %d?", i))
		if !yes || err != nil {
			t.Fatalf("confirm %d: got %v, %v", i, yes, err)
		}
	}
}

// TestQuestionEnds has a terminal that is hung up, and a signal, while a question is open.
func TestQuestionEnds(t *testing.T) {
	stopped := errors.New("stopped")
	for _, kind := range []string{"xterm", "dumb"} {
		t.Run(kind+", hung up", func(t *testing.T) {
			person := uitest.New(t, kind, 80)
			terminal := NewTerminal(person.Terminal, person.Terminal)
			go func() {
				person.Types("two", "")
				person.HangUp()
			}()
			if got, err := terminal.Select(t.Context(), "Which?", []string{"one", "two"}); !errors.Is(err, ErrNoAnswer) {
				t.Errorf("got %d, %v, want ErrNoAnswer", got, err)
			}
		})
		t.Run(kind+", signal", func(t *testing.T) {
			person := uitest.New(t, kind, 80)
			terminal := NewTerminal(person.Terminal, person.Terminal)
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				person.Types("two", "")
				cancel(stopped)
			}()
			if got, err := terminal.Select(ctx, "Which?", []string{"one", "two"}); !errors.Is(err, stopped) {
				t.Errorf("got %d, %v, want %v", got, err, stopped)
			}
		})
	}
}

// TestCaughtSignal has a signal that the library catches before the program's own context ends: it is no answer.
func TestCaughtSignal(t *testing.T) {
	caught := make(chan os.Signal, 1) // so that it does not end the tests
	signal.Notify(caught, syscall.SIGTERM)
	defer signal.Stop(caught)
	person := uitest.New(t, "xterm", 80)
	go func() {
		person.Types("two", "")
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}()
	got, err := NewTerminal(person.Terminal, person.Terminal).Select(t.Context(), "Which?", []string{"one", "two"})
	if !errors.Is(err, ErrNoAnswer) {
		t.Errorf("got %d, %v, want ErrNoAnswer", got, err)
	}
}

var (
	escape = regexp.MustCompile(`\x1b\[[0-9;?<>=$]*[A-Za-z]`)
	colour = regexp.MustCompile(`\x1b\[(3|4|9|10)[0-9;]*m|\x1b\[[0-9;]*;(3|4)[0-9;]*m`)
)

// TestNarrow has options that are wider than the terminal: they are broken, not cut, and nothing is in colour.
func TestNarrow(t *testing.T) {
	person := uitest.New(t, "xterm-256color", 30)
	terminal := NewTerminal(person.Terminal, person.Terminal)
	question := "Restore which backup of happycows-db?"
	option := "happycows-db-20261121T074700Z  2 min  876 MB  82eeec6  complete, practised 1m40s  before the spring release"
	go person.Types("release", "\r")
	if _, err := terminal.Select(t.Context(), question, []string{option, "two"}); err != nil {
		t.Fatal(err)
	}
	asked, _, _ := strings.Cut(person.Screen(), question) // which stands in one piece only when it is answered
	if found := colour.FindString(asked); found != "" {
		t.Errorf("colour: %q", found)
	}
	text := escape.ReplaceAllString(asked, "")
	unbroken := func(s string) string { return strings.Join(strings.Fields(s), "") }
	if !strings.Contains(unbroken(text), unbroken(option)) {
		t.Errorf("got %q, want it to hold all of %q", text, option)
	}
	for row := range strings.SplitSeq(strings.ReplaceAll(text, "\r", "\n"), "\n") {
		if len(row) > 30 {
			t.Errorf("a row of %d columns: %q", len(row), row)
		}
	}
}

// TestPromptsDriveNoTerminal has names that hold control characters, and a terminal that knows none.
func TestPromptsDriveNoTerminal(t *testing.T) {
	evil := "cows\x1b]0;owned\a\nmoo\u009b2J"
	for _, kind := range []string{"xterm", "dumb"} {
		person := uitest.New(t, kind, 80)
		terminal := NewTerminal(person.Terminal, person.Terminal)
		enter := map[string]string{"xterm": "\r", "dumb": "\n"}[kind]
		go person.Types("2J", enter, "Name", "moo"+enter, "Sure", "n"+enter)
		if _, err := terminal.Select(t.Context(), "Which?", []string{evil}); err != nil {
			t.Fatal(err)
		}
		if _, err := terminal.Input(t.Context(), "Name, "+evil, evil, func(string) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := terminal.Confirm(t.Context(), "Sure, "+evil); err != nil {
			t.Fatal(err)
		}
		if got := person.Screen(); !strings.Contains(got, "cows?]0;owned? moo?2J") || strings.Contains(got, "\x1b]0;") || strings.Contains(got, "\u009b") {
			t.Errorf("%s: got %q", kind, got)
		}
		if kind == "dumb" && strings.Contains(person.Screen(), "\x1b") {
			t.Errorf("dumb: got an escape sequence: %q", person.Screen())
		}
	}
}

func TestNobodyToAsk(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	person := uitest.New(t, "xterm", 80)
	if NewTerminal(r, person.Terminal) != nil || NewTerminal(person.Terminal, w) != nil || NewTerminal(strings.NewReader("y"), &strings.Builder{}) != nil {
		t.Error("got a terminal where there is none")
	}
	if NewTerminal(person.Terminal, person.Terminal) == nil {
		t.Error("got no terminal where there is one")
	}
}
