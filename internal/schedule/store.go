package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
)

// Store keeps schedules below a folder, which is made when needed: SERVICE/NAME.json, NAME.state.json, and NAME.lock, which is held
// (flock(2)) while it runs.
type Store struct {
	Dir string
}

// Files of a schedule, after its name, and that of all.
const (
	scheduleSuffix = ".json"
	stateSuffix    = ".state.json"
	lockSuffix     = ".lock"
	heartbeat      = ".heartbeat"
)

func (s Store) path(service, name, suffix string) string {
	return filepath.Join(s.Dir, service, name+suffix)
}

// All are all schedules, by service and name. Those that can be read are returned together with the error of those that cannot.
func (s Store) All() ([]Schedule, error) { return s.find("*") }

// Of are the schedules of a service (type:name), by name; see All.
func (s Store) Of(service string) ([]Schedule, error) { return s.find(service) }

func (s Store) find(service string) ([]Schedule, error) {
	paths, err := filepath.Glob(s.path(service, "*", scheduleSuffix))
	if err != nil {
		return nil, fmt.Errorf("find schedules: %w", err)
	}
	slices.Sort(paths)
	var found []Schedule
	var damaged []error
	for _, path := range paths {
		if strings.HasSuffix(path, stateSuffix) {
			continue
		}
		var one Schedule
		err := read(path, &one)
		if err == nil && path != s.path(one.Service, one.Name, scheduleSuffix) {
			err = fmt.Errorf("%s does not say of which schedule it is", path)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			damaged = append(damaged, fmt.Errorf("read schedule: %w", err))
		default:
			found = append(found, one)
		}
	}
	return found, errors.Join(damaged...)
}

// Put keeps a schedule. One of the same service and name is replaced; what is known of its runs stays.
func (s Store) Put(one Schedule) error {
	if err := write(s.path(one.Service, one.Name, scheduleSuffix), one); err != nil {
		return fmt.Errorf("keep schedule %s: %w", one, err)
	}
	return nil
}

// Remove removes a schedule, if it is there. A run of it that is under way goes on.
func (s Store) Remove(one Schedule) error {
	for _, suffix := range []string{scheduleSuffix, stateSuffix, lockSuffix} {
		if err := os.Remove(s.path(one.Service, one.Name, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove schedule %s: %w", one, err)
		}
	}
	if err := os.Remove(filepath.Join(s.Dir, one.Service)); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove schedule %s: %w", one, err)
	}
	return nil
}

// State is what is known of a schedule's runs, and whether one is under way. One that died is told as the failure that it is.
func (s Store) State(one Schedule, now time.Time) (state State, running bool, err error) {
	if state, err = s.state(one); err != nil || state.Running.IsZero() {
		return state, false, err
	}
	if running, err = s.running(one); !running && err == nil {
		state = state.ended(diedOutcome(state, now))
	}
	return state, running, err
}

// running tells whether a run of the schedule is under way.
func (s Store) running(one Schedule) (bool, error) {
	lock, err := os.Open(s.path(one.Service, one.Name, lockSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at schedule %s: %w", one, err)
	}
	defer lock.Close()
	return errors.Is(unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK), nil
}

// state is as it was written. One that cannot be read is as good as none: it costs a run too many.
func (s Store) state(one Schedule) (State, error) {
	var state State
	err := read(s.path(one.Service, one.Name, stateSuffix), &state)
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*json.SyntaxError)) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("look at schedule %s: %w", one, err)
	}
	return state, nil
}

// Due is when the run begins that a schedule is due for, its delay on this host included; zero when it is due for none, or runs.
func (s Store) Due(one Schedule, host string, now time.Time) (time.Time, error) {
	timing, err := one.Timing()
	if err != nil {
		return time.Time{}, err
	}
	state, err := s.state(one)
	if err != nil {
		return time.Time{}, err
	}
	_, at := one.due(timing, state, now)
	if at.IsZero() {
		return at, nil
	}
	if running, err := s.running(one); running || err != nil {
		return time.Time{}, err
	}
	return at.Add(one.Delay(host, at)), nil
}

// Beat notes that schedules were looked at.
func (s Store) Beat(now time.Time) error {
	if err := write(filepath.Join(s.Dir, heartbeat), now.UTC()); err != nil {
		return fmt.Errorf("note that schedules were looked at: %w", err)
	}
	return nil
}

// Heartbeat is when schedules were last looked at; zero for never.
func (s Store) Heartbeat() (time.Time, error) {
	var at time.Time
	err := read(filepath.Join(s.Dir, heartbeat), &at)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return at, err
}

func read(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// write replaces a file: a crash leaves the old one or the new one.
func write(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Replace(path, append(text, '\n'))
}
