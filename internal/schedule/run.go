package schedule

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Run is a schedule that its owner alone runs, until Release.
type Run struct {
	Schedule
	At    time.Time // the time that is run
	store Store
	state State
	lock  *os.File
}

// Take begins the run of the time that a schedule is due for at now, and notes it: should the process die, it is known. It is nil when the
// schedule is not due, or another run has it.
func (s Store) Take(one Schedule, now time.Time) (*Run, error) {
	timing, err := one.Timing()
	if err != nil {
		return nil, err
	}
	run, err := s.hold(one)
	if run == nil || err != nil {
		return nil, err
	}
	if run.state, run.At = one.due(timing, run.state, now); run.At.IsZero() {
		return nil, run.Release()
	}
	return run.begin(now)
}

// Settle notes what has happened to a schedule while nobody looked: that a run died and is not tried again, or that the clock was set back.
// It comes before Due and Take. The failure of a run that died is returned once, to be told.
func (s Store) Settle(one Schedule, now time.Time) (died *Outcome, err error) {
	timing, err := one.Timing()
	if err != nil {
		return nil, err
	}
	state, err := s.state(one)
	if err != nil || one.settled(timing, state, now) {
		return nil, err
	}
	run, err := s.hold(one)
	if run == nil || err != nil {
		return nil, err
	}
	if !one.settled(timing, run.state, now) {
		dead := !run.state.Running.IsZero()
		if run.state, _ = one.due(timing, run.state, now); dead && run.state.Running.IsZero() {
			died = run.state.Last
		}
		err = run.save()
	}
	return died, errors.Join(err, run.Release())
}

// settled tells whether nothing is to be noted of a schedule.
func (s Schedule) settled(t Timing, state State, now time.Time) bool {
	next, _ := s.due(t, state, now)
	return next.Running.Equal(state.Running) && !next.Handled.Before(state.Handled)
}

// TakeNow begins a run now, whether the schedule is due or not, and as Take does; what it was due for is handled by it.
func (s Store) TakeNow(one Schedule, now time.Time) (*Run, error) {
	run, err := s.hold(one)
	if run == nil || err != nil {
		return nil, err
	}
	run.At, run.state.Attempt = now, 0
	return run.begin(now)
}

// hold takes the lock, and reads the state when it is held: two that look at a time at once see one another.
func (s Store) hold(one Schedule) (*Run, error) {
	lock, err := os.OpenFile(s.path(one.Service, one.Name, lockSuffix), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take schedule %s: %w", one, err)
	}
	if err := tryLock(lock); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = nil
		}
		return nil, errors.Join(err, lock.Close())
	}
	run := &Run{Schedule: one, store: s, lock: lock}
	if run.state, err = s.state(one); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return run, nil
}

// tryLock takes the lock if nobody runs. It tries for a moment, since running holds a free lock while it looks at it.
func tryLock(lock *os.File) error {
	for try := 1; ; try++ {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || try == 5 {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (r *Run) begin(now time.Time) (*Run, error) {
	r.state.Handled, r.state.Running = r.At, now
	r.state.Attempt++
	if err := r.save(); err != nil {
		return nil, errors.Join(err, r.Release())
	}
	return r, nil
}

// Before is how the run before this one ended, nil for the first.
func (r *Run) Before() *Outcome { return r.state.Last }

// End notes how the run ended, unless the schedule was removed meanwhile.
func (r *Run) End(now time.Time, o Outcome) error {
	o.At, o.Started, o.Finished = r.At, r.state.Running, now
	r.state = r.state.ended(o)
	return r.save()
}

func (r *Run) save() error {
	if _, err := os.Stat(r.store.path(r.Service, r.Name, scheduleSuffix)); err != nil {
		return nil // removed meanwhile: what is known of its runs goes with it
	}
	if err := write(r.store.path(r.Service, r.Name, stateSuffix), r.state); err != nil {
		return fmt.Errorf("note the run of schedule %s: %w", r.Schedule, err)
	}
	return nil
}

// Release gives the schedule back.
func (r *Run) Release() error { return r.lock.Close() }
