package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// The wait before a call is made again doubles each time, from the first to the longest.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 30 * time.Second
)

// retry makes a call that failed in passing again, with growing waits. A *backup.Problem, an object that is not there and a context
// that ended are final.
type retry struct {
	below
	tries int
}

func (r *retry) Put(ctx context.Context, name string, data []byte) error {
	return r.try(ctx, func() error { return r.Store.Put(ctx, name, data) })
}

func (r *retry) Get(ctx context.Context, name string) (data []byte, err error) {
	err = r.try(ctx, func() error {
		data, err = r.Store.Get(ctx, name)
		return err
	})
	return data, err
}

// List calls fn when a listing came to its end: one that broke off is made anew, and fn must hear of no object twice.
func (r *retry) List(ctx context.Context, prefix string, fn func(backup.Object) error) error {
	var objects []backup.Object
	err := r.try(ctx, func() error {
		objects = objects[:0]
		return r.Store.List(ctx, prefix, func(o backup.Object) error {
			objects = append(objects, o)
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := fn(o); err != nil {
			return err
		}
	}
	return nil
}

func (r *retry) Delete(ctx context.Context, name string) error {
	return r.try(ctx, func() error { return r.Store.Delete(ctx, name) })
}

// try calls until it is done, failed for good, or was tried often enough. The waits differ by up to a half, so that calls which
// failed together are not made again together.
func (r *retry) try(ctx context.Context, call func() error) error {
	wait := firstWait
	for made := 1; ; made++ {
		err := call()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist) || isProblem(err) || r.tries == 1:
			return err
		case made >= r.tries:
			return fmt.Errorf("%w (tried %d times)", err, made)
		}
		if err := sleep(ctx, wait-rand.N(wait/2)); err != nil {
			return err
		}
		wait = min(2*wait, longestWait)
	}
}

// sleep gives the context's cause when that ends before.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// isProblem tells of an error that trying again does not change.
func isProblem(err error) bool { return errors.As(err, new(*backup.Problem)) }
