package schedule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// withoutRace skips a test in which nothing happens at once, and which takes minutes with the race detector; make test runs it without.
func withoutRace(t *testing.T) {
	if raceEnabled {
		t.Skip("it runs without the race detector")
	}
}

func daily() Schedule {
	return Schedule{Service: "postgres:happycows-db", Name: "daily", When: "daily", Zone: "UTC", Created: noon}
}

// A year in which cron looks at each of the minutes that the crontab has: each time is run in its very minute, and no other.
func TestEveryTickOfAYear(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	to := noon.AddDate(1, 0, 0)
	for _, zone := range zones {
		for _, l := range lines {
			s := Schedule{Service: "postgres:x", Name: "x", When: l.when, Zone: zone, Created: noon}
			timing := mustParse(t, l.when, zone)
			minutes := strings.Split(Minutes([]Timing{timing}, time.UTC, noon), ",")
			var state State
			var got []time.Time
			for i := 0; ; i++ {
				minute, err := strconv.Atoi(minutes[i%len(minutes)])
				if err != nil {
					t.Fatal(err)
				}
				now := noon.Add(time.Duration(i/len(minutes))*time.Hour + time.Duration(minute)*time.Minute)
				if !now.Before(to) {
					break
				}
				next, at := s.due(timing, state, now)
				if state = next; at.IsZero() {
					continue
				}
				if !at.Equal(now) {
					t.Fatalf("%s in %s: at %s: got %s", l.when, zone, now, at)
				}
				got = append(got, at)
				state.Handled = at
			}
			equalTimes(t, l.when+" in "+zone, got, fires(timing, noon, to))
		}
	}
}

func TestDue(t *testing.T) {
	hourly := daily()
	hourly.When = "hourly"
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC) }
	const none = ""
	for _, c := range []struct {
		name     string
		schedule Schedule
		state    State
		now      time.Time
		want     string // the time that is due
		attempts int    // at it, before
		last     Result // that is told of a run before
	}{
		{"made today, for tomorrow", daily(), State{}, at(21, 23, 59), none, 0, ""},
		{"at its time", daily(), State{}, at(22, 0, 0), "22 00:00", 0, ""},
		{"a moment late", daily(), State{}, at(22, 0, 3), "22 00:00", 0, ""},
		{"handled", daily(), State{Handled: at(22, 0, 0)}, at(22, 0, 0), none, 0, ""},
		{"missed for hours", hourly, State{Handled: at(22, 1, 0)}, at(22, 9, 30), "22 09:00", 0, ""},
		{"missed for days", daily(), State{Handled: at(22, 0, 0)}, at(27, 5, 0), "27 00:00", 0, ""},
		{"caught up", daily(), State{Handled: at(27, 0, 0)}, at(27, 6, 0), none, 0, ""},
		{"clock set back a day", daily(), State{Handled: at(25, 0, 0)}, at(24, 12, 0), none, 0, ""},
		{"clock corrected by seconds", daily(), State{Handled: at(25, 0, 0)}, at(24, 23, 59), none, 0, ""},
		{"died", daily(), State{Handled: at(22, 0, 0), Running: at(22, 0, 0), Attempt: 1}, at(22, 1, 0), "22 00:00", 1, ""},
		{"died twice", daily(), State{Handled: at(22, 0, 0), Running: at(22, 1, 0), Attempt: 2}, at(22, 2, 0), none, 2, Failed},
		{"died, and the next time has come", daily(), State{Handled: at(22, 0, 0), Running: at(22, 0, 0), Attempt: 1}, at(23, 1, 0), "23 00:00", 0, Failed},
		{"died twice, and the next time has come", daily(), State{Handled: at(22, 0, 0), Running: at(22, 0, 0), Attempt: 2}, at(23, 1, 0), "23 00:00", 0, Failed},
	} {
		timing, err := c.schedule.Timing()
		if err != nil {
			t.Fatal(err)
		}
		next, due := c.schedule.due(timing, c.state, c.now)
		got := none
		if !due.IsZero() {
			got = due.Format("02 15:04")
		}
		if got != c.want {
			t.Errorf("%s: got %q due, want %q", c.name, got, c.want)
		}
		if next.Attempt != c.attempts {
			t.Errorf("%s: got %d attempts, want %d", c.name, next.Attempt, c.attempts)
		}
		if told := next.Last != nil; told != (c.last != "") || told && (next.Last.Result != c.last || !next.Running.IsZero()) {
			t.Errorf("%s: got last %+v, running since %s; want %q and none running", c.name, next.Last, next.Running, c.last)
		}
	}
}

// A clock that is a day ahead, and then set right: the day that comes again has its run again, and so has the next.
func TestClockSetBack(t *testing.T) {
	store := Store{Dir: t.TempDir()}
	s := put(t, store, daily())
	run, err := store.Take(s, noon.Add(30*time.Hour))
	if err != nil || run == nil || run.At.Day() != 22 {
		t.Fatalf("too early: got %v, %v", run, err)
	}
	must(t, run.End(noon, Outcome{Result: Done}))
	must(t, run.Release())
	var got []string
	for now := noon; now.Before(noon.AddDate(0, 0, 3)); now = now.Add(time.Hour) {
		if died, err := store.Settle(s, now); died != nil || err != nil {
			t.Fatal(died, err)
		}
		begins, err := store.Due(s, "host", now)
		must(t, err)
		if begins.IsZero() {
			continue
		}
		run := take(t, store, s, now)
		got = append(got, run.At.Format("02 15:04"))
		must(t, run.End(now, Outcome{Result: Done}))
		must(t, run.Release())
	}
	if want := []string{"22 00:00", "23 00:00", "24 00:00"}; !slices.Equal(got, want) {
		t.Errorf("got runs at %v, want %v", got, want)
	}
}

func TestDelay(t *testing.T) {
	s := daily()
	s.Jitter = 600
	found := map[time.Duration]bool{}
	for day := range 100 {
		at := noon.AddDate(0, 0, day)
		d := s.Delay("host", at)
		if d < 0 || d >= 10*time.Minute {
			t.Errorf("got a delay of %s, want less than 10 min", d)
		}
		if again := s.Delay("host", at); again != d {
			t.Errorf("got %s and then %s for one time", d, again)
		}
		found[d] = true
	}
	if len(found) < 50 {
		t.Errorf("got %d delays for 100 times", len(found))
	}
	if s.Delay("host", noon) == s.Delay("other", noon) {
		t.Error("two hosts have one delay")
	}
	s.Jitter = 0
	if d := s.Delay("host", noon); d != 0 {
		t.Errorf("without jitter: got %s", d)
	}
}

func put(t *testing.T, store Store, s Schedule) Schedule {
	t.Helper()
	if err := store.Put(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func take(t *testing.T, store Store, s Schedule, now time.Time) *Run {
	t.Helper()
	run, err := store.Take(s, now)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	store := Store{Dir: filepath.Join(t.TempDir(), "schedules")}
	s := put(t, store, daily())
	midnight := noon.Add(12 * time.Hour)
	if run := take(t, store, s, noon); run != nil {
		t.Fatalf("at noon: got a run for %s", run.At)
	}
	run := take(t, store, s, midnight)
	if run == nil || !run.At.Equal(midnight) {
		t.Fatalf("at midnight: got %v", run)
	}
	if other := take(t, store, s, midnight); other != nil {
		t.Error("taken twice")
	}
	if _, running, err := store.State(s, midnight); !running || err != nil {
		t.Errorf("while it runs: got running %t, %v", running, err)
	}
	if due, err := store.Due(s, "host", midnight); !due.IsZero() || err != nil {
		t.Errorf("while it runs: got due at %s, %v", due, err)
	}
	must(t, run.End(midnight.Add(time.Minute), Outcome{Result: Done, Backup: "id"}))
	must(t, run.Release())
	want := Outcome{At: midnight, Started: midnight, Finished: midnight.Add(time.Minute), Result: Done, Backup: "id"}
	state, running, err := store.State(s, midnight)
	if err != nil || running || state.Last == nil || *state.Last != want {
		t.Errorf("after it: got %+v, running %t, %v; want %+v", state.Last, running, err, want)
	}
	if run := take(t, store, s, midnight.Add(time.Hour)); run != nil {
		t.Errorf("an hour later: got a run for %s", run.At)
	}
}

func TestRunDies(t *testing.T) {
	store := Store{Dir: t.TempDir()}
	s := put(t, store, daily())
	now := noon.Add(12 * time.Hour)
	for attempt := 1; attempt <= maxAttempts; attempt++ {
		run := take(t, store, s, now)
		if run == nil {
			t.Fatalf("attempt %d: not due", attempt)
		}
		if died, err := store.Settle(s, now); died != nil || err != nil {
			t.Errorf("while it runs: got %+v, %v", died, err)
		}
		must(t, run.lock.Close()) // as when the process ends
		if run.state.Attempt != attempt {
			t.Errorf("got attempt %d, want %d", run.state.Attempt, attempt)
		}
		state, running, err := store.State(s, now)
		if err != nil || running || state.Last == nil || state.Last.Result != Failed {
			t.Errorf("after it: got %+v, running %t, %v; want a failure", state.Last, running, err)
		}
		now = now.Add(time.Hour)
	}
	if run := take(t, store, s, now); run != nil {
		t.Error("tried a third time")
	}
	if died, err := store.Settle(s, now); err != nil || died == nil || died.Result != Failed {
		t.Errorf("what is to be told: got %+v, %v; want a failure", died, err)
	}
	if died, err := store.Settle(s, now); died != nil || err != nil {
		t.Errorf("told again: got %+v, %v", died, err)
	}
	if run := take(t, store, s, now.AddDate(0, 0, 1)); run == nil || run.state.Attempt != 1 {
		t.Errorf("the next day: got %+v", run)
	}
}

// Many look at the same minute: one runs.
func TestManyTicksAtOnce(t *testing.T) {
	store := Store{Dir: t.TempDir()}
	s := put(t, store, daily())
	var runs atomic.Int32
	for day := 1; day <= 5; day++ {
		now := noon.Add(12*time.Hour).AddDate(0, 0, day-1)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				run, err := store.Take(s, now)
				if err != nil {
					t.Error(err)
				}
				if run == nil {
					return
				}
				runs.Add(1)
				if err := run.End(now, Outcome{Result: Done}); err != nil {
					t.Error(err)
				}
				if err := run.Release(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := int(runs.Load()); got != day {
			t.Fatalf("day %d: got %d runs in all", day, got)
		}
	}
}

func TestTakeNow(t *testing.T) {
	store := Store{Dir: t.TempDir()}
	s := put(t, store, daily())
	midnight := noon.Add(12 * time.Hour)
	run, err := store.TakeNow(s, midnight.Add(time.Minute))
	if err != nil || run == nil {
		t.Fatal(run, err)
	}
	if other, err := store.TakeNow(s, midnight); other != nil || err != nil {
		t.Errorf("while it runs: got %v, %v", other, err)
	}
	must(t, run.End(midnight, Outcome{Result: Done}))
	must(t, run.Release())
	if run := take(t, store, s, midnight.Add(time.Hour)); run != nil {
		t.Errorf("what was due is run once more, for %s", run.At)
	}
}

func TestStore(t *testing.T) {
	store := Store{Dir: filepath.Join(t.TempDir(), "schedules")}
	if all, err := store.All(); len(all) > 0 || err != nil {
		t.Errorf("before the first: got %v, %v", all, err)
	}
	first := put(t, store, daily())
	second := daily()
	second.Service, second.Name, second.Jitter, second.Practice = "postgres:a-db", "practice", 60, true
	put(t, store, second)
	must(t, store.Beat(noon))
	all, err := store.All()
	if err != nil || !slices.Equal(all, []Schedule{second, first}) {
		t.Errorf("got %+v, %v; want both, by service", all, err)
	}
	if of, err := store.Of(first.Service); err != nil || !slices.Equal(of, []Schedule{first}) {
		t.Errorf("of a service: got %+v, %v", of, err)
	}
	if beat, err := store.Heartbeat(); err != nil || !beat.Equal(noon) {
		t.Errorf("heartbeat: got %s, %v", beat, err)
	}

	run := take(t, store, first, noon.Add(12*time.Hour))
	must(t, store.Remove(first))
	must(t, run.End(noon, Outcome{Result: Done}))
	must(t, run.Release())
	must(t, store.Remove(first))
	if _, err := os.Stat(filepath.Join(store.Dir, first.Service)); !os.IsNotExist(err) {
		t.Errorf("of a removed schedule something is left: %v", err)
	}
}

// What is damaged is told, and keeps nothing else from running.
func TestDamage(t *testing.T) {
	store := Store{Dir: t.TempDir()}
	good := put(t, store, daily())
	bad := daily()
	bad.Name = "bad"
	put(t, store, bad)
	must(t, os.WriteFile(store.path(bad.Service, bad.Name, scheduleSuffix), []byte("{"), 0o600))
	all, err := store.All()
	if err == nil || !strings.Contains(err.Error(), "bad.json") {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if !slices.Equal(all, []Schedule{good}) {
		t.Errorf("got %+v, want the good one", all)
	}
	must(t, os.WriteFile(store.path(good.Service, good.Name, stateSuffix), nil, 0o600))
	if run := take(t, store, good, noon.Add(12*time.Hour)); run == nil {
		t.Error("a damaged state keeps a schedule from running")
	}
}

// The files are read by later versions.
func TestFormat(t *testing.T) {
	text, err := json.Marshal([]any{
		daily(),
		State{Handled: noon, Attempt: 1, Running: noon, Last: &Outcome{At: noon, Started: noon, Finished: noon, Result: Warned, Backup: "id", Why: "why"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const n = `"2026-11-21T12:00:00Z"`
	want := `[{"service":"postgres:happycows-db","name":"daily","when":"daily","zone":"UTC","created_at":` + n + `},` +
		`{"handled":` + n + `,"attempt":1,"running_since":` + n + `,"last":{"at":` + n + `,"started_at":` + n + `,"finished_at":` + n +
		`,"result":"warnings","backup":"id","why":"why"}}]`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}
