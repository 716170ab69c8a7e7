package schedule

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adhocore/gronx"
)

// zones of the tests: an hour in spring and autumn, the same in other weeks, and half an hour south of the equator.
var zones = []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}

// lines are what a year is looked at for, as a person writes it and as a cron line, and whether it is for every hour.
var lines = []struct {
	when, cron string
	everyHour  bool
}{
	{"hourly", "0 * * * *", true},
	{"daily", "0 0 * * *", false},
	{"weekly", "0 0 * * 0", false},
	{"monthly", "0 0 1 * *", false},
	{"at 03:30", "30 3 * * *", false},
	{"at 3:30 on mon,thu", "30 3 * * 1,4", false},
	{"at 02:15 on fri-sun", "15 2 * * 0,5,6", false},
	{"AT 23:59 ON Sun", "59 23 * * 0", false},
	{"30 2 * * *", "", false},
	{"0 3 * * *", "", false},
	{"*/15 1-3 * * *", "", false},
	{"5,50 2 * * *", "", false},
	{"0 */2 * * *", "", false},
	{"59 1 * * *", "", false},
	{"7 * * * *", "", true},
	{"*/20 0-23 * * *", "", true},
	{"15 2 * 3,4,10,11 0", "", false},
	{"0 12 31 * *", "", false},
	{"0 2 1,15 * 0", "", false}, // on either
	{"45 1 28-31 10 *", "", false},
	{"0 0 29 2 *", "", false},
	{"30 4 * jan-jun sat", "", false},
}

func mustParse(t *testing.T, when, zone string) Timing {
	t.Helper()
	timing, err := Parse(when, zone)
	if err != nil {
		t.Fatal(err)
	}
	return timing
}

// fires are the times at which a timing fires after a time and before another.
func fires(timing Timing, from, to time.Time) []time.Time {
	var all []time.Time
	for at := timing.Next(from); !at.IsZero() && at.Before(to); at = timing.Next(at) {
		all = append(all, at)
	}
	return all
}

// ticks are the same of a cron line by another library.
func ticks(t *testing.T, line string, from, to time.Time) []time.Time {
	t.Helper()
	var all []time.Time
	for at := from; ; {
		next, err := gronx.NextTickAfter(line, at, false)
		if err != nil || !next.Before(to) {
			return all
		}
		all, at = append(all, next), next
	}
}

// changes are the moments in which a zone's clock is set.
func changes(zone *time.Location, from, to time.Time) []time.Time {
	var all []time.Time
	for _, end := from.In(zone).ZoneBounds(); !end.IsZero() && end.Before(to); _, end = end.ZoneBounds() {
		all = append(all, end)
	}
	return all
}

// asRuled are the times after one and before another at which a line is to fire. clocks are those that the other library has for a clock
// that is never set: each is looked for in real time, minute by minute around it.
func asRuled(clocks []time.Time, everyHour bool, zone *time.Location, from, to time.Time) []time.Time {
	const day = 24 * time.Hour
	set := changes(zone, from.Add(-3*day), to.Add(3*day))
	var all []time.Time
	for _, clock := range clocks {
		around := func(at time.Time) bool { return at.Sub(clock).Abs() < 2*day }
		near := slices.IndexFunc(set, around)
		if near < 0 { // far from all changes
			all = append(all, time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), 0, 0, zone))
			continue
		}
		var real []time.Time
		for m := clock.Add(-15 * time.Hour); m.Before(clock.Add(15 * time.Hour)); m = m.Add(time.Minute) {
			if m.Add(offset(m.In(zone))).Equal(clock) {
				real = append(real, m)
			}
		}
		switch {
		case everyHour:
			all = append(all, real...)
		case len(real) > 0:
			all = append(all, real[0])
		default:
			all = append(all, set[near])
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	all = slices.CompactFunc(all, time.Time.Equal)
	return slices.DeleteFunc(all, func(at time.Time) bool { return !at.After(from) || !at.Before(to) })
}

func equalTimes(t *testing.T, what string, got, want []time.Time) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !got[i].Equal(want[i]) {
			t.Errorf("%s: the times differ from number %d of %d and %d on:\n got %v\nwant %v", what, i, len(got), len(want),
				got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
			return
		}
	}
}

func TestNextOverAYear(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	from := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	to := from.AddDate(1, 0, 0)
	for _, l := range lines {
		line := l.cron
		if line == "" {
			line = l.when
		}
		clocks := ticks(t, line, from.AddDate(0, 0, -2), to.AddDate(0, 0, 2))
		for _, zone := range zones {
			location, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			set := changes(location, from, to)
			if len(set) != 2 {
				t.Fatalf("%s: got %d changes of the clock, want 2", zone, len(set))
			}
			what := l.when + " in " + zone
			got := fires(mustParse(t, l.when, zone), from, to)
			if len(got) == 0 && line != "0 0 29 2 *" {
				t.Errorf("%s: never fired", what)
			}
			equalTimes(t, what, got, asRuled(clocks, l.everyHour, location, from, to))

			// As the other library has it by itself, but for the two days on which it has other rules.
			nearChange := func(at time.Time) bool {
				return slices.ContainsFunc(set, func(c time.Time) bool { return at.Sub(c).Abs() < 24*time.Hour })
			}
			theirs := slices.DeleteFunc(ticks(t, line, from.In(location), to), nearChange)
			equalTimes(t, what+", as the other library has it", slices.DeleteFunc(got, nearChange), theirs)
		}
	}
}

func TestClockIsSet(t *testing.T) {
	const layout = "2006-01-02 15:04 MST"
	for _, c := range []struct {
		name, when, zone, after string // after in UTC
		want                    []string
	}{
		{"a skipped time fires right after", "30 2 * * *", "Europe/Berlin", "2027-03-27 12:00",
			[]string{"2027-03-28 03:00 CEST", "2027-03-29 02:30 CEST"}},
		{"with one at that moment it is one", "*/30 2,3 * * *", "Europe/Berlin", "2027-03-28 00:59",
			[]string{"2027-03-28 03:00 CEST", "2027-03-28 03:30 CEST", "2027-03-29 02:00 CEST"}},
		{"a doubled time fires once", "30 2 * * *", "Europe/Berlin", "2027-10-30 12:00",
			[]string{"2027-10-31 02:30 CEST", "2027-11-01 02:30 CET"}},
		{"looked at between the two", "30 2 * * *", "Europe/Berlin", "2027-10-31 01:10", []string{"2027-11-01 02:30 CET"}},
		{"every real hour in a skipped one", "30 * * * *", "Europe/Berlin", "2027-03-28 00:00",
			[]string{"2027-03-28 01:30 CET", "2027-03-28 03:30 CEST"}},
		{"every real hour in a doubled one", "30 * * * *", "Europe/Berlin", "2027-10-31 00:00",
			[]string{"2027-10-31 02:30 CEST", "2027-10-31 02:30 CET", "2027-10-31 03:30 CET"}},
		{"half an hour is skipped", "15 2 * * *", "Australia/Lord_Howe", "2027-10-02 00:00",
			[]string{"2027-10-03 02:30 +11", "2027-10-04 02:15 +11"}},
		{"half an hour is doubled", "45 1 * * *", "Australia/Lord_Howe", "2027-04-03 10:00",
			[]string{"2027-04-04 01:45 +11", "2027-04-05 01:45 +1030"}},
		{"a whole day is skipped", "0 12 30 12 *", "Pacific/Apia", "2011-01-01 00:00",
			[]string{"2011-12-31 00:00 +14", "2012-12-30 12:00 +14"}},
		{"a leap year that is none", "0 0 29 2 *", "UTC", "2097-01-01 00:00", []string{"2104-02-29 00:00 UTC"}},
	} {
		at, err := time.Parse("2006-01-02 15:04", c.after)
		if err != nil {
			t.Fatal(err)
		}
		timing := mustParse(t, c.when, c.zone)
		for i, want := range c.want {
			at = timing.Next(at)
			if got := at.Format(layout); got != want {
				t.Errorf("%s: time %d: got %s, want %s", c.name, i+1, got, want)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ when, zone, want string }{
		{"", "", "is no time"},
		{"dayly", "", `"dayly" is no time; write hourly, daily`},
		{"@reboot", "", "is no time"},
		{"@daily", "", "is no time"},
		{"* * * *", "", "has 5 fields (minute hour day month weekday), \"* * * *\" has 4"},
		{"0 0 3 * * *", "", "has 6"},
		{"@every 5m 1 2 3", "", "is no time"},
		{"0 3 * * *;reboot", "", `cannot hold ";"`},
		{"0 3 * * * %", "", `cannot hold "%"`},
		{"0 3 * *\n*", "", `cannot hold "\n"`},
		{"0 3 30 2 *", "", "never comes"},
		{"0 3 31 4,6 *", "", "never comes"},
		{"60 3 * * *", "", "60"},
		{"0 3 0 * *", "", "minimum"},
		{"0 3 * * 8", "", "maximum"},
		{"0 3 ,1 * *", "", `",1" is no list`},
		{"0 3 L * *", "", "L"},
		{"0 3 * * mon#1", "", `"mon#1" is no list`},
		{"CRON_TZ=UTC 3 * * *", "", "is no list"},
		{"*/0 3 * * *", "", "positive"},
		{"at 24:00", "", "24:00 is no time of the day"},
		{"at noon", "", "at 03:30"},
		{"at 03:30 on monday", "", `"monday" is no day`},
		{"at 03:30 on mon,", "", "at 03:30"},
		{"daily", "Mars/Olympus", `no time zone "Mars/Olympus"`},
		{"daily", "Local", "no time zone"},
		{"daily", "../UTC", "no time zone"},
	} {
		_, err := Parse(c.when, c.zone)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want an error with %q", c.when, err, c.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("%q: the error has more than a line: %v", c.when, err)
		}
	}
}

// Whatever is accepted fires, at full minutes and in order.
func FuzzParse(f *testing.F) {
	for _, l := range lines {
		f.Add(l.when, "UTC")
	}
	f.Add("22-2 1/5 * nov-feb fri-mon", "America/New_York")
	f.Fuzz(func(t *testing.T, when, zone string) {
		timing, err := Parse(when, zone)
		if err != nil {
			return
		}
		at := time.Date(2027, 3, 1, 0, 0, 30, 0, time.UTC)
		for range 10 {
			next := timing.Next(at)
			if !next.After(at) || next.Second() != 0 {
				t.Fatalf("after %s: got %s", at, next)
			}
			at = next
		}
	})
}

func TestMinutes(t *testing.T) {
	load := func(name string) *time.Location {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return zone
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, host string
		specs      [][2]string // when, zone
		want       string
	}{
		{"none", "UTC", nil, "0"},
		{"one", "Europe/Berlin", [][2]string{{"at 03:30", "UTC"}}, "0,30"},
		{"a zone a quarter off", "Europe/Berlin", [][2]string{{"daily", "Asia/Kathmandu"}}, "0,15"},
		{"a host a quarter off", "Asia/Kathmandu", [][2]string{{"daily", "UTC"}}, "0,45"},
		{"half an hour off after a change", "UTC", [][2]string{{"at 12:10", "Australia/Lord_Howe"}}, "0,10,40"},
		{"several", "UTC", [][2]string{{"5 * * * *", "UTC"}, {"*/20 1 * * *", "UTC"}}, "0,5,20,40"},
		{"every minute", "UTC", [][2]string{{"* * * * *", "UTC"}}, "*"},
	} {
		var timings []Timing
		for _, s := range c.specs {
			timings = append(timings, mustParse(t, s[0], s[1]))
		}
		if got := Minutes(timings, load(c.host), now); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
