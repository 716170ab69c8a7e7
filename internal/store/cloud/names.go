package cloud

import (
	"context"
	"sync"
)

// names are those of the objects that are being written.
type names struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the object is written
}

// lock waits until nobody writes the object, or for ctx.
func (n *names) lock(ctx context.Context, name string) (unlock func(), err error) {
	for {
		n.mu.Lock()
		other, taken := n.busy[name]
		if !taken {
			done := make(chan struct{})
			n.busy[name] = done
			n.mu.Unlock()
			return func() {
				n.mu.Lock()
				delete(n.busy, name)
				n.mu.Unlock()
				close(done)
			}, nil
		}
		n.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
