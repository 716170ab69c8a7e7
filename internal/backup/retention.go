package backup

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Retention is the rule of which backups of one service stay in one place. A backup stays when any part of the rule keeps it, or when
// it is protected, whatever the rule says (doc/retention.md). The counts are as restic's: the newest backup of each of that many
// periods, where a period without backups does not count. Periods are UTC's, as ids are; weeks are ISO 8601's. 0 is no such part.
type Retention struct {
	KeepLast    int           `json:"keep_last,omitempty"`
	KeepHourly  int           `json:"keep_hourly,omitempty"`
	KeepDaily   int           `json:"keep_daily,omitempty"`
	KeepWeekly  int           `json:"keep_weekly,omitempty"`
	KeepMonthly int           `json:"keep_monthly,omitempty"`
	KeepYearly  int           `json:"keep_yearly,omitempty"`
	KeepWithin  time.Duration `json:"keep_within_ns,omitempty"` // before the newest good backup, so that a host that was down loses none
	MaxTotal    int64         `json:"max_total,omitempty"`      // bytes that are stored; the oldest go until there are no more
}

// Candidate is a backup as retention sees it.
type Candidate struct {
	ID             ID
	Unreadable     bool // its manifest, or a mark: nothing is known for sure
	Warnings       bool // complete with warnings
	Damaged        bool // the last verify found something wrong
	Pinned         bool
	InUse          bool // a restore of it has not finished
	Practised      bool // the last practice run passed
	PracticeFailed bool // the last practice run did not
}

// good tells whether the backup is one that others may go for.
func (c Candidate) good() bool { return !c.Damaged && !c.PracticeFailed }

// Decision says whether a backup stays, and by which rules.
type Decision struct {
	ID        ID       `json:"id"`
	Keep      bool     `json:"keep"`
	Protected bool     `json:"protected"` // stays whatever the rule says
	Rules     []string `json:"rules"`
}

// keepRule keeps the newest backup of each of count periods.
type keepRule struct {
	name   string
	count  int
	period func(ID) string
}

func (r Retention) keepRules() []keepRule {
	by := func(layout string) func(ID) string {
		return func(id ID) string { return id.Time().Format(layout) }
	}
	week := func(id ID) string {
		year, week := id.Time().ISOWeek()
		return fmt.Sprint(year, week)
	}
	return []keepRule{
		{"keep-last", r.KeepLast, func(id ID) string { return string(id) }},
		{"keep-hourly", r.KeepHourly, by("2006010215")},
		{"keep-daily", r.KeepDaily, by("20060102")},
		{"keep-weekly", r.KeepWeekly, week},
		{"keep-monthly", r.KeepMonthly, by("200601")},
		{"keep-yearly", r.KeepYearly, by("2006")},
	}
}

// Check refuses a rule that would keep nothing, or that says nothing.
func (r Retention) Check() error {
	for _, k := range r.keepRules() {
		if k.count < 0 {
			return fmt.Errorf("%s is 1 or more, not %d", k.name, k.count)
		}
	}
	switch {
	case r.KeepWithin < 0:
		return fmt.Errorf("keep-within is a time, such as 48h, not %s", r.KeepWithin)
	case r.MaxTotal < 0:
		return fmt.Errorf("max-total is a size, such as 20GB, not %d", r.MaxTotal)
	case r == Retention{}:
		return errors.New("it would keep nothing: say how many are to stay, or in how much room")
	}
	return nil
}

// keepsByRule tells whether any part but MaxTotal is set. Where none is, all stay that MaxTotal has room for.
func (r Retention) keepsByRule() bool {
	r.MaxTotal = 0
	return r != Retention{}
}

// Plan decides on all backups of one service in one place, and returns the decisions newest first. size tells how many bytes the segments
// of a set of backups take, each counted once; it is asked only where MaxTotal is set. A rule that Check refuses keeps everything.
func (r Retention) Plan(all []Candidate, now time.Time, size func([]ID) int64) []Decision {
	p := newPlan(all, now)
	if r.Check() != nil {
		p.each(p.known, func(d *Decision) { d.keep("no rule") })
		return p.decisions
	}
	p.protect()
	for _, k := range r.keepRules() {
		p.apply(k)
	}
	if r.KeepWithin > 0 {
		p.within(r.KeepWithin)
	}
	if !r.keepsByRule() {
		p.each(p.known, func(d *Decision) { d.keep("max-total has room") })
	}
	if r.MaxTotal > 0 {
		p.shrink(r.MaxTotal, size)
	}
	p.each(p.known, func(d *Decision) {
		if len(d.Rules) == 0 {
			d.Rules = []string{"no rule keeps it"}
		}
	})
	return p.decisions
}

// plan is a Plan under way.
type plan struct {
	all         []Candidate // newest first, as the decisions
	decisions   []Decision
	known, good []int // indexes of those that rules are for, newest first
}

// newPlan sets aside what rules are not for: what cannot be read, and what is from the future, which the clock makes of all backups, or
// of a wrong one; either stays and takes no other's place.
func newPlan(all []Candidate, now time.Time) *plan {
	p := &plan{all: slices.Clone(all), decisions: make([]Decision, len(all))}
	slices.SortFunc(p.all, func(a, b Candidate) int {
		if c := b.ID.Time().Compare(a.ID.Time()); c != 0 {
			return c
		}
		return strings.Compare(string(b.ID), string(a.ID))
	})
	for i, c := range p.all {
		d := &p.decisions[i]
		d.ID = c.ID
		switch {
		case c.Unreadable:
			d.protect("cannot be read")
		case c.ID.Time().After(now):
			d.protect("from the future")
		default:
			p.known = append(p.known, i)
			if c.good() {
				p.good = append(p.good, i)
			}
		}
		if c.Pinned {
			d.protect("pinned")
		}
		if c.InUse {
			d.protect("a restore of it has not finished")
		}
	}
	return p
}

func (d *Decision) keep(rule string) {
	d.Keep = true
	if !slices.Contains(d.Rules, rule) {
		d.Rules = append(d.Rules, rule)
	}
}

func (d *Decision) protect(rule string) {
	d.keep(rule)
	d.Protected = true
}

func (p *plan) each(indexes []int, do func(*Decision)) {
	for _, i := range indexes {
		do(&p.decisions[i])
	}
}

// protect keeps what may never go: the newest good backup and all that came after it, the newest without warnings, the newest practised.
func (p *plan) protect() {
	for _, i := range p.known {
		if len(p.good) > 0 && i == p.good[0] {
			p.decisions[i].protect("newest good")
			break
		}
		p.decisions[i].protect("no newer good one")
	}
	p.protectNewest(p.good, "newest complete", func(c Candidate) bool { return !c.Warnings })
	practised := func(c Candidate) bool { return c.Practised }
	p.protectNewest(p.known, "newest practised", practised)
	p.protectNewest(p.good, "newest practised", practised) // where that one was damaged since
}

// protectNewest protects the newest of these backups that is so.
func (p *plan) protectNewest(among []int, rule string, is func(Candidate) bool) {
	if n := slices.IndexFunc(among, func(i int) bool { return is(p.all[i]) }); n >= 0 {
		p.decisions[among[n]].protect(rule)
	}
}

// apply keeps good backups by their place among the good ones, and others by their place among all: so a damaged one takes no good one's
// place, and does not go before its time either, since a copy may mend it.
func (p *plan) apply(k keepRule) {
	for _, among := range []struct {
		indexes []int
		good    bool
	}{{p.good, true}, {p.known, false}} {
		periods, last := 0, ""
		for _, i := range among.indexes {
			period := k.period(p.all[i].ID)
			if period == last {
				continue
			}
			if periods == k.count {
				break
			}
			periods, last = periods+1, period
			if p.all[i].good() == among.good {
				p.decisions[i].keep(fmt.Sprintf("%s %d of %d", k.name, periods, k.count))
			}
		}
	}
}

func (p *plan) within(span time.Duration) {
	if len(p.good) == 0 {
		return // then all are protected
	}
	from := p.all[p.good[0]].ID.Time().Add(-span)
	for _, i := range p.known {
		if !p.all[i].ID.Time().Before(from) {
			p.decisions[i].keep("keep-within " + Span(span))
		}
	}
}

// shrink removes the oldest that are not protected, until the others take at most so many bytes.
func (p *plan) shrink(most int64, size func([]ID) int64) {
	var kept, loose []int // newest first
	for i, d := range p.decisions {
		switch {
		case d.Protected:
			kept = append(kept, i)
		case d.Keep:
			loose = append(loose, i)
		}
	}
	fits := func(gone int) bool {
		var rest []ID
		p.each(append(slices.Clone(kept), loose[:len(loose)-gone]...), func(d *Decision) { rest = append(rest, d.ID) })
		return size(rest) <= most
	}
	gone := sort.Search(len(loose), fits)
	p.each(loose[len(loose)-gone:], func(d *Decision) { *d = Decision{ID: d.ID, Rules: []string{"max-total"}} })
}

// Span is a time as the rule of retention is written: 90m, 48h, 14d.
func Span(d time.Duration) string {
	switch {
	case d >= 3*24*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	return text
}

// ParseAge reads a duration as Go writes it, and days: 90m, 36h, 2d, 1d12h. It is never negative.
func ParseAge(text string) (time.Duration, error) {
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 16) // 65,535 days fit into a duration
	var d time.Duration
	if err == nil && (rest != "" || !hasDays) {
		d, err = time.ParseDuration(rest)
	}
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration: write it as 90m, 36h or 2d", text)
	}
	return time.Duration(n)*24*time.Hour + d, nil
}
