package store

import (
	"context"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// parallel lets only so many calls be made at once; the others wait for their turn. A listing is one call until it ends: its fn must
// not use the store, which retry above it sees to.
type parallel struct {
	below
	turns chan struct{}
}

func newParallel(s backup.Store, calls int) *parallel {
	return &parallel{below{s}, make(chan struct{}, calls)}
}

func (p *parallel) Put(ctx context.Context, name string, data []byte) error {
	return p.inTurn(ctx, func() error { return p.Store.Put(ctx, name, data) })
}

func (p *parallel) Get(ctx context.Context, name string) (data []byte, err error) {
	err = p.inTurn(ctx, func() error {
		data, err = p.Store.Get(ctx, name)
		return err
	})
	return data, err
}

func (p *parallel) List(ctx context.Context, prefix string, fn func(backup.Object) error) error {
	return p.inTurn(ctx, func() error { return p.Store.List(ctx, prefix, fn) })
}

func (p *parallel) Delete(ctx context.Context, name string) error {
	return p.inTurn(ctx, func() error { return p.Store.Delete(ctx, name) })
}

func (p *parallel) inTurn(ctx context.Context, call func() error) error {
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
		return call()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
