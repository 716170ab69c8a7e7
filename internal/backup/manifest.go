package backup

import "time"

// Schema is the manifest schema that this program writes, and the newest that it reads. Within one schema fields are
// only ever added. doc/manifest.schema.json specifies it.
const Schema = 1

// Manifest is the record of one backup. Everything in it describes the very data that was captured, or says that it
// is not known. Times are UTC, sizes are bytes.
type Manifest struct {
	Schema     int               `json:"schema"`
	ID         ID                `json:"id"`
	CreatedAt  time.Time         `json:"created_at"`  // when the snapshot was opened: the moment that the data shows
	FinishedAt time.Time         `json:"finished_at"` // when the last segment was stored
	State      State             `json:"state"`
	Note       string            `json:"note,omitempty"`
	Trigger    string            `json:"trigger"` // Manual, Scheduled, BeforeDeploy, ...
	Host       Host              `json:"host"`
	Services   []Service         `json:"services"`
	Apps       []App             `json:"apps"`
	Tools      map[string]string `json:"tools"` // program -> version, as it reported itself
	Timings    Timings           `json:"timings"`
	Warnings   []string          `json:"warnings,omitempty"`
	Stored     Stored            `json:"stored"`
}

// What asks for a backup, as Manifest.Trigger has it: a person, a schedule, or the trigger of Dokku's by which a hook was called.
const (
	Manual        = "manual"
	Scheduled     = "schedule"
	BeforeDeploy  = "post-build"  // the new image is built, the old containers serve
	AfterDeploy   = "post-deploy" // the new containers serve
	BeforeDestroy = "pre-delete"  // a service is about to be destroyed
)

// Host tells where a backup was made.
type Host struct {
	Name   string `json:"name"`
	Dokku  string `json:"dokku"`  // version
	Plugin string `json:"plugin"` // version of dokku-backup
}

// Service is a captured datastore service.
type Service struct {
	Type          string     `json:"type"` // postgres, ...
	Name          string     `json:"name"`
	Image         string     `json:"image"`    // postgres:15.18
	ImageID       string     `json:"image_id"` // sha256:...
	ServerVersion string     `json:"server_version"`
	Databases     []Database `json:"databases"`
	Roles         *Content   `json:"roles,omitempty"` // SQL of pg_dumpall --globals-only; holds password hashes, hence sealed
}

// Database is one database of a service, inspected in the same snapshot that was dumped.
type Database struct {
	Name       string      `json:"name"`
	Size       int64       `json:"size"` // on disk, pg_database_size
	Encoding   string      `json:"encoding"`
	Collation  string      `json:"collation"`
	CType      string      `json:"ctype,omitempty"`
	TimeZone   string      `json:"time_zone,omitempty"`
	Extensions []Extension `json:"extensions,omitempty"`
	Migration  *Migration  `json:"migration,omitempty"`
	Dump       Dump        `json:"dump"`
	Tables     []Table     `json:"tables"`
}

// Extension is an installed extension of a database.
type Extension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Migration is what the database's own table of migrations says was applied.
type Migration struct {
	Tool    string   `json:"tool"`  // rails, django, ...
	Table   string   `json:"table"` // schema-qualified
	Head    string   `json:"head"`  // the newest applied
	Applied []string `json:"applied"`
}

// Dump tells how to put a pg_dump custom-format archive together again: the head, then each table's rows as a data
// block, then the other blocks. See doc/format.md.
type Dump struct {
	Format string   `json:"format"` // "pg_dump custom 1.14"; "opaque" when the archive could not be read
	Bytes  int64    `json:"bytes"`  // of the content: head, rows, other blocks
	Digest string   `json:"digest"` // over head, tables and blocks; see DumpDigest
	Head   *Content `json:"head,omitempty"`
	Blocks []Block  `json:"blocks,omitempty"` // large objects and whatever else is not rows
	Opaque *Content `json:"opaque,omitempty"` // the whole stream, when it could not be read
}

// Block is a data block that does not hold rows.
type Block struct {
	Type    int      `json:"type"` // 1 data, 3 large objects
	DumpID  int      `json:"dump_id"`
	Tag     string   `json:"tag,omitempty"`
	Content *Content `json:"content"`
}

// Table is a table's fingerprint, and the segments that hold its rows.
type Table struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	DumpID int    `json:"dump_id"`
	*Content
}

// App is an app that is linked to a captured service.
type App struct {
	Name        string         `json:"name"`
	Commit      string         `json:"commit,omitempty"` // full SHA; empty when not known
	Short       string         `json:"short,omitempty"`
	Subject     string         `json:"subject,omitempty"`
	Certainty   Certainty      `json:"certainty"`
	Evidence    []string       `json:"evidence"` // why, in the order weighed
	State       string         `json:"state"`    // running, stopped, scaled to zero, never deployed, deploying
	DeployedAt  time.Time      `json:"deployed_at,omitzero"`
	Deploying   string         `json:"deploying,omitempty"` // commit that ran after the dump, when it differs from Commit; with trigger post-build, that was about to be deployed
	ImageID     string         `json:"image_id,omitempty"`
	Branch      string         `json:"branch,omitempty"`
	Source      string         `json:"source,omitempty"`
	SourceImage string         `json:"source_image,omitempty"`
	Bundle      *Bundle        `json:"bundle,omitempty"`
	Scale       map[string]int `json:"scale,omitempty"`
	Domains     []string       `json:"domains,omitempty"`
	Ports       []string       `json:"ports,omitempty"`
	Storage     []string       `json:"storage,omitempty"`
	ConfigKeys  []string       `json:"config_keys,omitempty"`
	Config      *Content       `json:"config,omitempty"` // a JSON object of keys and values
	Recreatable []string       `json:"recreatable,omitempty"`
}

// Bundle is a git bundle of an app's commit with all its ancestors.
type Bundle struct {
	Commits int `json:"commits"`
	*Content
}

// Certainty says how sure the commit of an app is.
type Certainty string

// The three degrees of certainty. A guess is never recorded as a fact.
const (
	Recorded Certainty = "recorded" // the ledger saw this image being built from this commit
	Inferred Certainty = "inferred" // the evidence leaves one candidate
	Unknown  Certainty = "unknown"
)

// Timings are the durations of the parts of a capture, in milliseconds.
type Timings struct {
	Inspect int64 `json:"inspect_ms"`
	Dump    int64 `json:"dump_ms"`
	Code    int64 `json:"code_ms"`
	Total   int64 `json:"total_ms"`
}

// Stored counts bytes: Raw as they came, New as they were added to the repository by this backup (sealed segments),
// Reused as they were already there (sealed size).
type Stored struct {
	Raw    int64 `json:"raw"`
	New    int64 `json:"new"`
	Reused int64 `json:"reused"`
}

// Content is a stretch of plain bytes as the segments that hold it, in order.
type Content struct {
	Bytes    int64      `json:"bytes"`
	Rows     int64      `json:"rows,omitempty"` // of COPY text; 0 for other content
	Digest   string     `json:"digest"`         // of rows: see RowDigest; of other content: sha256:...
	Segments []*Segment `json:"segments"`
}

// Segment refers to one sealed object of the repository.
type Segment struct {
	Name   string `json:"name"`   // hex of the keyed BLAKE3 of the plain content
	Bytes  int64  `json:"bytes"`  // plain
	Stored int64  `json:"stored"` // sealed
	// Base is the full segment that a delta was made from; empty for a full segment. This program writes no deltas,
	// but keeps the bases of those that a newer one wrote.
	Base string `json:"base,omitempty"`
}

// Contents calls fn with every content that the manifest refers to.
func (m *Manifest) Contents(fn func(what string, c *Content) error) error {
	visit := func(what string, c *Content) error {
		if c == nil {
			return nil
		}
		return fn(what, c)
	}
	for _, s := range m.Services {
		if err := visit("roles of "+s.Name, s.Roles); err != nil {
			return err
		}
		for _, d := range s.Databases {
			if err := visit("head of the dump of "+d.Name, d.Dump.Head); err != nil {
				return err
			}
			if err := visit("dump of "+d.Name, d.Dump.Opaque); err != nil {
				return err
			}
			for _, t := range d.Tables {
				if err := visit("table "+t.Schema+"."+t.Name, t.Content); err != nil {
					return err
				}
			}
			for _, b := range d.Dump.Blocks {
				if err := visit("block "+b.Tag+" of "+d.Name, b.Content); err != nil {
					return err
				}
			}
		}
	}
	for _, a := range m.Apps {
		if a.Bundle != nil {
			if err := visit("code of "+a.Name, a.Bundle.Content); err != nil {
				return err
			}
		}
		if err := visit("config of "+a.Name, a.Config); err != nil {
			return err
		}
	}
	return nil
}

// Bytes is the plain size of all content.
func (m *Manifest) Bytes() int64 {
	var n int64
	m.Contents(func(_ string, c *Content) error {
		n += c.Bytes
		return nil
	})
	return n
}
