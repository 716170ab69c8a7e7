package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// writerName is the object that says who writes to a store.
const writerName = "writer"

// Host is who writes to a store: one host only, since two would not know of each other's backups.
type Host struct {
	ID    string    `json:"id"` // random, made once on that host
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
}

// OtherWriterError says that another host writes to a store.
type OtherWriterError struct{ Writer Host }

func (e *OtherWriterError) Error() string {
	return fmt.Sprintf("host %s has written there since %s", e.Writer.Name, e.Writer.Since.Format(time.DateOnly))
}

// Writer is the host that writes to the repository's store; the error matches fs.ErrNotExist when none ever did.
func (r *Repository) Writer(ctx context.Context) (Host, error) {
	var h Host
	text, err := r.getRecord(ctx, writerName)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, &DamageError{writerName, "not as its schema says"}
	}
	return h, nil
}

// Claim makes host the writer of the repository's store. When another one is, the error is an *OtherWriterError.
func (r *Repository) Claim(ctx context.Context, host Host) error {
	writer, err := r.Writer(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r.TakeOver(ctx, host)
	case err != nil:
		return err
	case writer.ID != host.ID:
		return &OtherWriterError{writer}
	}
	return nil
}

// TakeOver makes host the writer, whoever was it before.
func (r *Repository) TakeOver(ctx context.Context, host Host) error {
	return r.putRecord(ctx, writerName, host)
}

// Peek reads what a store says of the repository that it holds. Nothing of it is proven: that is Open's. The error matches fs.ErrNotExist
// when it holds none.
func Peek(ctx context.Context, store backup.Store) (Info, error) {
	return readInfo(ctx, store)
}
