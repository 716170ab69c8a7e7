package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

// folder is the kind "file": a folder of a mounted file system, such as a NAS or a second disk.
type folder struct{ *local.Store }

var _ Kind = folder{}

func (f folder) Put(ctx context.Context, name string, data []byte) error {
	return f.explain(f.Store.Put(ctx, name, data))
}

func (f folder) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := f.Store.Get(ctx, name)
	return data, f.explain(err)
}

func (f folder) List(ctx context.Context, prefix string, fn func(backup.Object) error) error {
	return f.explain(f.Store.List(ctx, prefix, fn))
}

func (f folder) Delete(ctx context.Context, name string) error {
	return f.explain(f.Store.Delete(ctx, name))
}

// explain makes a problem of what trying again does not change.
func (f folder) explain(err error) error {
	if isProblem(err) {
		return err // of a listing's fn
	}
	for cause, message := range map[error]string{
		syscall.EROFS:   "%s can only be read: its file system is mounted read-only",
		syscall.EACCES:  "%s may not be changed or read by the user that this runs as",
		syscall.EPERM:   "%s may not be changed or read by the user that this runs as",
		syscall.ENOSPC:  "no space is left in %s",
		syscall.EDQUOT:  "the quota of %s is used up",
		syscall.ENOTDIR: "%s is not a folder, or lies below what is none",
	} {
		if errors.Is(err, cause) {
			return &backup.Problem{
				Message: fmt.Sprintf(message, f.Root),
				Hints:   []string{"see what is mounted there: findmnt -T '" + f.Root + "'; df -h '" + f.Root + "'"},
				Err:     err,
			}
		}
	}
	return err
}

// ReadRange implements Prober.
func (f folder) ReadRange(_ context.Context, name string, offset, length int64) ([]byte, error) {
	file, err := os.Open(filepath.Join(f.Root, name))
	if err != nil {
		return nil, f.explain(err)
	}
	defer file.Close()
	data := make([]byte, length)
	_, err = file.ReadAt(data, offset)
	return data, f.explain(err)
}

// CutOff implements Prober.
func (f folder) CutOff(_ context.Context, name string, data []byte) error {
	part := filepath.Join(f.Root, filepath.Dir(name), local.PartPrefix+rand.Text())
	err := os.WriteFile(part, data[:len(data)/2], 0o600)
	return f.explain(errors.Join(errors.New("cut off"), err))
}

// Finish implements Prober.
func (f folder) Finish() string { return "written beside, then renamed" }

// Page implements Prober.
func (f folder) Page() int { return 0 }

// RemoveFolder removes the folder name if it is empty.
func (f folder) RemoveFolder(_ context.Context, name string) error {
	if err := os.Remove(filepath.Join(f.Root, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.explain(err)
	}
	return nil
}
