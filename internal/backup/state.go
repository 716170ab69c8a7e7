package backup

import (
	"fmt"
	"time"
)

// State is how the capture of a backup ended. A backup that failed has no manifest; its run is remembered on the
// host that tried it.
type State string

// The states of a manifest.
const (
	Complete             State = "complete"
	CompleteWithWarnings State = "complete with warnings"
)

// Marks are what was done with a backup after it was made. They are kept beside the manifest, which never changes.
type Marks struct {
	Pinned    *Pinned   `json:"pinned,omitempty"`
	Verified  *Verified `json:"verified,omitempty"`
	Practised *Report   `json:"practised,omitempty"` // the last practice run
}

// Pinned says that a backup may not be removed.
type Pinned struct {
	At time.Time `json:"at"`
}

// Verified is the result of the last verify: every segment was read, or not all were, and what was wrong.
type Verified struct {
	At       time.Time `json:"at"`
	Segments int       `json:"segments"`        // read, decoded and compared
	Of       int       `json:"of,omitempty"`    // that there are, where not all were to be read
	Share    float64   `json:"share,omitempty"` // of all segments, where not all were to be read; tables were then not counted
	Problems []string  `json:"problems,omitempty"`
}

// OK tells whether the last verify found nothing wrong.
func (v *Verified) OK() bool { return v != nil && len(v.Problems) == 0 }

// CheckSchema refuses a manifest that is newer than this program.
func CheckSchema(id ID, schema int) error {
	if schema >= 1 && schema <= Schema {
		return nil
	}
	return &Problem{
		Message: fmt.Sprintf("the manifest of %s has schema %d, this program reads schema 1 to %d", id, schema, Schema),
		Hints:   []string{"update the plugin: dokku plugin:update backup"},
	}
}
