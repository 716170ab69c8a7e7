package backup

import "time"

// Proof is what came of comparing restored data with the backup that it was restored from.
type Proof struct {
	Tables      int      `json:"tables"`                // compared
	Rows        int64    `json:"rows"`                  // in them
	Exact       bool     `json:"exact"`                 // by the digest of every row, not by the number of rows alone
	Differences []string `json:"differences,omitempty"` // in words; none when all is equal
	Unknown     []string `json:"unknown,omitempty"`     // what could not be compared, and why
}

// Report tells how a restore or a practice run went.
type Report struct {
	Backup   ID        `json:"backup"`
	Practice bool      `json:"practice"`
	Service  string    `json:"service"` // that was made
	App      string    `json:"app,omitempty"`
	Commit   string    `json:"commit,omitempty"` // that was built
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Passed   bool      `json:"passed"`
	Failed   string    `json:"failed,omitempty"` // the gate that did not open, and why
	Steps    []Timing  `json:"steps"`            // in their order
	Data     *Proof    `json:"data,omitempty"`
	Health   *Health   `json:"health,omitempty"`
	Migrated *Migrated `json:"migrated,omitempty"`
	Checks   []Check   `json:"checks,omitempty"`
	RTO      int64     `json:"rto_ms,omitempty"` // from the first step to the app's answer, or to proven data without an app
	RPO      int64     `json:"rpo_ms,omitempty"` // age of the backup when the run began
	Sealed   bool      `json:"sealed"`           // the app had no way out to the internet
	Warnings []string  `json:"warnings,omitempty"`
	Left     []string  `json:"left,omitempty"` // behind by a practice run; none when it cleaned up
}

// Timing is how long one step took.
type Timing struct {
	Step string `json:"step"`
	Took int64  `json:"took_ms"`
}

// Health is how a restored app was found.
type Health struct {
	Processes map[string]int `json:"processes"`           // type -> running
	Path      string         `json:"path,omitempty"`      // that was asked of the web process
	Status    int            `json:"status,omitempty"`    // HTTP; 0 without an answer
	Took      int64          `json:"took_ms,omitempty"`   // until the answer
	Trouble   string         `json:"trouble,omitempty"`   // what is not well
	NotAsked  string         `json:"not_asked,omitempty"` // why nothing was asked of it
}

// Migrated is what the app did to its database's migrations when it started.
type Migrated struct {
	Tool    string   `json:"tool"`
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// Check is one of the user's own checks.
type Check struct {
	Kind   string `json:"kind"` // sql or http
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Result string `json:"result"` // what came back
}
