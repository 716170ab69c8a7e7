package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	_ "github.com/rclone/rclone/backend/azureblob"
	_ "github.com/rclone/rclone/backend/b2"
	_ "github.com/rclone/rclone/backend/dropbox"
	_ "github.com/rclone/rclone/backend/googlecloudstorage"
	_ "github.com/rclone/rclone/backend/s3"
	_ "github.com/rclone/rclone/backend/swift"
	rclone "github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"
)

// silence is global because rclone's logger is.
var silence sync.Once

// configure is a context that holds rclone's settings.
func configure(idle time.Duration, adjust func(*rclone.ConfigInfo)) context.Context {
	silence.Do(func() { rclone.SetLogger(slog.DiscardHandler) })
	ctx, ci := rclone.AddConfig(context.Background())
	ci.Timeout = rclone.Duration(idle)
	ci.ConnectTimeout = rclone.Duration(idle)
	ci.LowLevelRetries = 1
	ci.Transfers = 32 // a limit of our own is put round the store
	ci.UserAgent = "dokku-backup"
	ci.UseServerModTime = true // what is in the listing; else each object is asked for it
	adjust(ci)
	return ctx
}

// newFs is rclone's backend with its defaults and these values over them. rclone's own way to make one would read its files and environment.
func newFs(ctx context.Context, backend, root string, values map[string]string) (rclone.Fs, error) {
	info, err := rclone.Find(backend)
	if err != nil {
		return nil, err
	}
	settings := configmap.Simple{}
	for _, option := range info.Options {
		settings.Set(option.Name, option.String())
	}
	for name, value := range values {
		if info.Options.Get(name) == nil {
			return nil, fmt.Errorf("rclone's backend %q has no setting %q", backend, name)
		}
		settings.Set(name, value)
	}
	return info.NewFs(ctx, "store", root, settings)
}

// attempt is ctx for one thing to do with the service. Azure's library would try again by itself, for minutes.
func (s *Store) attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(rclone.CopyConfig(ctx, s.config))
	return policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1}), cancel
}

// errAgain is in place of the answer to a request that a library makes again: it keeps the answer to itself.
var errAgain = errors.New("the service did not accept the upload and may do so later")

// atMost is ctx that ends when more requests are begun in it than that. Google's library tries an upload again for as long as ctx lasts.
func atMost(ctx context.Context, requests int) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	var begun atomic.Int64
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) {
		if begun.Add(1) > int64(requests) {
			cancel(errAgain)
		}
	}})
}

// uploads is how many requests Google's library makes for an object of size bytes when each succeeds: one; or, from a chunk of 16 MiB on, one
// to begin, one a full chunk and one for the rest, however little (google.golang.org/api/googleapi, DefaultUploadChunkSize).
func uploads(size int) int {
	const chunk = 16 << 20
	if size < chunk {
		return 1
	}
	return 2 + size/chunk
}

// whenSending calls fn when the head of a request has been sent.
func whenSending(ctx context.Context, fn func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: fn})
}
