// Package runs keeps what runs on this host apart, and remembers what failed: one run per service at a time, many
// captures or one clean-up in the repository. Locks are flock(2): they end with the process that holds them, however it
// ends, so a lock is never stale; the record of a run that was killed stays, and tells that it failed.
package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Runs is the folder of locks and records. It is made when needed.
type Runs struct {
	Dir string
}

// Record is what is known of one run.
type Record struct {
	ID      backup.ID `json:"id"`
	Service string    `json:"service"` // type:name
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Percent int       `json:"percent,omitempty"` // of the dump, about
	Note    string    `json:"note,omitempty"`
	Trigger string    `json:"trigger,omitempty"`
	Failed  string    `json:"failed,omitempty"` // why
}

// keepFailed is how many failed runs of a service are remembered.
const keepFailed = 20

// Run is a run that holds its service's lock.
type Run struct {
	runs *Runs
	lock *os.File
	Record
	Died *Record // the run before this one, when it ended without a word
}

// Begin takes the service's lock. When another run holds it the error is a *backup.Problem with backup.ExitLocked that
// says which one.
func (r *Runs) Begin(service string) (*Run, error) {
	lock, err := r.open(service + ".lock")
	if err != nil {
		return nil, err
	}
	if err := tryLock(lock); err != nil {
		defer lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, held(service, lock)
		}
		return nil, fmt.Errorf("lock %s: %w", service, err)
	}
	run := &Run{runs: r, lock: lock}
	if died, ok := read(lock); ok {
		died.Failed = "it was killed, or the host went down"
		run.Died = &died
		err := r.remember(died)
		if err == nil {
			err = lock.Truncate(0) // else it would be taken for the record of this run until that is announced
		}
		if err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	return run, nil
}

// tryLock takes the lock if nobody runs. It tries for a moment, since Failed holds a free lock while it looks at it.
func tryLock(lock *os.File) error {
	for try := 1; ; try++ {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || try == 5 {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func held(service string, lock *os.File) error {
	message := "a backup of " + service + " is already running"
	stop := "wait for it"
	if record, ok := read(lock); ok {
		message = fmt.Sprintf("a backup of %s has been running since %s (process %d, %d %% done)",
			service, record.Started.Local().Format("15:04"), record.PID, record.Percent)
		stop = "wait for it, or stop it: dokku backup:cancel " + service
	}
	return &backup.Problem{Message: message, Hints: []string{stop}, Code: backup.ExitLocked}
}

// Announce writes the run's record, for others to see.
func (r *Run) Announce(record Record) error {
	r.Record = record
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	// In this order there is a record at any time; when it is killed in between, the end of a longer one follows it.
	text = append(text, '\n')
	if _, err := r.lock.WriteAt(text, 0); err != nil {
		return err
	}
	return r.lock.Truncate(int64(len(text)))
}

// End gives the lock back. A failed run is remembered.
func (r *Run) End(failure error) error {
	var err error
	if failure != nil && r.ID != "" {
		r.Failed = failure.Error()
		err = r.runs.remember(r.Record)
	}
	return errors.Join(err, r.lock.Truncate(0), r.lock.Close())
}

// Failed are the failed runs of a service ("" for all), newest first, those included that died without a word.
func (r *Runs) Failed(service string) ([]Record, error) {
	pattern := "*"
	if service != "" {
		pattern = service
	}
	var records []Record
	for _, glob := range []string{filepath.Join(pattern, "*.json"), pattern + ".lock"} {
		paths, err := filepath.Glob(filepath.Join(r.Dir, glob))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			record, ok, err := r.failed(path)
			if err != nil {
				return nil, err
			}
			if ok {
				records = append(records, record)
			}
		}
	}
	slices.SortFunc(records, func(a, b Record) int { return b.Started.Compare(a.Started) })
	return records, nil
}

// Forget removes the record of a failed run. known is false when there is none.
func (r *Runs) Forget(id backup.ID) (known bool, err error) {
	run, err := r.Begin(id.Service()) // so that the record of a run that was killed is where the others are
	if err != nil {
		return false, err
	}
	err = os.Remove(filepath.Join(r.Dir, id.Service(), string(id)+".json"))
	known = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return known, errors.Join(err, run.End(nil))
}

// failed reads a record; that in a lock which is held is of a run that goes on.
func (r *Runs) failed(path string) (Record, bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("read runs: %w", err)
	}
	defer f.Close()
	record, ok := read(f)
	if !ok || filepath.Ext(path) != ".lock" {
		return record, ok, nil
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil {
		return Record{}, false, nil
	}
	record.Failed = "it was killed, or the host went down"
	return record, true, nil
}

// remember keeps the record of a failed run, and forgets the oldest ones.
func (r *Runs) remember(record Record) error {
	dir := filepath.Join(r.Dir, record.ID.Service())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("remember failed run: %w", err)
	}
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, string(record.ID)+".json"), text, 0o600); err != nil {
		return fmt.Errorf("remember failed run: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	slices.Sort(names) // by time, since the ids of one service differ in it only
	for _, old := range names[:max(0, len(names)-keepFailed)] {
		if err := os.Remove(old); err != nil {
			return fmt.Errorf("forget old run: %w", err)
		}
	}
	return nil
}

// Share holds the repository against clean-ups until the returned function is called. It waits for one that is
// under way.
func (r *Runs) Share() (release func() error, err error) { return r.repository(unix.LOCK_SH) }

// Exclude holds the repository for a clean-up. ok is false when captures are under way.
func (r *Runs) Exclude() (release func() error, ok bool, err error) {
	release, err = r.repository(unix.LOCK_EX | unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, false, nil
	}
	return release, err == nil, err
}

func (r *Runs) repository(how int) (func() error, error) {
	// The name cannot be a service's: those hold no dot.
	lock, err := r.open("repository.all.lock")
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(lock.Fd()), how)
		if err == nil {
			return lock.Close, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock repository: %w", err), lock.Close())
		}
	}
}

func (r *Runs) open(name string) (*os.File, error) {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(r.Dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	return f, nil
}

// read reads the record at the beginning of f; ok is false when there is none.
func read(f *os.File) (record Record, ok bool) {
	err := json.NewDecoder(io.NewSectionReader(f, 0, 64<<10)).Decode(&record)
	return record, err == nil && record.ID != ""
}
