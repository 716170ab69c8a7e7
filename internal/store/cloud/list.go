package cloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	rclone "github.com/rclone/rclone/fs"
	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// folders is how many folders are listed at a time where a service lists only one by one (dropbox).
const folders = 8

// List implements backup.Store. A service that lists a whole tree is asked once a page; else once a folder and page.
func (s *Store) List(ctx context.Context, prefix string, fn func(backup.Object) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	dir := "" // only whole folders can be asked for; the rest of the prefix filters
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		if dir = prefix[:i]; !fs.ValidPath(dir) || dir == "." {
			return fmt.Errorf("prefix %q is not valid", prefix)
		}
	}
	var stop error // fn's, which is passed on as it is
	each := func(o rclone.Object) error {
		name, inside := strings.CutPrefix(o.Remote(), s.remote("")+"/")
		if s.prefix == "" {
			name, inside = o.Remote(), true
		}
		if !inside || !strings.HasPrefix(name, prefix) || stop != nil {
			return stop
		}
		stop = fn(backup.Object{Name: name, Size: o.Size(), ModTime: o.ModTime(s.config)})
		return stop
	}
	call, done := s.attempt(ctx)
	defer done()
	err := s.list(call, s.remote(dir), each)
	switch {
	case stop != nil:
		return stop
	case errors.Is(err, rclone.ErrorDirNotFound) && s.bucket == "":
		return nil
	case err != nil:
		return s.problem(ctx, "list", prefix, err)
	}
	s.found.Store(true)
	return nil
}

// list calls each for every object below dir, one call at a time.
func (s *Store) list(ctx context.Context, dir string, each func(rclone.Object) error) error {
	if listR := s.fs.Features().ListR; listR != nil {
		return listR(ctx, dir, func(entries rclone.DirEntries) error { return entries.ForObjectError(each) })
	}
	var mu sync.Mutex
	level := []string{dir}
	for len(level) > 0 {
		var next []string
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(folders)
		for _, dir := range level {
			group.Go(func() error {
				entries, err := s.fs.List(ctx, dir)
				if errors.Is(err, rclone.ErrorDirNotFound) && dir != level[0] {
					return nil // removed meanwhile
				}
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				entries.ForDir(func(d rclone.Directory) { next = append(next, d.Remote()) })
				return entries.ForObjectError(each)
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		level = next
	}
	return nil
}

// makesBuckets: rclone's backend would make a bucket that it does not know, unless it has listed it.
func (s *Store) makesBuckets() bool { return s.name == "swift" || s.name == "b2" }

// findBucket asks, once, whether the bucket is there, by listing a folder of it that is empty.
func (s *Store) findBucket(ctx context.Context) error {
	if s.found.Load() || s.bucket == "" {
		return nil
	}
	call, done := s.attempt(ctx)
	defer done()
	_, err := s.fs.List(call, s.remote(".nothing"))
	if errors.Is(err, rclone.ErrorDirNotFound) {
		return s.noBucket(err)
	}
	if err != nil {
		return s.problem(ctx, "list", "", err)
	}
	s.found.Store(true)
	return nil
}
