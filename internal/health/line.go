package health

import (
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/stores"
)

// Line is a backup, or a run that failed, as the list shows it.
type Line struct {
	ID        backup.ID          `json:"id"`
	Service   string             `json:"service"`
	CreatedAt time.Time          `json:"created_at"`
	State     string             `json:"state"`
	Bytes     int64              `json:"bytes"`
	New       int64              `json:"new_bytes"`
	Commits   []string           `json:"commits"`
	Note      string             `json:"note,omitempty"`
	Warnings  []string           `json:"warnings,omitempty"`
	Failed    string             `json:"failed,omitempty"`
	Pinned    *backup.Pinned     `json:"pinned,omitempty"`
	Verified  *backup.Verified   `json:"verified,omitempty"`
	Practised *backup.Report     `json:"practised,omitempty"`
	Stores    []stores.CopyState `json:"stores,omitempty"`
	Took      time.Duration      `json:"-"` // 0 where it failed
}
