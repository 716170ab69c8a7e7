package runs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// UnderWay is the run of a service that holds its lock; ok is false when there is none.
func (r *Runs) UnderWay(service string) (record Record, ok bool, err error) {
	lock, err := os.Open(filepath.Join(r.Dir, service+".lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("look for a run of %s: %w", service, err)
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return Record{}, false, nil
	}
	record, ok = read(lock)
	return record, ok, nil
}

// Cancel asks the run of a service to end, and waits until it has cleared away what it made. ok is false when there is none.
func (r *Runs) Cancel(ctx context.Context, service string) (record Record, ok bool, err error) {
	record, ok, err = r.UnderWay(service)
	if err != nil || !ok {
		return record, ok, err
	}
	if err := syscall.Kill(record.PID, syscall.SIGINT); err != nil {
		return record, true, fmt.Errorf("end process %d: %w", record.PID, err)
	}
	for {
		select {
		case <-ctx.Done():
			return record, true, fmt.Errorf("process %d has not ended: %w", record.PID, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
		now, running, err := r.UnderWay(service)
		if err != nil || !running || now.ID != record.ID {
			return record, true, err
		}
	}
}
