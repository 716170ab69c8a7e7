// Package backup holds the words of the domain: the manifest of a backup, its id, its states, the errors that
// a person reads, and the contract of a store. It does no work of its own and knows no technology: capture and
// restore are written in its terms, and the adapters (dokku, postgres, code, repository, store) speak them.
package backup

import (
	"context"
	"time"
)

// A Store holds the objects of one repository under slash-separated names. Objects are small (a sealed segment is
// at most about 16 MiB), so they are passed whole, and a call that failed can simply be made again.
//
// Implementations are safe for concurrent use.
type Store interface {
	// Put stores data under name, replacing what was there. It is atomic and durable: when it returns nil the
	// object survives a crash; when it does not, a reader sees either nothing (or the old object) or all of it.
	Put(ctx context.Context, name string, data []byte) error
	// Get returns the object. An object that is not there is an error matching fs.ErrNotExist.
	Get(ctx context.Context, name string) ([]byte, error)
	// List calls fn for every object whose name starts with prefix, in no particular order, and stops at fn's
	// first error. A prefix without objects is not an error. Unfinished writes are never listed.
	List(ctx context.Context, prefix string, fn func(Object) error) error
	// Delete removes the object. Removing what is not there is not an error.
	Delete(ctx context.Context, name string) error
}

// Object is what a listing tells about one object of a store.
type Object struct {
	Name    string
	Size    int64 // bytes
	ModTime time.Time
}
