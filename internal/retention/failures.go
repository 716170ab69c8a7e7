package retention

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
	"github.com/dokku-backup/dokku-backup/internal/repository"
)

// Failures are what is kept of retention that failed, until it succeeds: a file a service.
type Failures struct{ Dir string }

type failure struct {
	Failed string    `json:"failed"`
	Where  string    `json:"where"`
	At     time.Time `json:"at"`
}

// path takes a service's name with or without its type.
func (f Failures) path(service string) string {
	return filepath.Join(f.Dir, service[strings.IndexByte(service, ':')+1:]+".json")
}

// Keep keeps that retention of a service failed in a place.
func (f Failures) Keep(service, where string, failed error) error {
	path := f.path(service)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = atomicfile.ReplaceJSON(path, failure{repository.Told(failed).Message, where, time.Now().UTC().Truncate(time.Second)})
	}
	if err != nil {
		return fmt.Errorf("keep the failure of retention: %w", err)
	}
	return nil
}

// Clear forgets the failure of a service's retention: it succeeded.
func (f Failures) Clear(service string) error {
	if err := os.Remove(f.path(service)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear the failure of retention: %w", err)
	}
	return nil
}

// Mended clears the failure of a service's retention in one place.
func (f Failures) Mended(service, at string) error {
	if kept, failed := f.read(service); !failed || kept.Where != at {
		return nil
	}
	return f.Clear(service)
}

func (f Failures) read(service string) (kept failure, failed bool) {
	text, err := os.ReadFile(f.path(service))
	if errors.Is(err, fs.ErrNotExist) {
		return kept, false
	}
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		kept.Failed = "it is not known why: " + err.Error()
	}
	return kept, true
}

// Last is why retention of a service failed the last time, and when; "" when it did not.
func (f Failures) Last(service string) (string, time.Time) {
	kept, _ := f.read(service)
	return kept.Failed, kept.At
}
