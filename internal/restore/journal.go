package restore

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Journals is the folder that holds a folder for each restore that is not finished, named for its new service.
type Journals struct {
	Dir string
}

// Journal is the memory of one restore, held by a lock that ends with the process. While it is there the service that it names
// is not proven.
type Journal struct {
	Record
	dir  string
	lock *os.File
}

// Record is what a journal tells.
type Record struct {
	Request Request       `json:"request"`
	Mark    string        `json:"mark"` // random; all that the restore makes bears it
	Started time.Time     `json:"started"`
	PID     int           `json:"pid"`
	Step    string        `json:"step"`             // that was begun last
	Failed  string        `json:"failed,omitempty"` // why that step failed; empty while it runs, and when it was killed
	Kept    bool          `json:"kept,omitempty"`   // a practice run that ended and was to stay
	Before  string        `json:"before,omitempty"` // commit of the app to replace, before it was touched
	Report  backup.Report `json:"report"`           // so far
}

const journalName = "journal.json"

// Begin starts a journal. One that is unfinished is a *backup.Problem.
func (j *Journals) Begin(r Request) (*Journal, error) {
	if err := os.MkdirAll(j.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("begin journal: %w", err)
	}
	dir := filepath.Join(j.Dir, r.Service)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("begin journal: %w", err)
	}
	journal, err := j.hold(r.Service)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, journalName)); !errors.Is(err, fs.ErrNotExist) {
		journal.lock.Close()
		return nil, unfinished(r.Service)
	}
	journal.Record = Record{Request: r, Mark: rand.Text(), Started: time.Now().UTC(), PID: os.Getpid()}
	return journal, journal.save()
}

// Open takes up the journal of an unfinished restore. The error matches fs.ErrNotExist when there is none.
func (j *Journals) Open(service string) (*Journal, error) {
	journal, err := j.hold(service)
	if err != nil {
		return nil, err
	}
	if err := journal.read(); err != nil {
		journal.lock.Close()
		return nil, err
	}
	journal.PID = os.Getpid()
	return journal, nil
}

// Free is a *backup.Problem while a restore into the service is under way, or is unfinished.
func (j *Journals) Free(service string) error {
	if !backup.ValidServiceName(service) {
		return nil // which a plan refuses
	}
	journal, err := j.Open(service)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(unfinished(service), journal.Close())
}

// Unfinished lists the records of all restores that have not finished, and whether each is under way. Folders that stand for
// nothing it clears away.
func (j *Journals) Unfinished() (records []Record, underWay []bool, err error) {
	entries, err := os.ReadDir(j.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("list journals: %w", err)
	}
	for _, e := range entries {
		journal := &Journal{dir: filepath.Join(j.Dir, e.Name())}
		lock, err := os.Open(journal.dir)
		if err != nil {
			continue // it has just ended
		}
		held := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
		err = journal.read()
		if errors.Is(err, fs.ErrNotExist) {
			if !held { // killed before its first word, or after its last
				_ = os.RemoveAll(journal.dir)
			}
			err = nil
		} else if err == nil {
			records, underWay = append(records, journal.Record), append(underWay, held)
		}
		lock.Close()
		if err != nil {
			return nil, nil, err
		}
	}
	return records, underWay, nil
}

// hold locks the folder of a restore. A folder that its owner removed meanwhile is not the one that others will see.
func (j *Journals) hold(service string) (*Journal, error) {
	journal := &Journal{dir: filepath.Join(j.Dir, service)}
	for try := 1; ; try++ {
		lock, err := os.Open(journal.dir)
		if err != nil {
			return nil, fmt.Errorf("open journal: %w", err)
		}
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			held, heldErr := lock.Stat()
			named, namedErr := os.Stat(journal.dir)
			if heldErr == nil && namedErr == nil && os.SameFile(held, named) {
				journal.lock = lock
				return journal, nil
			}
			err = unix.EWOULDBLOCK
		}
		lock.Close()
		if try < 5 { // Unfinished holds a free lock while it looks at it
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock journal: %w", err)
		}
		message := fmt.Sprintf("a restore into %s is under way", service)
		if journal.read() == nil {
			message += fmt.Sprintf(" since %s (process %d)", journal.Started.Local().Format("15:04"), journal.PID)
		}
		return nil, &backup.Problem{Message: message, Hints: []string{"wait for it"}, Code: backup.ExitLocked}
	}
}

func unfinished(service string) error {
	return &backup.Problem{
		Message: fmt.Sprintf("a restore into %s was begun and has not finished", service),
		Hints: []string{
			"go on with it: dokku backup:restore --resume " + service,
			"or remove it:  dokku backup:restore --abort " + service,
		},
		Code: backup.ExitLocked,
	}
}

// Folder is a private folder that lasts as long as the journal.
func (j *Journal) Folder() string { return j.dir }

func (j *Journal) read() error {
	text, err := os.ReadFile(filepath.Join(j.dir, journalName))
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	if err := json.Unmarshal(text, &j.Record); err != nil {
		return fmt.Errorf("read journal of a restore into %s: %w", filepath.Base(j.dir), err)
	}
	return nil
}

// save writes the record so that a crash leaves the old one or the new one. It holds --env values, hence 0600.
func (j *Journal) save() error {
	text, err := json.MarshalIndent(j.Record, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(j.dir, journalName)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil { // a full disk leaves the old one
		err = errors.Join(os.Rename(path+".new", path), j.lock.Sync())
	}
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// Close lets the journal go and leaves it where it is.
func (j *Journal) Close() error { return j.lock.Close() }

// Remove ends the journal: what it stood for is finished, or gone.
func (j *Journal) Remove() error {
	// The record goes first: a folder without one stands for nothing.
	if err := os.Remove(filepath.Join(j.dir, journalName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove journal: %w", err)
	}
	return errors.Join(os.RemoveAll(j.dir), j.lock.Close())
}
