package store

import (
	"context"
	"fmt"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

const (
	slowestRate   = 16 << 10 // bytes a second: four uploads at once over a line of 0.5 Mbit/s
	largestObject = 17 << 20 // bytes: a sealed segment with room to spare; how large an object is that is read, nobody says before
)

// timeLimit is the backstop that ends a call which hangs for whatever reason. A kind itself notices sooner that nothing comes or goes
// on its connection. A call is waited for until it heeds its context, so a mounted file system that hangs is its mount options' to end.
type timeLimit struct {
	below
	base time.Duration // for a call that carries nothing, or from one object of a listing to the next
}

func (t *timeLimit) Put(ctx context.Context, name string, data []byte) error {
	return within(ctx, t.base+transfer(len(data)), func(ctx context.Context, _ func()) error { return t.Store.Put(ctx, name, data) })
}

func (t *timeLimit) Get(ctx context.Context, name string) (data []byte, err error) {
	err = within(ctx, t.base+transfer(largestObject), func(ctx context.Context, _ func()) error {
		data, err = t.Store.Get(ctx, name)
		return err
	})
	return data, err
}

func (t *timeLimit) List(ctx context.Context, prefix string, fn func(backup.Object) error) error {
	return within(ctx, t.base, func(ctx context.Context, alive func()) error {
		return t.Store.List(ctx, prefix, func(o backup.Object) error {
			alive()
			return fn(o)
		})
	})
}

func (t *timeLimit) Delete(ctx context.Context, name string) error {
	return within(ctx, t.base, func(ctx context.Context, _ func()) error { return t.Store.Delete(ctx, name) })
}

// transfer is the time that so many bytes take at the slowest rate.
func transfer(size int) time.Duration {
	return time.Duration(size) * time.Second / slowestRate
}

// within ends the call's context when limit has passed since the call began, or since it last was alive. The error then says so.
func within(ctx context.Context, limit time.Duration, call func(ctx context.Context, alive func()) error) error {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := fmt.Errorf("no answer for %v", limit.Round(time.Second))
	timer := time.AfterFunc(limit, func() { cancel(silent) })
	defer timer.Stop()
	err := call(limited, func() { timer.Reset(limit) })
	if err != nil && context.Cause(limited) == silent {
		return silent
	}
	return err
}
