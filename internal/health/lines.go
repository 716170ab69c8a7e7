package health

import (
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/runs"
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

// EntryLine is the line of a backup.
func EntryLine(e repository.Entry, copies []stores.CopyState) Line {
	return SummaryLine(e.Summary(), copies)
}

// SummaryLine is the line of a backup.
func SummaryLine(s repository.Summary, copies []stores.CopyState) Line {
	l := Line{
		ID: s.ID, Service: s.Service(), CreatedAt: s.CreatedAt, State: string(s.State), Bytes: s.Stored.Raw, New: s.Stored.New, Note: s.Note,
		Warnings: s.Warnings, Pinned: s.Marks.Pinned, Verified: s.Marks.Verified, Practised: s.Marks.Practised, Stores: copies, Took: s.Took,
	}
	if s.Unreadable {
		l.State, l.Failed = "unreadable", s.Err.Error()
	}
	for _, app := range s.Apps {
		if app.Commit != "" {
			l.Commits = append(l.Commits, app.Commit)
		}
	}
	return l
}

// FailedLine is the line of a run that made no backup.
func FailedLine(f runs.Record) Line {
	return Line{ID: f.ID, Service: f.Service, CreatedAt: f.Started, State: "failed", Failed: f.Failed, Note: f.Note}
}
