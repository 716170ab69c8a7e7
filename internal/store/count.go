package store

import (
	"context"
	"sync"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Counts is how many calls of each sort a store was asked for, repeated ones included, and how many bytes of objects went each way.
// One call may be several requests of the store's protocol.
type Counts struct {
	Put      int64 `json:"put"`
	Get      int64 `json:"get"`
	List     int64 `json:"list"`
	Delete   int64 `json:"delete"`
	Sent     int64 `json:"sent"`     // bytes, of uploads that failed too
	Received int64 `json:"received"` // bytes
}

// count counts the calls that reach a kind.
type count struct {
	below
	mu     sync.Mutex
	counts Counts
}

func (c *count) now() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

func (c *count) add(n Counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Put += n.Put
	c.counts.Get += n.Get
	c.counts.List += n.List
	c.counts.Delete += n.Delete
	c.counts.Sent += n.Sent
	c.counts.Received += n.Received
}

func (c *count) Put(ctx context.Context, name string, data []byte) error {
	c.add(Counts{Put: 1, Sent: int64(len(data))})
	return c.Store.Put(ctx, name, data)
}

func (c *count) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := c.Store.Get(ctx, name)
	c.add(Counts{Get: 1, Received: int64(len(data))})
	return data, err
}

func (c *count) List(ctx context.Context, prefix string, fn func(backup.Object) error) error {
	c.add(Counts{List: 1})
	return c.Store.List(ctx, prefix, fn)
}

func (c *count) Delete(ctx context.Context, name string) error {
	c.add(Counts{Delete: 1})
	return c.Store.Delete(ctx, name)
}
