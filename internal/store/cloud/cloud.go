// Package cloud is a store in a bucket of a cloud service: Amazon S3 and what is like it, Azure Blob, Google Cloud Storage,
// Dropbox, OpenStack Swift and Backblaze B2. One adapter serves all of them, over rclone's backends as a library.
//
// Of rclone only the backends run. Their configuration is in memory; no file and no environment variable of rclone's is
// read, nothing is written to disk, and nothing is logged. Start at Open.
package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"
	"time"

	rclone "github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/hash"
	"github.com/rclone/rclone/fs/object"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Config names a bucket (or container) and a prefix in it, on a service of one kind.
type Config struct {
	Kind    string            // s3, azblob, gs, dropbox, swift, b2
	Path    string            // bucket/prefix; for dropbox a folder
	Options map[string]string // what a URL's query says; see Options
	Secrets map[string]string // by the names that Secrets gives
	Timeout time.Duration     // a connection on which nothing came or went for so long is given up; 0: never
}

var _ backup.Store = (*Store)(nil)

// Store is a backup.Store in a bucket. An error that trying again does not change is a *backup.Problem. Trying again is
// the caller's.
type Store struct {
	kind   kind
	name   string // of the kind
	bucket string // empty for dropbox
	prefix string // of all names, in the bucket, without a slash at either end
	config context.Context
	fs     rclone.Fs
	hidden *strings.Replacer // takes the secrets out of an error's text
	found  atomic.Bool       // the bucket was seen to be there

	writing names
}

// Open is the store that c names. It makes requests only where a session has to be begun (swift, b2); the bucket is not looked for.
func Open(ctx context.Context, c Config) (*Store, error) {
	return open(ctx, c, func(*rclone.ConfigInfo) {})
}

// open lets tests reach stand-ins of services whose address cannot be set.
func open(ctx context.Context, c Config, adjust func(*rclone.ConfigInfo)) (*Store, error) {
	k, known := kinds()[c.Kind]
	if !known {
		return nil, fmt.Errorf("open store: no kind of store is called %q", c.Kind)
	}
	s := &Store{kind: k, name: c.Kind, prefix: strings.Trim(c.Path, "/"), hidden: hide(c.Secrets), writing: names{busy: map[string]chan struct{}{}}}
	if k.place != "" {
		s.bucket, s.prefix, _ = strings.Cut(s.prefix, "/")
		if s.bucket == "" {
			return nil, &backup.Problem{Message: fmt.Sprintf("the %s is missing", k.place), Hints: []string{fmt.Sprintf("%s://%s/prefix", c.Kind, strings.ToUpper(k.place))}}
		}
	}
	if s.prefix != "" && !fs.ValidPath(s.prefix) {
		return nil, &backup.Problem{Message: fmt.Sprintf("the prefix %q is not a clean path", s.prefix)}
	}
	values, err := k.values(c, s.bucket)
	if err != nil {
		return nil, err
	}
	s.config = configure(c.Timeout, adjust)
	if s.fs, err = newFs(rclone.CopyConfig(ctx, s.config), k.backend, s.bucket, values); err != nil {
		return nil, s.problem(ctx, "open", "", err)
	}
	return s, nil
}

// Put implements backup.Store. The service has said that it holds what was sent: by a checksum where it gives one, else by size.
func (s *Store) Put(ctx context.Context, name string, data []byte) error {
	return s.put(ctx, name, data, bytes.NewReader(data))
}

func (s *Store) put(ctx context.Context, name string, data []byte, body io.Reader) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	if s.makesBuckets() {
		if err := s.findBucket(ctx); err != nil {
			return err
		}
	}
	unlock, err := s.writing.lock(ctx, name) // what is confirmed below has to be what was put here
	if err != nil {
		return err
	}
	defer unlock()
	sums, err := digests(s.fs.Hashes(), data)
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	call, done := s.attempt(ctx)
	defer done()
	if s.name == "gs" {
		call = atMost(call, uploads(len(data)))
	}
	source := object.NewStaticObjectInfo(s.remote(name), time.Now(), int64(len(data)), true, sums, s.fs)
	stored, err := s.fs.Put(call, body, source)
	if err == nil {
		err = s.confirm(call, stored, int64(len(data)), sums)
	}
	if err != nil && call.Err() != nil {
		err = context.Cause(call)
	}
	if err != nil {
		return s.problem(ctx, "put", name, err)
	}
	s.found.Store(true)
	return nil
}

// confirm compares what the service says of the object with what was sent: the checksum, which comes with the answer to the upload.
func (s *Store) confirm(ctx context.Context, stored rclone.Object, size int64, sums map[hash.Type]string) error {
	same := false
	for kind, sum := range sums {
		got, err := stored.Hash(ctx, kind)
		same = same || err == nil && got == sum
	}
	if !same && s.name == "s3" {
		// S3's checksum is another one where it encrypts with a key of KMS. Nothing is known of the fresh object until its checksum is asked for.
		fresh, err := s.fs.NewObject(ctx, stored.Remote())
		if err != nil {
			return err
		}
		if _, err := fresh.Hash(ctx, hash.MD5); err != nil {
			return err
		}
		stored, same = fresh, true
	}
	if got := stored.Size(); got != size {
		return fmt.Errorf("the service says that it holds %d bytes of %d", got, size)
	}
	if !same {
		return errors.New("the service's checksum is not that of what was sent")
	}
	return nil
}

// sizeHint is the most memory that is taken because a service says that an object is large: a segment and some more.
const sizeHint = 20 << 20

// Get implements backup.Store.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	return s.read(ctx, name, func(in io.Reader, size int64) ([]byte, error) {
		var whole bytes.Buffer
		whole.Grow(int(min(max(size, 0), sizeHint)) + bytes.MinRead)
		_, err := whole.ReadFrom(in)
		return whole.Bytes(), err
	})
}

// ReadRange gives length bytes of the object from offset on.
func (s *Store) ReadRange(ctx context.Context, name string, offset, length int64) ([]byte, error) {
	return s.read(ctx, name, func(in io.Reader, _ int64) ([]byte, error) {
		data := make([]byte, length)
		_, err := io.ReadFull(in, data)
		return data, err
	}, &rclone.SeekOption{Offset: offset})
}

// read gives what fn reads of the object. A body that ends early is an error of net/http's.
func (s *Store) read(ctx context.Context, name string, fn func(in io.Reader, size int64) ([]byte, error), options ...rclone.OpenOption) ([]byte, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	call, done := s.attempt(ctx)
	defer done()
	for tries := 1; ; tries++ {
		o, err := s.fs.NewObject(call, s.remote(name))
		if err != nil {
			return nil, s.problem(ctx, "get", name, err)
		}
		in, err := o.Open(call, options...)
		if status, code := s.facts(err); s.describes() && tries < 3 && isNotThere(err, status, code) {
			continue // it was described, and replaced by another before it was opened
		}
		if err != nil {
			return nil, s.problem(ctx, "get", name, err)
		}
		data, err := fn(in, o.Size())
		if err = errors.Join(err, in.Close()); err != nil {
			return nil, s.problem(ctx, "get", name, err)
		}
		s.found.Store(true)
		return data, nil
	}
}

// describes: rclone's backend asks the service about an object before it reads or deletes it.
func (s *Store) describes() bool { return s.kind.settings["no_head_object"] == "" }

// Delete implements backup.Store. Where rclone can, no older version stays.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	call, done := s.attempt(ctx)
	defer done()
	for {
		o, err := s.fs.NewObject(call, s.remote(name))
		if err == nil {
			err = o.Remove(call)
		}
		if err != nil {
			err = s.problem(ctx, "delete", name, err)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if s.name != "b2" { // where the version before it comes to light
			return nil
		}
	}
}

// CutOff begins to put the object and breaks off half-way through data. It always returns an error.
func (s *Store) CutOff(ctx context.Context, name string, data []byte) error {
	cut := errors.New("cut off on purpose")
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.name == "azblob" { // which reads all before it sends
		ctx = whenSending(ctx, func() { cancel(cut) })
		return errors.Join(cut, s.put(ctx, name, data, bytes.NewReader(data)))
	}
	return errors.Join(cut, s.put(ctx, name, data, io.MultiReader(bytes.NewReader(data[:len(data)/2]), broken{cut})))
}

// broken is a reader that fails.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// Finish says how an object gets its final name.
func (s *Store) Finish() string { return "whole or not at all, when its upload ends" }

// Page is how many objects one page of a listing holds.
func (s *Store) Page() int { return s.kind.page }

// remote is the object's path below rclone's root, which is the bucket.
func (s *Store) remote(name string) string { return path.Join(s.prefix, name) }

// check refuses names that are not clean paths, and work for a caller who has gone.
func check(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("object name %q is not valid", name)
	}
	return nil
}

// digests are the checksums that a service can confirm.
func digests(kinds hash.Set, data []byte) (map[hash.Type]string, error) {
	hasher, err := hash.NewMultiHasherTypes(kinds)
	if err != nil {
		return nil, err
	}
	hasher.Write(data) // never fails
	return hasher.Sums(), nil
}
