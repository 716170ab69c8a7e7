// Package schedule says when backups happen by themselves, and remembers which of them did. A Timing is the calendar alone; a Schedule is
// one of a service; a Store keeps schedules and how they went, a private file each, and lends a schedule that is due to one run at a time.
// No clock is read here: the time is passed in.
//
// What it promises: a time that was missed, because the host was down or a run took long, is caught up once; none is run twice, however
// many look at the same minute; and neither a change to summer time nor a clock that is set back makes a gap.
package schedule

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a host in a container may have no zones of its own

	"github.com/netresearch/go-cron"
)

// Timing tells when a schedule fires. The times of the clock that its cron line names are those of its zone. Where the clock is set:
//
//   - a line that names every hour (30 * * * *) fires every real hour: not in an hour that is skipped, and twice in one that is doubled;
//   - any other names times of the day: one that is skipped fires when the clock has been set forward, one that is doubled at its first pass.
type Timing struct {
	text      string // its cron line
	zone      *time.Location
	line      *cron.SpecSchedule // in a zone whose clock is never set
	everyHour bool
}

// presets are the words for a cron line.
var presets = map[string]string{"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 0", "monthly": "0 0 1 * *"}

// atTime is "at 03:30" and "at 03:30 on mon-fri,sun".
var atTime = regexp.MustCompile(`^at ([0-9]{1,2}):([0-9]{2})(?: on ((?:[a-z]+[,-])*[a-z]+))?$`)

// field is one of a cron line (crontab(5)). The signs ; and %, which mean something to Dokku and to cron, are in none.
var field = regexp.MustCompile(`^[0-9A-Za-z*/-]+(,[0-9A-Za-z*/-]+)*$`)

const forms = `hourly, daily, weekly, monthly, "at 03:30 on mon,thu" or a cron line of 5 fields such as "30 3 * * 1-5"`

// Parse reads when a schedule fires: a preset, "at 03:30 on mon,thu", or the five fields of a crontab(5) line. zone is a name of the tz
// database, "" for UTC. What never fires is an error.
func Parse(when, zone string) (Timing, error) {
	if zone == "" {
		zone = "UTC"
	}
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return Timing{}, fmt.Errorf("there is no time zone %q; zones are named such as Europe/Berlin", zone)
	}
	text, err := cronLine(when)
	if err != nil {
		return Timing{}, err
	}
	// As in crontab(5), a line with a day of the month and a day of the week fires on either.
	parser, err := cron.TryNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom)
	if err != nil {
		return Timing{}, err
	}
	parsed, err := parser.WithMaxSearchYears(longestWait).Parse(text)
	if err != nil {
		return Timing{}, fmt.Errorf("cron line %q: %w", when, err)
	}
	line, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Timing{}, fmt.Errorf("cron line %q has no fields", when)
	}
	line.Location = time.UTC
	t := Timing{text: text, zone: location, line: line, everyHour: line.Hour&allHours == allHours}
	if t.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Timing{}, fmt.Errorf("%q never comes", when)
	}
	return t, nil
}

// longestWait is how many years may pass between two times: 29 February 2096 and 2104.
const longestWait = 9

const allHours = 1<<24 - 1

// cronLine is the cron line that words stand for.
func cronLine(when string) (string, error) {
	fields := strings.Fields(when)
	text := strings.ToLower(strings.Join(fields, " "))
	if line, ok := presets[text]; ok {
		return line, nil
	}
	if strings.HasPrefix(text, "at ") {
		return atLine(text)
	}
	if bad := strings.IndexAny(when, ";%\r\n"); bad >= 0 {
		return "", fmt.Errorf("a cron line cannot hold %q", when[bad:bad+1])
	}
	if len(fields) != 5 && !strings.ContainsAny(text, "0123456789*") || strings.HasPrefix(text, "@") {
		return "", fmt.Errorf("%q is no time; write %s", when, forms)
	}
	if len(fields) != 5 {
		return "", fmt.Errorf("a cron line has 5 fields (minute hour day month weekday), %q has %d", when, len(fields))
	}
	for _, f := range fields {
		if !field.MatchString(f) {
			return "", fmt.Errorf("cron line %q: %q is no list of numbers, names and ranges", when, f)
		}
	}
	return text, nil
}

// atLine is the cron line of "at 03:30 on mon,thu".
func atLine(text string) (string, error) {
	m := atTime.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("%q is no time; write it as \"at 03:30\" or \"at 03:30 on mon,thu\"", text)
	}
	clock, err := time.Parse("15:04", m[1]+":"+m[2])
	if err != nil {
		return "", fmt.Errorf("%s:%s is no time of the day", m[1], m[2])
	}
	days := m[3]
	if days == "" {
		days = "*"
	}
	for day := range strings.FieldsFuncSeq(days, func(r rune) bool { return r == ',' || r == '-' }) {
		if !slices.Contains([]string{"*", "mon", "tue", "wed", "thu", "fri", "sat", "sun"}, day) {
			return "", fmt.Errorf("%q is no day; days are mon, tue, wed, thu, fri, sat and sun", day)
		}
	}
	return fmt.Sprintf("%d %d * * %s", clock.Minute(), clock.Hour(), days), nil
}

// Next is the first time after a time that it fires, in its zone; zero when there is none.
//
// Between two changes of the clock real time and the clock differ by a fixed offset. The times of the clock that belong to such a stretch
// begin, for a line that names times of the day, where those of the stretch before ended: in a stretch that follows a skipped hour these
// are that hour's too, and they fire at its start; in one that follows a doubled hour they begin after it.
func (t Timing) Next(after time.Time) time.Time {
	at := after.In(t.zone)
	from := at.Add(offset(at))
	for {
		start, end := at.ZoneBounds()
		if begin := t.begin(start); begin.After(from) {
			from = begin
		}
		next := t.line.Next(from.UTC().Truncate(time.Minute).Add(59 * time.Second)) // it looks at every second from there on
		if next.IsZero() {
			return time.Time{}
		}
		fire := next.Add(-offset(at))
		if fire.Before(start) {
			fire = start
		}
		if end.IsZero() || fire.Before(end) {
			return fire.In(t.zone)
		}
		at, from = end, time.Time{}
	}
}

// begin is the moment before the first time of the clock that belongs to the stretch which begins at start.
func (t Timing) begin(start time.Time) time.Time {
	if start.IsZero() {
		return time.Time{}
	}
	before := start.Add(-1)
	if t.everyHour {
		return before.Add(offset(start))
	}
	return before.Add(offset(before))
}

// offset is by how much the clock is ahead of UTC.
func offset(at time.Time) time.Duration {
	_, seconds := at.Zone()
	return time.Duration(seconds) * time.Second
}

// Last is the last time it fired in the stretch after a time and up to another; zero when it did not.
func (t Timing) Last(after, upTo time.Time) time.Time {
	var last time.Time
	for at := t.Next(after); !at.IsZero() && !at.After(upTo); at = t.Next(at) {
		last = at
	}
	return last
}

// Interval is the shortest time between two of its next times; zero when there are no two.
func (t Timing) Interval(after time.Time) time.Duration {
	const times = 200
	var shortest time.Duration
	for at, i := t.Next(after), 0; i < times && !at.IsZero(); i++ {
		next := t.Next(at)
		if d := next.Sub(at); !next.IsZero() && (shortest == 0 || d < shortest) {
			shortest = d
		}
		at = next
	}
	return shortest
}
