package cli

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// scheduleLogSize is from how many bytes on the log of schedules is put away; the one put away before goes.
const scheduleLogSize = 1 << 20

func (p *program) scheduleLogPath() string { return filepath.Join(p.logsDir(), "schedule.log") }

// toScheduleLog lets all that is printed go to the log of schedules, until the returned function is called. Without room or permission it
// goes to the streams, which cron mails, and the run goes on.
func (p *program) toScheduleLog() (end func()) {
	log, err := openScheduleLog(p.scheduleLogPath())
	if err != nil {
		p.ui.Warn("this run has no log: %v", err)
		return func() {}
	}
	stdout, stderr, printer := p.stdout, p.stderr, p.ui
	p.stdout, p.stderr, p.ui = log, log, ui.New(log, true)
	return func() {
		p.stdout, p.stderr, p.ui = stdout, stderr, printer
		_ = log.Close() // it was written to as far as that went
	}
}

// openScheduleLog opens the log to append to it. One that is large is put away first, by one run of those that find it so at once.
func openScheduleLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	open := func() (*os.File, error) { return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640) }
	log, err := open()
	if err != nil {
		return nil, err
	}
	if unix.Flock(int(log.Fd()), unix.LOCK_EX) != nil || !isLarge(log, path) || os.Rename(path, path+".1") != nil {
		return log, unix.Flock(int(log.Fd()), unix.LOCK_UN)
	}
	defer log.Close()
	return open()
}

// isLarge tells whether an open log is to be put away, and is still the one at path.
func isLarge(log *os.File, path string) bool {
	opened, err := log.Stat()
	if err != nil || opened.Size() < scheduleLogSize {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}
