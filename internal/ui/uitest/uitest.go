// Package uitest has a person at a terminal, for tests: a real pseudo-terminal, whose far end reads the screen and types.
package uitest

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// Keys that are not characters, as a terminal sends them.
const (
	Up    = "\x1b[A"
	Down  = "\x1b[B"
	CtrlC = "\x03"
	CtrlD = "\x04"
	CtrlU = "\x15"
)

// patience is how long a person waits for words on the screen.
const patience = 10 * time.Second

// Person sits at a terminal.
type Person struct {
	Terminal *os.File // the end of the program

	t      *testing.T
	far    *os.File
	mu     sync.Mutex
	screen strings.Builder
}

// New gives a terminal of the kind that TERM names, so many columns wide, and who sits at it.
func New(t *testing.T, kind string, columns uint16) *Person {
	t.Helper()
	t.Setenv("TERM", kind)
	far, near, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(far, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	p := &Person{Terminal: near, t: t, far: hangsUp(t, far)}
	t.Cleanup(p.HangUp) // the near end stays open: the prompt library looks at it a little longer than it asks
	go p.watch()
	return p
}

// hangsUp makes a file whose Close does not wait for a read of it.
func hangsUp(t *testing.T, f *os.File) *os.File {
	t.Helper()
	fd, err := unix.Dup(int(f.Fd()))
	if err := errors.Join(err, f.Close(), unix.SetNonblock(fd, true)); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}

func (p *Person) watch() {
	buf := make([]byte, 4096)
	for {
		n, err := p.far.Read(buf)
		p.mu.Lock()
		p.screen.Write(buf[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Screen is all that was written to the terminal.
func (p *Person) Screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.screen.String()
}

// Types takes pairs: words to wait for, behind those that were waited for before, and keys to type then. When words do not
// come it hangs up, which ends the question.
func (p *Person) Types(pairs ...string) {
	at := 0
	for i := 0; i+1 < len(pairs); i += 2 {
		words, keys := pairs[i], pairs[i+1]
		for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			screen := p.Screen()[at:]
			if found := strings.Index(screen, words); found >= 0 {
				at += found + len(words)
				break
			}
			if time.Now().After(end) {
				p.t.Errorf("never shown: %q; shown: %q", words, screen)
				p.HangUp()
				return
			}
		}
		if _, err := p.far.WriteString(keys); err != nil {
			p.t.Errorf("type %q: %v", keys, err)
		}
	}
}

// HangUp ends the terminal.
func (p *Person) HangUp() { p.far.Close() }
