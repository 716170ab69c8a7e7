// Package store opens the places that hold a copy of a repository outside of the host: ParseLocation reads the URL of one, Open
// makes its kind (a folder, SFTP, or a cloud service) and puts round it what is written once for all kinds: retries, time limits, a
// bandwidth limit, bounded parallel calls and a count. Prove tries a store before it is trusted with backups.
package store

import (
	"context"
	"io"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Prober is what a kind of store offers to the proof only.
type Prober interface {
	// ReadRange gives length bytes of the object from offset on.
	ReadRange(ctx context.Context, name string, offset, length int64) ([]byte, error)
	// CutOff begins to put the object and breaks off half-way through data, as a connection does that is cut; it leaves what such a
	// cut leaves. It returns an error, always.
	CutOff(ctx context.Context, name string, data []byte) error
	// Finish says in a few words for a person how an object gets its final name.
	Finish() string
	// Page is how many objects one page of a listing holds; 0 where a listing has no pages.
	Page() int
}

// Kind is one way to store things, without the wrappers. An error of it that trying again does not change is a *backup.Problem,
// or matches fs.ErrNotExist; any other counts as passing. It may also have a Sweep and a Close, as Store has.
type Kind interface {
	backup.Store
	Prober
}

// DefaultParallel is how many calls go to a store at the same time.
const DefaultParallel = 4

// Options are the limits that a store is used within. A zero value is the default.
type Options struct {
	Timeout   time.Duration // a call during which nothing comes or goes for so long has failed; default 60 s
	Tries     int           // how often a call that fails in passing is made, the first time included; default 6, with up to 15 s of waiting
	Bandwidth int64         // bytes a second, sent and received together; default: no limit
	Parallel  int           // calls at the same time; default DefaultParallel
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Tries <= 0 {
		o.Tries = 6
	}
	if o.Parallel <= 0 {
		o.Parallel = DefaultParallel
	}
	return o
}

// Store is a store of any kind, within its limits. Its List calls fn only once all objects are known, so fn may use the store, and it
// hears of no object twice however often the listing broke off; the list is held in memory meanwhile, about 150 bytes an object.
type Store struct {
	below
	kind  Kind
	count *count
}

var _ backup.Store = (*Store)(nil)

// New puts the wrappers round a kind. A call that waits for another try, or for its turn, holds up no other.
func New(kind Kind, o Options) *Store {
	o = o.withDefaults()
	counted := &count{below: below{kind}}
	var s backup.Store = &timeLimit{below: below{counted}, base: o.Timeout}
	if o.Bandwidth > 0 {
		s = newBandwidth(s, o.Bandwidth)
	}
	s = newParallel(s, o.Parallel)
	s = &retry{below: below{s}, tries: o.Tries}
	return &Store{below: below{s}, kind: kind, count: counted}
}

// Counts is what was asked of the store until now.
func (s *Store) Counts() Counts { return s.count.now() }

// Probe is the bare kind, for Prove.
func (s *Store) Probe() Kind { return s.kind }

// below is the store that a wrapper stands on. What a wrapper does not change goes through, the optional Sweep and Close included.
type below struct{ backup.Store }

// Sweep removes what uploads that were cut off left, where the store needs that. Nobody may be writing meanwhile.
func (b below) Sweep() error {
	if s, ok := b.Store.(interface{ Sweep() error }); ok {
		return s.Sweep()
	}
	return nil
}

// Close ends the store's connections, where it holds any.
func (b below) Close() error {
	if c, ok := b.Store.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
