package backup_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/dokku-backup/dokku-backup/internal/backup"
)

// day is noon of the n-th day before a fixed Saturday, UTC.
func day(n int) time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).AddDate(0, 0, -n) }

func at(t time.Time) Candidate { return Candidate{ID: NewID("db", t)} }

// daily are so many backups, a day apart, the newest first.
func daily(count int) []Candidate {
	all := make([]Candidate, count)
	for i := range all {
		all[i] = at(day(i))
	}
	return all
}

// with is a history with one backup changed.
func with(all []Candidate, i int, change func(*Candidate)) []Candidate {
	change(&all[i])
	return all
}

func noSize([]ID) int64 { panic("no size is asked for") }

func TestPlan(t *testing.T) {
	now := day(0).Add(time.Hour)
	each := func(bytes int64) func([]ID) int64 { return func(ids []ID) int64 { return bytes * int64(len(ids)) } }
	tests := []struct {
		name string
		rule Retention
		all  []Candidate
		size func([]ID) int64
		want []int // indexes of what stays, in the order of all
	}{
		{"last", Retention{KeepLast: 3}, daily(6), noSize, []int{0, 1, 2}},
		{"daily, two a day", Retention{KeepDaily: 2}, []Candidate{at(day(0)), at(day(0).Add(-time.Hour)), at(day(1)), at(day(1).Add(-time.Hour)), at(day(2))}, noSize, []int{0, 2}},
		{"days without backups do not count", Retention{KeepDaily: 3}, []Candidate{at(day(0)), at(day(9)), at(day(90)), at(day(91))}, noSize, []int{0, 1, 2}},
		{"hourly", Retention{KeepHourly: 2}, []Candidate{at(day(0)), at(day(0).Add(-time.Second)), at(day(0).Add(-2 * time.Second)), at(day(0).Add(-time.Hour))}, noSize, []int{0, 1}},
		{"weekly: Sunday ends a week", Retention{KeepWeekly: 2}, daily(9), noSize, []int{0, 6}},
		{"a week of two years", Retention{KeepWeekly: 2}, []Candidate{at(day(320)), at(day(324)), at(day(325))}, noSize, []int{0, 1}}, // 2026-01-05 is a Monday
		{"monthly and yearly", Retention{KeepMonthly: 2, KeepYearly: 2}, daily(400), noSize, []int{0, 21, 325}},
		{"within, before the newest", Retention{KeepWithin: 48 * time.Hour}, daily(5), noSize, []int{0, 1, 2}},
		{"within, though the host was down for a month", Retention{KeepWithin: 24 * time.Hour}, daily(40)[30:], noSize, []int{0, 1}},
		{"pinned", Retention{KeepLast: 1}, with(daily(4), 3, func(c *Candidate) { c.Pinned = true }), noSize, []int{0, 3}},
		{"in use", Retention{KeepLast: 1}, with(daily(4), 3, func(c *Candidate) { c.InUse = true }), noSize, []int{0, 3}},
		{"newest complete", Retention{KeepLast: 1}, with(with(daily(4), 0, warned), 1, warned), noSize, []int{0, 2}},
		{"newest practised", Retention{KeepLast: 1}, with(with(daily(4), 3, practised), 2, practised), noSize, []int{0, 2}},
		{"newest practised, damaged since", Retention{KeepLast: 1}, with(with(with(daily(4), 3, practised), 2, practised), 2, damaged), noSize, []int{0, 2, 3}},
		{"the newest are damaged", Retention{KeepLast: 1}, with(with(daily(4), 0, damaged), 1, damaged), noSize, []int{0, 1, 2}},
		{"a practice failed", Retention{KeepLast: 1}, with(daily(3), 0, func(c *Candidate) { c.PracticeFailed = true }), noSize, []int{0, 1}},
		{"all are damaged", Retention{KeepLast: 1}, with(with(with(daily(3), 0, damaged), 1, damaged), 2, damaged), noSize, []int{0, 1, 2}},
		{"a damaged one takes no place", Retention{KeepLast: 2}, with(daily(4), 1, damaged), noSize, []int{0, 1, 2}},
		{"a damaged one goes when its time has come", Retention{KeepLast: 2}, with(daily(4), 2, damaged), noSize, []int{0, 1}},
		{"cannot be read", Retention{KeepLast: 1}, with(daily(4), 3, unreadable), noSize, []int{0, 3}},
		{"cannot be read, the newest", Retention{KeepLast: 1}, with(daily(3), 0, unreadable), noSize, []int{0, 1}},
		{"from the future", Retention{KeepLast: 1}, append(daily(3), at(day(-365))), noSize, []int{0, 3}},
		{"the clock was set back a year", Retention{KeepLast: 1}, []Candidate{at(day(-366)), at(day(-365)), at(day(0))}, noSize, []int{0, 1, 2}},
		{"max-total alone", Retention{MaxTotal: 30}, daily(5), each(10), []int{0, 1, 2}},
		{"max-total and a rule", Retention{KeepLast: 4, MaxTotal: 39}, daily(6), each(10), []int{0, 1, 2}},
		{"max-total has room", Retention{KeepLast: 2, MaxTotal: 1000}, daily(6), each(10), []int{0, 1}},
		{"max-total below what is protected", Retention{MaxTotal: 1}, with(daily(4), 2, func(c *Candidate) { c.Pinned = true }), each(10), []int{0, 2}},
		{"a rule that keeps nothing", Retention{}, daily(3), noSize, []int{0, 1, 2}},
		{"a rule that is wrong", Retention{KeepLast: -1, KeepDaily: 1}, daily(3), noSize, []int{0, 1, 2}},
		{"no backups", Retention{KeepLast: 1}, nil, noSize, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := kept(test.rule.Plan(test.all, now, test.size))
			var want []ID
			for _, i := range test.want {
				want = append(want, test.all[i].ID)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("kept: got %v, want %v", got, want)
			}
		})
	}
}

func warned(c *Candidate)     { c.Warnings = true }
func practised(c *Candidate)  { c.Practised = true }
func damaged(c *Candidate)    { c.Damaged = true }
func unreadable(c *Candidate) { c.Unreadable = true }

func kept(decisions []Decision) (ids []ID) {
	for _, d := range decisions {
		if d.Keep {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// TestPlanWords: newest first, with the rules in words.
func TestPlanWords(t *testing.T) {
	all := with(with(daily(5), 0, warned), 4, func(c *Candidate) { c.Pinned = true })
	slices.Reverse(all)
	got := fmt.Sprintf("%v", Retention{KeepLast: 2, KeepDaily: 3, KeepWithin: 36 * time.Hour}.Plan(all, day(0), noSize))
	want := "[{db-20261121T120000Z true true [newest good keep-last 1 of 2 keep-daily 1 of 3 keep-within 36h]} " +
		"{db-20261120T120000Z true true [newest complete keep-last 2 of 2 keep-daily 2 of 3 keep-within 36h]} " +
		"{db-20261119T120000Z true false [keep-daily 3 of 3]} " +
		"{db-20261118T120000Z false false [no rule keeps it]} " +
		"{db-20261117T120000Z true true [pinned]}]"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestRetentionCheck(t *testing.T) {
	for _, test := range []struct {
		rule Retention
		want string // part of the error, "" for none
	}{
		{Retention{}, "keep nothing"},
		{Retention{KeepDaily: -1}, "keep-daily is 1 or more, not -1"},
		{Retention{KeepLast: 3, KeepYearly: -2}, "keep-yearly is 1 or more"},
		{Retention{KeepWithin: -time.Hour}, "keep-within is a time"},
		{Retention{MaxTotal: -1}, "max-total is a size"},
		{Retention{MaxTotal: 1}, ""},
		{Retention{KeepWithin: time.Hour}, ""},
		{Retention{KeepLast: 1}, ""},
	} {
		err := test.rule.Check()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got error %v, want %q", test.rule, err, test.want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		48 * time.Hour: "48h", 14 * 24 * time.Hour: "14d", 90 * time.Minute: "1h30m", 36 * time.Hour: "36h", 80 * time.Hour: "80h", 90 * time.Second: "1m30s",
	} {
		if got := Span(d); got != want {
			t.Errorf("%d: got %q, want %q", d, got, want)
		}
	}
}

// TestPlanAsModel compares Plan with a second, slow implementation that follows doc/retention.md sentence by sentence. HISTORIES is how many
// random histories.
func TestPlanAsModel(t *testing.T) {
	histories := 2000
	if n, err := strconv.Atoi(os.Getenv("HISTORIES")); err == nil {
		histories = n
	}
	removed, kepts := 0, 0
	for seed := range histories {
		h := newHistory(uint64(seed))
		got := h.rule.Plan(h.all, h.now, h.size)
		want := h.model()
		if len(got) != len(h.all) {
			t.Fatalf("seed %d: got %d decisions, want %d", seed, len(got), len(h.all))
		}
		for _, d := range got {
			if d.Keep != want[d.ID] {
				t.Fatalf("seed %d, rule %+v, %s (%+v): got keep %v by %v, want %v", seed, h.rule, d.ID, h.byID(d.ID), d.Keep, d.Rules, want[d.ID])
			}
			if len(d.Rules) == 0 {
				t.Fatalf("seed %d, %s: no rule is told", seed, d.ID)
			}
			if d.Keep {
				kepts++
			} else {
				removed++
			}
		}
		// What is left is left by a second run too.
		left := slices.DeleteFunc(slices.Clone(h.all), func(c Candidate) bool { return !want[c.ID] })
		if again := kept(h.rule.Plan(left, h.now, h.size)); len(again) != len(left) {
			t.Fatalf("seed %d, rule %+v: a second run keeps %d of %d", seed, h.rule, len(again), len(left))
		}
	}
	if removed < histories || kepts < histories {
		t.Errorf("the histories prove little: %d removed, %d kept", removed, kepts)
	}
}

// history is a random history of one service, with a rule for it.
type history struct {
	rule  Retention
	now   time.Time
	all   []Candidate
	holds map[ID][]int // numbers of segments, which take as many bytes
}

func newHistory(seed uint64) *history {
	random := rand.New(rand.NewPCG(seed, 1))
	h := &history{now: day(0), holds: map[ID][]int{}}
	if random.IntN(10) == 0 {
		h.now = day(random.IntN(800)) // the clock was set back
	}
	some := func(most int) int { return max(0, random.IntN(2*most)-most) }
	h.rule = Retention{KeepLast: some(4), KeepHourly: some(6), KeepDaily: some(6), KeepWeekly: some(5), KeepMonthly: some(4), KeepYearly: some(3)}
	if random.IntN(4) == 0 {
		h.rule.KeepWithin = time.Duration(random.IntN(200)) * time.Hour
	}
	if h.rule == (Retention{}) || random.IntN(4) == 0 {
		h.rule.MaxTotal = int64(1 + random.IntN(400))
	}
	step := []time.Duration{time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 9 * 24 * time.Hour}[random.IntN(5)]
	bad := random.IntN(3)
	rarely := func() bool { return random.IntN(12) < bad }
	t := day(-1)
	for range random.IntN(40) {
		t = t.Add(-time.Second - time.Duration(random.Int64N(int64(2*step))))
		c := Candidate{
			ID: NewID("db", t), Unreadable: random.IntN(20) == 0, Warnings: rarely(), Damaged: rarely(), Pinned: random.IntN(15) == 0, InUse: random.IntN(20) == 0, Practised: rarely(),
		}
		c.PracticeFailed = !c.Practised && rarely()
		h.all = append(h.all, c)
		for range random.IntN(5) {
			h.holds[c.ID] = append(h.holds[c.ID], random.IntN(30))
		}
	}
	random.Shuffle(len(h.all), func(i, j int) { h.all[i], h.all[j] = h.all[j], h.all[i] })
	return h
}

func (h *history) byID(id ID) Candidate {
	return h.all[slices.IndexFunc(h.all, func(c Candidate) bool { return c.ID == id })]
}

func (h *history) size(ids []ID) (bytes int64) {
	counted := map[int]bool{}
	for _, id := range ids {
		for _, n := range h.holds[id] {
			if !counted[n] {
				counted[n] = true
				bytes += int64(n)
			}
		}
	}
	return bytes
}

// model tells of each backup whether it stays.
func (h *history) model() map[ID]bool {
	// What cannot be read, and what is from the future, stays and takes no place.
	var known, good []Candidate
	for _, c := range h.all {
		if !c.Unreadable && !c.ID.Time().After(h.now) {
			known = append(known, c)
			if !c.Damaged && !c.PracticeFailed {
				good = append(good, c)
			}
		}
	}
	newer := func(among []Candidate, than Candidate) (found []Candidate) {
		for _, c := range among {
			if c.ID.Time().After(than.ID.Time()) {
				found = append(found, c)
			}
		}
		return found
	}
	is := func(of []Candidate, c Candidate) bool { return slices.Contains(of, c) }
	clean := slices.DeleteFunc(slices.Clone(good), func(c Candidate) bool { return c.Warnings })
	proven := slices.DeleteFunc(slices.Clone(good), func(c Candidate) bool { return !c.Practised })
	rehearsed := slices.DeleteFunc(slices.Clone(known), func(c Candidate) bool { return !c.Practised })
	protected := func(c Candidate) bool {
		return c.Pinned || c.InUse || !is(known, c) || len(newer(good, c)) == 0 ||
			is(clean, c) && len(newer(clean, c)) == 0 || is(proven, c) && len(newer(proven, c)) == 0 ||
			is(rehearsed, c) && len(newer(rehearsed, c)) == 0
	}
	periods := map[string]int{"2006010215": h.rule.KeepHourly, "20060102": h.rule.KeepDaily, "week": h.rule.KeepWeekly, "200601": h.rule.KeepMonthly, "2006": h.rule.KeepYearly}
	period := func(c Candidate, layout string) string {
		if layout == "week" { // the week's Monday
			t := c.ID.Time()
			layout = "20060102"
			return t.AddDate(0, 0, -(int(t.Weekday())+6)%7).Format(layout)
		}
		return c.ID.Time().Format(layout)
	}
	byRule := func(c Candidate) bool {
		among := known
		if is(good, c) {
			among = good
		}
		later := newer(among, c)
		if len(later) < h.rule.KeepLast {
			return true
		}
		for layout, count := range periods {
			seen := map[string]bool{}
			for _, l := range later {
				seen[period(l, layout)] = true
			}
			if !seen[period(c, layout)] && len(seen) < count {
				return true
			}
		}
		if h.rule.KeepWithin > 0 {
			for _, g := range good {
				if len(newer(good, g)) == 0 && c.ID.Time().Add(h.rule.KeepWithin).Compare(g.ID.Time()) >= 0 {
					return true
				}
			}
		}
		without := h.rule
		without.MaxTotal = 0
		return without == Retention{}
	}
	stays := map[ID]bool{}
	for _, c := range h.all {
		stays[c.ID] = protected(c) || byRule(c)
	}
	// The oldest that is not protected goes, and again, until the rest is small enough.
	for h.rule.MaxTotal > 0 {
		var rest []ID
		var oldest *Candidate
		for _, c := range h.all {
			if !stays[c.ID] {
				continue
			}
			rest = append(rest, c.ID)
			if !protected(c) && (oldest == nil || c.ID.Time().Before(oldest.ID.Time())) {
				oldest = &c
			}
		}
		if oldest == nil || h.size(rest) <= h.rule.MaxTotal {
			break
		}
		stays[oldest.ID] = false
	}
	return stays
}

func TestParseAge(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		text string
		want time.Duration // -1 for none
	}{
		{"10m", 10 * time.Minute}, {"36h", 36 * time.Hour}, {"1h30m", 90 * time.Minute}, {"0", 0}, {"2d", 2 * day}, {"1d12h", 36 * time.Hour},
		{"0d", 0}, {"65535d", 65535 * day},
		{"", -1}, {"d", -1}, {"2", -1}, {"-2d", -1}, {"-5m", -1}, {"2d-5h", -1}, {"2d3d", -1}, {"1.5d", -1}, {"65536d", -1}, {"2 d", -1}, {"soon", -1},
	}
	for _, tt := range tests {
		got, err := ParseAge(tt.text)
		if err != nil {
			got = -1
		}
		if got != tt.want {
			t.Errorf("%q: got %v %v, want %v", tt.text, got, err, tt.want)
		}
	}
}
