// Package restore brings a backup back: a plan first, then steps in a fixed order, each of them a gate. Data is loaded into a
// new service and proven equal before an app exists; the app gets exactly the commit that belongs to the data, and counts as
// restored when it answers. What the backup was made of is never touched.
//
// Start with NewPlan, then Run. Every step is written to a Journal before it begins and after it ended, so that Resume can go
// on after a kill or a failed gate, and Abort removes all that was made and nothing else: whatever a restore makes bears its
// mark. Practise is a restore under throw-away names that cleans up after itself. The package knows no technology: the parts
// of a Job do the work.
package restore

import (
	"context"
	"io"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Request is what a person asked for. The journal keeps it, so that going on means the same.
type Request struct {
	Backup   backup.ID         `json:"backup"`
	Store    string            `json:"store,omitempty"`     // that the backup is read from; empty: this host's own repository
	Service  string            `json:"service"`             // name of the new service
	Type     string            `json:"type"`                // its type, that of the backup
	App      string            `json:"app,omitempty"`       // name of the new app; empty: the service alone
	From     string            `json:"from,omitempty"`      // the app of the backup that App is made from
	Replace  string            `json:"replace,omitempty"`   // the running app that gets the new service in the end
	Commit   string            `json:"commit,omitempty"`    // full SHA, instead of the one that the backup names
	Remote   string            `json:"remote,omitempty"`    // where the code comes from, instead of the backup's bundle
	SkipCode bool              `json:"skip_code,omitempty"` // the app gets config and link, and is not built
	Image    string            `json:"image,omitempty"`     // name:version, instead of the recorded one
	Verify   Verification      `json:"verify"`
	Config   string            `json:"config"` // all, none, or keys=A,B
	Env      map[string]string `json:"env,omitempty"`
	Scale    map[string]int    `json:"scale,omitempty"` // instead of the recorded one
	Network  string            `json:"network,omitempty"`
	Script   string            `json:"script,omitempty"` // SQL that is run when the data is proven, before there is an app
	Practice bool              `json:"practice,omitempty"`
}

// Verification is how loaded data is compared with the backup.
type Verification string

// The three ways to verify.
const (
	Rows  Verification = "rows"  // the number of rows of every table
	Exact Verification = "exact" // the digest of every table
	None  Verification = "none"
)

// Checks are the user's own.
type Checks struct {
	Path string   // that the web process must answer; empty: "/", where any answer but a failure will do
	SQL  []string // each must give a first value that is not false, 0, empty or NULL
	HTTP []string // paths that must answer below 400
}

// Job is one restore: what to restore and who does the parts of it.
type Job struct {
	Request
	Manifest *backup.Manifest
	Checks   Checks
	Last     *backup.Report // of a practice run of this backup, nil if there is none
	Journal  *Journal       // nil for a plan only

	Repository Repository
	Services   Services
	Apps       Apps
	Report     Reporter
}

// Repository gives what the backup holds.
type Repository interface {
	// Check tells how many segments the backup has and what they take, after it saw that all of them are there in full size.
	Check(ctx context.Context, m *backup.Manifest) (segments int, stored int64, err error)
	// Reader gives content; each segment is checked before a byte of it is given.
	Reader(ctx context.Context, c *backup.Content) io.ReadCloser
}

// NewService is a service to be made.
type NewService struct {
	Name, Image, Network, Mark string
}

// Services makes services, on the host that the backup is restored to.
type Services interface {
	Exists(ctx context.Context, name string) (bool, error)
	// Room is how many bytes are free where services keep their data.
	Room(ctx context.Context) (int64, error)
	HasImage(ctx context.Context, image string) (bool, error)
	FetchImage(ctx context.Context, image string) error
	// CreateNetwork makes a network that lets nothing out. One that is there already and bears the mark is fine.
	CreateNetwork(ctx context.Context, name, mark string) error
	RemoveNetwork(ctx context.Context, name, mark string) error
	Create(ctx context.Context, s NewService) error
	// Destroy removes the service if it bears the mark. None of that name is fine; another one is an error.
	Destroy(ctx context.Context, name, mark string) error
	Open(ctx context.Context, name string) (Server, error)
	// Leftovers names, in words, all on the host that bears the mark.
	Leftovers(ctx context.Context, mark string) ([]string, error)
}

// Server is the new service's server.
type Server interface {
	// CanLoad tells, before anything is loaded, what stands in the way: the version, extensions that are missing.
	CanLoad(ctx context.Context, s backup.Service) error
	// Load loads everything. progress is called with each number of plain bytes that reached the server. It stops at the first
	// error; the server is then good for nothing but to be removed.
	Load(ctx context.Context, s backup.Service, from Repository, progress func(n int)) error
	// Analyze gathers the statistics that queries are planned by. Autovacuum would, in time.
	Analyze(ctx context.Context, s backup.Service) error
	Verify(ctx context.Context, s backup.Service, from Repository, exact bool) (backup.Proof, error)
	// Migration is what the database's own table says was applied; nil when there is no such table.
	Migration(ctx context.Context) (*backup.Migration, error)
	// Script runs SQL and stops at its first error.
	Script(ctx context.Context, sql io.Reader) error
	// Check runs a query of the user's.
	Check(ctx context.Context, sql string) (result string, ok bool, err error)
}

// NewApp is an app to be made.
type NewApp struct {
	Name, Mark, Network, Branch string
	Config                      map[string]string
	Scale                       map[string]int
	Ports                       []string
}

// Code says which commit an app is to get, and from where: a remote's URL, or else the bundle, or else what the app's own
// repository has already.
type Code struct {
	Commit, Remote string
	Bundle         *backup.Content
}

// Link is how an app is linked to a service: the config key that held the address of the old one, "DATABASE_URL" mostly, and
// others that held it as well.
type Link struct {
	Key  string            `json:"key"`
	Also map[string]string `json:"also,omitempty"` // key -> old value
}

// Apps makes apps.
type Apps interface {
	Exists(ctx context.Context, name string) (bool, error)
	// Create makes an app with all that it needs but code and link. Nothing of it runs.
	Create(ctx context.Context, a NewApp) error
	// Destroy removes the app if it bears the mark, or was made after since and never got any config. None of that name is
	// fine; another one is an error.
	Destroy(ctx context.Context, name, mark string, since time.Time) error
	// Sync gives the app its code, and checks that it is the commit that was asked for.
	Sync(ctx context.Context, name string, c Code) error
	Link(ctx context.Context, service, name string, l Link) error
	Build(ctx context.Context, name string) error
	// Health looks whether the wanted processes run and whether the web process answers.
	Health(ctx context.Context, name string, want map[string]int) (backup.Health, error)
	// Ask asks the web process for a path and gives the HTTP status.
	Ask(ctx context.Context, name, path string) (status int, took time.Duration, err error)
	// Running is the commit that the app runs; empty when it is not known.
	Running(ctx context.Context, name string) (commit string, err error)
	// Relink puts a running app on service to and takes it off service from, without a restart. It can be repeated.
	Relink(ctx context.Context, name, from, to string) error
}

// Reporter tells a person what happens.
type Reporter interface {
	Step(format string, args ...any)
	Detail(format string, args ...any)
	Warn(format string, args ...any)
	// Progress begins a measured stretch of about total bytes.
	Progress(total int64) Progress
}

// Progress is a measured stretch.
type Progress interface {
	Add(n int)
	Done()
}

// service is the captured service; a backup has one.
func (j *Job) service() backup.Service { return j.Manifest.Services[0] }

// source is the app of the backup that the new one is made from; nil for a restore of the service alone.
func (j *Job) source() *backup.App {
	if j.App == "" {
		return nil
	}
	for i := range j.Manifest.Apps {
		if j.Manifest.Apps[i].Name == j.From {
			return &j.Manifest.Apps[i]
		}
	}
	return nil
}

// image is what the new service runs on.
func (j *Job) image() string {
	if j.Image != "" {
		return j.Image
	}
	return j.service().Image
}

// commit is the code that the new app gets; empty when it gets none.
func (j *Job) commit() string {
	source := j.source()
	switch {
	case source == nil || j.SkipCode:
		return ""
	case j.Commit != "":
		return j.Commit
	}
	return source.Commit
}

// scale is how many processes of each type the new app gets.
func (j *Job) scale() map[string]int {
	switch {
	case len(j.Scale) > 0:
		return j.Scale
	case j.Practice || j.Replace != "": // beside production, only what answers
		return map[string]int{"web": 1}
	}
	return j.source().Scale
}
