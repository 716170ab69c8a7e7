package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// How often progress is shown: a bar is redrawn, without a terminal a line is printed.
const (
	redraw    = 200 * time.Millisecond
	lineEvery = 10 * time.Second
)

// Progress is a measured stretch of work of about Total bytes.
type Progress struct {
	printer *Printer
	total   int64 // 0: not known
	done    int64
	began   time.Time
	shown   time.Time
}

// Progress begins a stretch. Done ends it.
func (p *Printer) Progress(total int64) *Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	bar := &Progress{printer: p, total: total, began: now, shown: now}
	if !p.quiet {
		p.bar = bar
	}
	return bar
}

// Add counts n more bytes.
func (b *Progress) Add(n int) {
	b.printer.mu.Lock()
	defer b.printer.mu.Unlock()
	b.done += int64(n)
	wait := lineEvery
	if b.printer.live {
		wait = redraw
	}
	if b.printer.bar != b || time.Since(b.shown) < wait {
		return
	}
	b.shown = time.Now()
	if b.printer.live {
		b.draw()
	} else {
		fmt.Fprintln(b.printer.out, "       "+b.text())
	}
}

// Done ends the stretch and takes the bar away.
func (b *Progress) Done() {
	b.printer.mu.Lock()
	defer b.printer.mu.Unlock()
	if b.printer.bar == b {
		b.printer.clear()
		b.printer.bar = nil
	}
}

// draw puts the bar at the cursor. The caller holds the printer's lock.
func (b *Progress) draw() {
	if !b.printer.live {
		return
	}
	text := "       " + b.text()
	if room := b.printer.width - len(text) - 4; b.total > 0 && room >= 10 {
		cells := min(room, 24)
		full := int(min(b.done*int64(cells)/b.total, int64(cells)))
		head := ""
		if full > 0 {
			head = strings.Repeat("=", full-1) + ">"
		}
		text = "       [" + head + strings.Repeat(" ", cells-full) + "]  " + b.text()
	}
	fmt.Fprint(b.printer.out, "\r\x1b[K"+text[:min(len(text), b.printer.width-1)])
}

// text is such as "412 MB of about 876 MB   251 MB/s   2 s left".
func (b *Progress) text() string {
	seconds := time.Since(b.began).Seconds()
	rate := float64(b.done) / max(seconds, 0.001)
	text := humanize.Bytes(uint64(b.done))
	if b.total > b.done {
		text += " of about " + humanize.Bytes(uint64(b.total))
	}
	text += "   " + humanize.Bytes(uint64(rate)) + "/s"
	if b.total > b.done && rate > 1 {
		left := time.Duration(float64(b.total-b.done) / rate * float64(time.Second))
		text += "   " + left.Round(time.Second).String() + " left"
	}
	return text
}
