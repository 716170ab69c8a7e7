package schedule

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"regexp"
	"time"
)

// Schedule is one of a service: what happens when.
type Schedule struct {
	Service  string    `json:"service"` // type:name
	Name     string    `json:"name"`
	When     string    `json:"when"` // as it was written
	Zone     string    `json:"zone"`
	Jitter   int       `json:"jitter_s,omitempty"` // seconds, at most, by which a run begins later
	Practice bool      `json:"practice,omitempty"` // a practice run of the newest backup, not a backup
	Created  time.Time `json:"created_at"`
}

// validName is what the name of a schedule may be: a file is named by it.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$`)

// ValidName tells whether a schedule can have this name.
func ValidName(name string) bool { return validName.MatchString(name) }

// Words is what happens when, as it was written, and in which zone.
func (s Schedule) Words() string {
	words := s.When + " (" + s.Zone + ")"
	if s.Practice {
		words = "practice " + words
	}
	return words
}

// String is the service and the name.
func (s Schedule) String() string { return s.Service + " " + s.Name }

// Timing is when it fires.
func (s Schedule) Timing() (Timing, error) {
	t, err := Parse(s.When, s.Zone)
	if err != nil {
		return t, fmt.Errorf("schedule %s: %w", s, err)
	}
	return t, nil
}

// Delay is by how much the run of the time at begins later, below Jitter: always the same for a time, another for each host and schedule.
func (s Schedule) Delay(host string, at time.Time) time.Duration {
	if s.Jitter <= 0 {
		return 0
	}
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%s\n%s\n", host, s)
	_ = binary.Write(sum, binary.BigEndian, at.Unix())
	return time.Duration(sum.Sum64()%uint64(s.Jitter)) * time.Second
}

// State is what is known of a schedule's runs.
type State struct {
	Handled time.Time `json:"handled"`                // the last time that was run, or is being run
	Attempt int       `json:"attempt"`                // at it
	Running time.Time `json:"running_since,omitzero"` // of a run that has not ended
	Last    *Outcome  `json:"last,omitempty"`         // of the last run that ended
}

// Outcome is how a run ended.
type Outcome struct {
	At       time.Time `json:"at"` // the time that it was for
	Started  time.Time `json:"started_at"`
	Finished time.Time `json:"finished_at"`
	Result   Result    `json:"result"`
	Backup   string    `json:"backup,omitempty"` // that was made or practised
	Why      string    `json:"why,omitempty"`    // of what is not Done
}

// Result is how a run ended, in a word.
type Result string

// The results of a run.
const (
	Done     Result = "done"
	Warned   Result = "warnings" // done, with warnings
	Failed   Result = "failed"
	Skipped  Result = "skipped" // the owner has switched it off
	NoTarget Result = "gone"    // there is no such service
)

// maxAttempts is how often a time is tried whose run died.
const maxAttempts = 2

// clockStep is by how much a clock is set back in its correction. Handled times less ahead than this were run a moment ago.
const clockStep = 10 * time.Minute

// due works out what a schedule is due for, no run of it being under way: at is the time to run, zero for none. next is the state from
// which a run begins; it differs from the one given where the clock was set back or a run died.
func (s Schedule) due(t Timing, state State, now time.Time) (next State, at time.Time) {
	if state.Handled.Before(s.Created) {
		state.Handled = s.Created
	}
	if state.Handled.Sub(now) > clockStep { // set back: what comes again is run again, rather than nothing until then
		state.Handled, state.Attempt = now, 0
	}
	died := !state.Running.IsZero()
	if at = t.Last(state.Handled, now); !at.IsZero() {
		if died {
			state = state.ended(diedOutcome(state, now))
		}
		state.Attempt = 0
		return state, at
	}
	if !died {
		return state, time.Time{}
	}
	if state.Attempt < maxAttempts {
		return state, state.Handled
	}
	return state.ended(diedOutcome(state, now)), time.Time{}
}

func diedOutcome(state State, now time.Time) Outcome {
	return Outcome{
		At: state.Handled, Started: state.Running, Finished: now, Result: Failed, Why: "it was killed, or the host went down",
	}
}

func (s State) ended(o Outcome) State {
	s.Running, s.Last = time.Time{}, &o
	return s
}
