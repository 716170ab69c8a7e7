package ui

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestPrinter(t *testing.T) {
	show := func(quiet bool) string {
		var out strings.Builder
		p := New(&out, quiet)
		p.Step("Dumping %s", "cows")
		p.Detail("31 tables")
		bar := p.Progress(100)
		bar.Add(50)
		bar.Done()
		p.Warn("bell \a and colour \x1b[31m\nsecond line")
		p.Heading("done")
		return out.String()
	}
	warning := " !     bell ? and colour ?[31m\n !     second line\n"
	if got, want := show(false), "-----> Dumping cows\n       31 tables\n"+warning+"=====> done\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := show(true); got != warning {
		t.Errorf("quiet: got %q, want %q", got, warning)
	}
}

// TestProgressWithoutTerminal prints a line now and then, not a bar.
func TestProgressWithoutTerminal(t *testing.T) {
	var out strings.Builder
	p := New(&out, false)
	bar := p.Progress(876_000_000)
	bar.began = bar.began.Add(-10 * time.Second)
	bar.shown = bar.began
	bar.Add(438_000_000)
	bar.Add(1)
	want := "       438 MB of about 876 MB   44 MB/s   10s left\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBar(t *testing.T) {
	tests := []struct {
		name        string
		total, done int64
		width       int
		want        string
	}{
		{"half", 200, 100, 80, "[===========>            ]  100 B of about 200 B"},
		{"nothing yet", 200, 0, 80, "[                        ]  0 B of about 200 B"},
		{"more than thought", 200, 300, 80, "[=======================>]  300 B   "},
		{"no size known", 0, 300, 80, "       300 B   "},
		{"narrow", 200, 100, 30, "       100 B of about 200 B "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			p := New(&out, false)
			p.live, p.width = true, tt.width
			bar := p.Progress(tt.total)
			bar.done = tt.done
			bar.draw()
			got := strings.TrimPrefix(out.String(), "\r\x1b[K")
			if !strings.Contains(got, tt.want) || len(got) >= tt.width {
				t.Errorf("got %q (%d of %d columns), want it to hold %q", got, len(got), tt.width, tt.want)
			}
		})
	}
}

func TestWords(t *testing.T) {
	ages := map[time.Duration]string{
		-time.Minute: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 59*time.Minute + 59*time.Second: "59 min",
		31 * time.Hour: "31 h", 47*time.Hour + 59*time.Minute: "47 h", 48 * time.Hour: "2 d", 81 * 24 * time.Hour: "81 d",
	}
	for d, want := range ages {
		if got := Age(d); got != want {
			t.Errorf("Age(%v): got %q, want %q", d, got, want)
		}
	}
	took := map[time.Duration]string{
		0: "0.0 s", 4100 * time.Millisecond: "4.1 s", 100 * time.Second: "1 min 40 s", time.Hour - time.Millisecond: "1 h 0 min", 90 * time.Minute: "1 h 30 min",
	}
	for d, want := range took {
		if got := Took(d); got != want {
			t.Errorf("Took(%v): got %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{-1: "0 B", 0: "0 B", 876_000_000: "876 MB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d): got %q, want %q", n, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	err := Table(&out, [][]string{{"ID", "NOTE"}, {"häuser", "a\x1bb\nc"}, {"x", ""}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "ID      NOTE\nhäuser  a?b c\nx\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSoon(t *testing.T) {
	now := time.Date(2026, 11, 21, 23, 30, 0, 0, time.Local)
	tests := []struct {
		t    time.Time
		want string
	}{
		{now.Add(time.Minute), "today 23:31"},
		{now.Add(time.Hour), "tomorrow 00:30"},
		{now.Add(4 * time.Hour), "tomorrow 03:30"},
		{now.AddDate(0, 0, 2), "Mon 23:30"},
		{now.AddDate(0, 0, 6), "Fri 23:30"},
		{now.AddDate(0, 0, 7), "2026-11-28 23:30"},
		{now.AddDate(0, 0, -1), "2026-11-20 23:30"},
	}
	for _, tt := range tests {
		if got := Soon(tt.t, now); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.t, got, tt.want)
		}
	}
}

// TestLog has a quiet printer: what it does not print is in the log, with the time.
func TestLog(t *testing.T) {
	var out, log bytes.Buffer
	p := New(&out, true)
	p.Step("before")
	p.Log(&log)
	p.Step("Dumping %s", "happy\x1bcows")
	p.Warn("one\ntwo")
	p.Log(nil)
	p.Warn("after")
	if got, want := out.String(), " !     one\n !     two\n !     after\n"; got != want {
		t.Errorf("printed: got %q, want %q", got, want)
	}
	lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	for i, want := range []string{"-----> Dumping happy?cows", " !     one", " !     two"} {
		if i >= len(lines) || !strings.HasSuffix(lines[i], " "+want) {
			t.Fatalf("log: got %q, want it to hold %q", lines, want)
		}
		at, _, _ := strings.Cut(lines[i], " ")
		if _, err := time.Parse(time.RFC3339, at); err != nil {
			t.Errorf("line %q: %v", lines[i], err)
		}
	}
	if len(lines) != 3 {
		t.Errorf("log: got %q, want 3 lines", lines)
	}
}
