package stores

import (
	"cmp"
	"context"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store"
)

// Sent is what came of sending to a store.
type Sent struct {
	Store    string `json:"store"`
	State    string `json:"state"` // confirmed; missing: not all backups are there
	Why      string `json:"why,omitempty"`
	Backups  int    `json:"backups"`    // that were sent
	Bytes    int64  `json:"sent_bytes"` // all that was written there
	Requests int64  `json:"requests"`   // puts, gets, lists and deletes
	Took     int64  `json:"took_ms"`
	Err      error  `json:"-"`
}

// OK tells whether the store has all that it is to have.
func (s Sent) OK() bool { return s.Err == nil }

// Sending is what is to be sent.
type Sending struct {
	From     *repository.Repository // this host's
	Look     bool                   // the store is listed, whatever is remembered of it
	Unwanted func(ctx context.Context, store string, there *repository.Repository) (map[backup.ID]bool, error)
	Progress func() (sent func(bytes int64)) // is called when the store is connected
}

// Send sends to a store what it lacks. The caller has a share of the runs (runs.Share), so that no clean-up takes segments away. What went wrong is in
// what it returns.
func (s Stores) Send(ctx context.Context, r Remote, what Sending) (result Sent) {
	began := time.Now()
	result = Sent{Store: r.Name, State: "confirmed"}
	release, err := s.Hold(ctx, r.Name)
	if err == nil {
		defer release()
		err = s.send(ctx, r, what, &result)
	}
	result.Took = time.Since(began).Milliseconds()
	if err != nil {
		result.State, result.Why, result.Err = "missing", repository.Told(err).Message, err
	}
	return result
}

func (s Stores) send(ctx context.Context, r Remote, what Sending, result *Sent) error {
	mirror, to, err := s.Mirror(ctx, r, what.From)
	if err != nil {
		return err
	}
	defer to.Close()
	mirror.Progress = what.Progress()
	if what.Look {
		mirror.Copy.Looked = time.Time{}
	}
	if mirror.Copy.Unwanted, err = what.Unwanted(ctx, r.Name, what.From.At(to)); err != nil {
		return err
	}
	err = mirror.Sync(ctx)
	counts := to.Counts()
	result.Backups = mirror.Sent
	result.Bytes, result.Requests = counts.Sent, counts.Put+counts.Get+counts.List+counts.Delete
	return err
}

// Mirror is the copy of repo in a store, ready for a sync. The caller holds and closes the store.
func (s Stores) Mirror(ctx context.Context, r Remote, repo *repository.Repository) (*repository.Mirror, *store.Store, error) {
	host, err := s.Host()
	if err != nil {
		return nil, nil, err
	}
	remembered, err := s.Remembered(r.Name)
	if err != nil {
		return nil, nil, err
	}
	to, err := s.Open(ctx, r, repo)
	if err != nil {
		return nil, nil, err
	}
	return &repository.Mirror{
		From: repo, To: to, Host: host, Copy: remembered, Workers: cmp.Or(r.Parallel, store.DefaultParallel),
		Keep: func() error { return s.Remember(r.Name, remembered) },
	}, to, nil
}
