package store

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// bandwidth keeps what is sent and received, together, below a rate. Objects are passed whole, so it is whole objects that it paces:
// each goes as fast as the line lets it, after a wait that is long enough for the rate to hold over the length of a few objects.
// What is read is paid for after it came, since its size is not known before.
type bandwidth struct {
	below
	limiter *rate.Limiter
}

func newBandwidth(s backup.Store, bytesPerSecond int64) *bandwidth {
	return &bandwidth{below{s}, rate.NewLimiter(rate.Limit(bytesPerSecond), max(int(bytesPerSecond), 64<<10))}
}

func (b *bandwidth) Put(ctx context.Context, name string, data []byte) error {
	if err := b.wait(ctx, len(data)); err != nil {
		return err
	}
	return b.Store.Put(ctx, name, data)
}

func (b *bandwidth) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := b.Store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	return data, b.wait(ctx, len(data))
}

// wait books size bytes, in the parts that the limiter takes, and waits until the last of them are due.
func (b *bandwidth) wait(ctx context.Context, size int) error {
	var delay time.Duration
	for size > 0 {
		part := min(size, b.limiter.Burst())
		delay = b.limiter.ReserveN(time.Now(), part).Delay()
		size -= part
	}
	return sleep(ctx, delay)
}
