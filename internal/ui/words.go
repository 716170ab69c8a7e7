package ui

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// Bytes is a size for people: 876 MB. SI units, as Docker and cloud stores use them.
func Bytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// Count is a number for people: 6,666,000.
func Count(n int64) string { return humanize.Comma(n) }

// Age is how long ago something was, in one unit: 2 min, 31 h, 81 d.
func Age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// Took is a duration for people: 4.1 s, 1 min 40 s.
func Took(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	d = d.Round(time.Second)
	if d < time.Hour {
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// Time is a moment in the host's zone, with UTC beside it.
func Time(t time.Time) string {
	local := t.Local().Format("2006-01-02 15:04:05 MST")
	if t.Local().Format("-07:00") == "+00:00" {
		return local
	}
	return local + " (" + t.UTC().Format("2006-01-02 15:04:05") + " UTC)"
}

// Table writes rows of aligned columns, the first row being the heading.
func Table(out io.Writer, rows [][]string) error {
	for _, row := range Align(rows) {
		if _, err := fmt.Fprintln(out, row); err != nil {
			return err
		}
	}
	return nil
}

// Align gives each row as a line, with its cells in columns.
func Align(rows [][]string) []string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(rows))
	for n, row := range rows {
		var text strings.Builder
		for i, cell := range row {
			text.WriteString(oneLine(cell))
			text.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		lines[n] = strings.TrimRight(text.String(), " ")
	}
	return lines
}

// Soon is a moment to come, in the host's zone: today 03:30, tomorrow 00:00, Mon 03:30, 2026-12-01 00:00.
func Soon(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	day := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	switch days := int(day(t).Sub(day(now)).Hours() / 24); {
	case days == 0:
		return t.Format("today 15:04")
	case days == 1:
		return t.Format("tomorrow 15:04")
	case days > 1 && days < 7:
		return t.Format("Mon 15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// Plural is a number of things: 1 backup, 2 backups.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(int64(n)) + " " + noun + "s"
}

// widestReason is how many characters of a failure's reason a table shows; --format json, and info for a failed run's id, tell all.
const widestReason = 80

// FirstWords is the first line of a reason, as much of it as a table shows.
func FirstWords(reason string) string {
	reason, _, _ = strings.Cut(reason, "\n")
	if runes := []rune(reason); len(runes) > widestReason {
		return string(runes[:widestReason-1]) + "…"
	}
	return reason
}
