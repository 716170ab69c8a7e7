// Package ui writes what a person sees, the way Dokku does: "-----> " a step, "=====> " a heading, seven spaces a detail,
// " !     " a warning. All of it goes to one stream, stderr; stdout is for data and belongs to the callers. A Terminal asks.
package ui

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Printer prints steps. It is safe for concurrent use. The zero value is not ready; use New.
type Printer struct {
	mu    sync.Mutex
	out   io.Writer
	live  bool // a terminal: a progress bar can be redrawn
	width int
	quiet bool
	log   io.Writer // nil for none
	bar   *Progress // drawn at the cursor, nil for none
}

// New is a printer to out. A quiet one prints warnings only.
func New(out io.Writer, quiet bool) *Printer {
	p := &Printer{out: out, quiet: quiet, width: 80}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.live = os.Getenv("TERM") != "dumb"
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			p.width = width
		}
	}
	return p
}

// Log writes every line to w too, with the time, also those that a quiet printer does not print; nil ends that. Errors of w are passed over:
// a log never keeps a run from being done.
func (p *Printer) Log(w io.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = w
}

// Step tells what is being done now.
func (p *Printer) Step(format string, args ...any) { p.line("-----> ", !p.quiet, format, args) }

// Heading tells a result.
func (p *Printer) Heading(format string, args ...any) { p.line("=====> ", !p.quiet, format, args) }

// Detail tells a fact of the step before.
func (p *Printer) Detail(format string, args ...any) { p.line("       ", !p.quiet, format, args) }

// Warn tells what is wrong. A quiet printer says it too.
func (p *Printer) Warn(format string, args ...any) { p.line(" !     ", true, format, args) }

func (p *Printer) line(prefix string, show bool, format string, args []any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := Printable(fmt.Sprintf(format, args...))
	if p.log != nil {
		for line := range strings.Lines(text) {
			fmt.Fprintln(p.log, time.Now().Format(time.RFC3339)+" "+prefix+strings.TrimSuffix(line, "\n"))
		}
	}
	if !show {
		return
	}
	p.clear()
	for line := range strings.Lines(text) {
		fmt.Fprintln(p.out, prefix+strings.TrimSuffix(line, "\n"))
	}
	if p.bar != nil {
		p.bar.draw()
	}
}

// clear removes the progress bar from the cursor's line. The caller holds the lock.
func (p *Printer) clear() {
	if p.bar != nil && p.live {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// Printable replaces control characters other than newlines, so that no name or message can drive the terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0) {
			return '?'
		}
		return r
	}, s)
}
