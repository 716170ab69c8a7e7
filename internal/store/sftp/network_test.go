package sftp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/sftp"
	"github.com/dokku-backup/dokku-backup/internal/store/storetest"
)

// through is a store of the server behind a proxy.
func through(t *testing.T, server *server, timeout time.Duration) (*sftp.Store, *storetest.Proxy) {
	t.Helper()
	proxy := storetest.NewProxy(t, "127.0.0.1:"+strconv.Itoa(server.port))
	c := server.config()
	c.Port, c.Timeout = proxy.Port(), timeout
	return open(t, c), proxy
}

// object is what the test puts for the i-th time: of any size from nothing to 256 KiB.
func object(i int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(i)))
	data := make([]byte, r.IntN(256<<10))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// TestCuts cuts uploads at random bytes, looks at what that left, and repeats them. CUTS says how many, 200 by default.
func TestCuts(t *testing.T) {
	t.Parallel()
	cuts := 200
	if n, err := strconv.Atoi(os.Getenv("CUTS")); err == nil {
		cuts = n
	}
	server := startServer(t)
	direct := open(t, server.config())
	s, proxy := through(t, server, 10*time.Second)
	root := filepath.Join(server.home, "a repository", "für Dokku")
	failed := 0
	for i := range cuts {
		name, data := fmt.Sprintf("segments/%02x/%d", i%8, i), object(i)
		old := object(i + cuts)
		replaces := i%4 == 0
		if replaces {
			if err := direct.Put(t.Context(), name, old); err != nil {
				t.Fatal(err)
			}
		}
		// An upload takes a little more than its bytes; after a cut it connects anew, which is some 3 KiB.
		proxy.CutAfter(storetest.Up, 1+rand.Int64N(int64(len(data))+5000))
		putErr := s.Put(t.Context(), name, data)
		if putErr != nil {
			failed++
		}
		got, err := os.ReadFile(filepath.Join(root, name))
		switch {
		case bytes.Equal(got, data) && err == nil:
		case putErr == nil:
			t.Fatalf("object %d: put said that it was stored, then: %d bytes of %d and error %v", i, len(got), len(data), err)
		case replaces && bytes.Equal(got, old):
		case !replaces && errors.Is(err, os.ErrNotExist):
		default:
			t.Fatalf("object %d after the cut: got %d bytes and error %v, want all of %d bytes, or what was there before", i, len(got), err, len(data))
		}
		if err := direct.Put(t.Context(), name, data); err != nil {
			t.Fatalf("object %d again: %v", i, err)
		}
	}
	if failed < cuts/2 {
		t.Errorf("%d of %d uploads were cut: the test cuts too late", failed, cuts)
	}
	t.Logf("%d of %d uploads were cut", failed, cuts)

	if err := direct.Sweep(); err != nil {
		t.Fatal(err)
	}
	if got, want := len(files(t, root)), cuts; got != want {
		t.Errorf("files at the end: got %d, want %d", got, want)
	}
	for i := range cuts {
		got, err := direct.Get(t.Context(), fmt.Sprintf("segments/%02x/%d", i%8, i))
		if err != nil || !bytes.Equal(got, object(i)) {
			t.Errorf("object %d at the end: got %d bytes and error %v, want %d bytes", i, len(got), err, len(object(i)))
		}
	}
}

// TestCutListing: a listing that is cut anywhere is an error, never a shorter listing.
func TestCutListing(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	s, proxy := through(t, server, 10*time.Second)
	const count, cuts = 300, 50
	for i := range count {
		if err := s.Put(t.Context(), fmt.Sprintf("segments/%02x/%d", i%3, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	before := proxy.Passed(storetest.Down)
	names(t, s, "")
	size := proxy.Passed(storetest.Down) - before
	whole := 0
	for range cuts {
		names(t, s, "none/") // connects
		proxy.CutAfter(storetest.Down, 1+rand.Int64N(size+size/10))
		listed := 0
		err := s.List(t.Context(), "", func(backup.Object) error {
			listed++
			return nil
		})
		if err == nil && listed != count {
			t.Fatalf("a listing that was cut: got %d of %d objects and no error", listed, count)
		}
		if err == nil {
			whole++
		}
		proxy.Cut() // forgets a cut that did not come
		s.Close()
	}
	if whole == cuts {
		t.Error("no listing was cut")
	}
}

// TestStall: a connection on which nothing comes is given up in time, and the next request makes a new one.
func TestStall(t *testing.T) {
	const timeout = 600 * time.Millisecond
	server := startServer(t)
	s, proxy := through(t, server, timeout)
	data := bytes.Repeat([]byte("x"), 4<<20)
	requests := map[string]func() error{
		"put": func() error { return s.Put(t.Context(), "a/large", data) },
		"get": func() error { _, err := s.Get(t.Context(), "a/there"); return err },
		"list": func() error {
			return s.List(t.Context(), "", func(backup.Object) error { return nil })
		},
		"delete":  func() error { return s.Delete(t.Context(), "a/gone") },
		"connect": func() error { s.Close(); return s.Delete(t.Context(), "a/gone") },
	}
	if err := s.Put(t.Context(), "a/there", data); err != nil {
		t.Fatal(err)
	}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			if err := request(); err != nil {
				t.Fatalf("before: %v", err)
			}
			proxy.Stall()
			start := time.Now()
			err := request()
			took := time.Since(start)
			proxy.Resume()
			var problem *backup.Problem
			if err == nil || errors.As(err, &problem) {
				t.Errorf("while stalled: got error %v, want one that may pass", err)
			}
			if name != "connect" && err != nil && !strings.Contains(err.Error(), "nothing came from the server for 600ms") {
				t.Errorf("while stalled: got error %q, want it to say that nothing came", err)
			}
			if took < timeout/3 || took > 4*timeout {
				t.Errorf("while stalled: took %v, want about %v", took, timeout)
			}
			if err := request(); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestIdle: a connection that is healthy stays, however long nobody asks for anything; one that was cut meanwhile is replaced quietly.
func TestIdle(t *testing.T) {
	server := startServer(t)
	s, proxy := through(t, server, 500*time.Millisecond)
	for range 2 {
		if err := s.Put(t.Context(), "a/b", []byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
	}
	if got, want := proxy.Opened(), 1; got != want {
		t.Errorf("connections: got %d, want %d", got, want)
	}
	proxy.Cut()
	time.Sleep(100 * time.Millisecond)
	if _, err := s.Get(t.Context(), "a/b"); err != nil {
		t.Errorf("get after the connection was cut: %v", err)
	}
}

// TestSlow: a transfer that takes much longer than the timeout is fine while it moves.
func TestSlow(t *testing.T) {
	s, proxy := through(t, startServer(t), 500*time.Millisecond)
	proxy.Throttle(512 << 10)
	data := bytes.Repeat([]byte("slow"), 256<<10)
	if err := s.Put(t.Context(), "a/b", data); err != nil {
		t.Fatalf("put: %v", err)
	}
	if got, err := s.Get(t.Context(), "a/b"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("get: got %d bytes and error %v, want %d bytes", len(got), err, len(data))
	}
}

// TestCancel: a request whose context ends returns soon, gives its cause, and leaves nothing where the network still moves.
func TestCancel(t *testing.T) {
	cause := errors.New("the user had enough")
	for name, prepare := range map[string]func(*storetest.Proxy){
		"slow":    func(p *storetest.Proxy) { p.Throttle(2 << 20) },
		"stalled": func(p *storetest.Proxy) { p.Stall() },
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t)
			s, proxy := through(t, server, time.Minute)
			if err := s.Delete(t.Context(), "connects"); err != nil {
				t.Fatal(err)
			}
			prepare(proxy)
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(300*time.Millisecond, func() { cancel(cause) })
			start := time.Now()
			if err := s.Put(ctx, "a/b", make([]byte, 16<<20)); !errors.Is(err, cause) {
				t.Errorf("put: got error %v, want %v", err, cause)
			}
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("put: took %v after it was cancelled at 300ms", took)
			}
			if got := files(t, server.home); name == "slow" && len(got) != 0 {
				t.Errorf("files: got %q, want none", got)
			}
		})
	}
}

// TestManyFast lists and reads as many objects as a store of years holds, on loopback and at 50 ms.
func TestManyFast(t *testing.T) {
	server := startServer(t)
	s, proxy := through(t, server, 10*time.Second)
	fill(t, server, 1000, func(i int) string { return fmt.Sprintf("backups/happycows-db/happycows-db-%d", i) })
	fill(t, server, 5000, func(i int) string { return fmt.Sprintf("segments/%02x/object-%d", i%256, i) })
	for _, test := range []struct {
		delay  time.Duration // each way
		prefix string
		count  int
		most   time.Duration
	}{
		{0, "backups/", 1000, time.Second},
		{0, "segments/", 5000, 2 * time.Second},
		{25 * time.Millisecond, "backups/", 1000, 4 * time.Second},
		{25 * time.Millisecond, "segments/", 5000, 8 * time.Second},
	} {
		proxy.Delay(test.delay)
		start := time.Now()
		if got := len(names(t, s, test.prefix)); got != test.count {
			t.Errorf("list %s: got %d, want %d", test.prefix, got, test.count)
		}
		took := time.Since(start)
		t.Logf("list %s: %d objects in %v with %v there and back", test.prefix, test.count, took.Round(time.Millisecond), 2*test.delay)
		if took > test.most {
			t.Errorf("list %s: took %v, want %v or less", test.prefix, took, test.most)
		}
	}
	proxy.Delay(0)
	start := time.Now()
	var group errgroup.Group
	group.SetLimit(8)
	for i := range 1000 {
		group.Go(func() error {
			_, err := s.Get(t.Context(), fmt.Sprintf("backups/happycows-db/happycows-db-%d", i))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("get: 1000 manifests in %v", time.Since(start).Round(time.Millisecond))
}

// fill makes objects on the server's own disk.
func fill(t *testing.T, server *server, count int, name func(i int) string) {
	t.Helper()
	for i := range count {
		path := filepath.Join(server.home, "a repository", "für Dokku", name(i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Repeat([]byte("m"), 2000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGoroutines: connections that broke or were closed leave nothing running.
func TestGoroutines(t *testing.T) {
	server := startServer(t)
	before := runtime.NumGoroutine()
	for range 5 {
		s, err := sftp.New(server.config())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), "a/b", []byte("x")); err != nil {
			t.Fatal(err)
		}
		s.CutOff(t.Context(), "a/c", []byte("xx"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	var stacks [1 << 16]byte
	t.Errorf("goroutines: got %d, want %d\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks[:], true)])
}
