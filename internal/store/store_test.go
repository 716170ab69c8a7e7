package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store"
	"github.com/dokku-backup/dokku-backup/internal/store/storetest"
)

var errPassing = errors.New("503 slow down")

// TestContract: the wrappers change nothing of what a store promises, not even when each may do one thing at a time.
func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) backup.Store {
		l, err := store.ParseLocation("file://" + t.TempDir() + "/made by put/é")
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), l, nil, store.Options{Tries: 1, Parallel: 1, Bandwidth: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	})
}

func TestRetry(t *testing.T) {
	problem := &backup.Problem{Message: "the password is wrong"}
	tests := []struct {
		name      string
		failures  []error // of the first calls
		wantCalls int64
		wantErr   string
		wantIs    error
		wantWait  [2]time.Duration
	}{
		{"at once", nil, 1, "", nil, [2]time.Duration{}},
		{"the third time", []error{errPassing, errPassing}, 3, "", nil, [2]time.Duration{750 * time.Millisecond, 1500 * time.Millisecond}},
		{"never", []error{errPassing, errPassing, errPassing, errPassing}, 4, "503 slow down (tried 4 times)", errPassing, [2]time.Duration{1750 * time.Millisecond, 3500 * time.Millisecond}},
		{"a problem", []error{problem}, 1, "the password is wrong", problem, [2]time.Duration{}},
		{"a problem later", []error{errPassing, fmt.Errorf("put: %w", problem)}, 2, "put: the password is wrong", problem, [2]time.Duration{250 * time.Millisecond, 500 * time.Millisecond}},
		{"not there", []error{fs.ErrNotExist}, 1, "file does not exist", fs.ErrNotExist, [2]time.Duration{}},
		// A kind's own time limit is no end of the caller's context.
		{"a deadline of the kind's own", []error{context.DeadlineExceeded}, 2, "", nil, [2]time.Duration{250 * time.Millisecond, 500 * time.Millisecond}},
	}
	calls := map[string]func(context.Context, *store.Store) error{
		"put": func(ctx context.Context, s *store.Store) error { return s.Put(ctx, "a", []byte("x")) },
		"get": func(ctx context.Context, s *store.Store) error { _, err := s.Get(ctx, "there"); return err },
		"list": func(ctx context.Context, s *store.Store) error {
			return s.List(ctx, "", func(backup.Object) error { return nil })
		},
		"delete": func(ctx context.Context, s *store.Store) error { return s.Delete(ctx, "a") },
	}
	for _, tt := range tests {
		for call, run := range calls {
			t.Run(tt.name+"/"+call, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := &memory{objects: map[string]object{"there": {}}}
					var made int64
					m.before = func(_ context.Context, c, _ string) error {
						if c != call {
							return nil
						}
						made++
						if made <= int64(len(tt.failures)) {
							return tt.failures[made-1]
						}
						return nil
					}
					s := store.New(m, store.Options{Tries: 4})
					began := time.Now()
					err := run(t.Context(), s)
					if took := time.Since(began); took < tt.wantWait[0] || took > tt.wantWait[1] {
						t.Errorf("waited: got %v, want %v to %v", took, tt.wantWait[0], tt.wantWait[1])
					}
					if made != tt.wantCalls {
						t.Errorf("calls: got %d, want %d", made, tt.wantCalls)
					}
					if got := fmt.Sprint(err); err != nil && got != tt.wantErr || err == nil && tt.wantErr != "" {
						t.Errorf("error: got %v, want %q", err, tt.wantErr)
					}
					if tt.wantIs != nil && !errors.Is(err, tt.wantIs) {
						t.Errorf("error: got %v, want one that is %v", err, tt.wantIs)
					}
				})
			})
		}
	}
}

// TestRetryEnds: a person who interrupts is not kept waiting, and is told why it ended.
func TestRetryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{before: func(context.Context, string, string) error { return errPassing }}
		s := store.New(m, store.Options{Tries: 100})
		stopped := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Second, func() { cancel(stopped) })
		began := time.Now()
		if err := s.Put(ctx, "a", nil); !errors.Is(err, stopped) {
			t.Errorf("got error %v, want %v", err, stopped)
		}
		if got, want := time.Since(began), 10*time.Second; got != want {
			t.Errorf("took: got %v, want %v", got, want)
		}
	})
}

// TestListBreaksOff: of a listing that broke off after some objects fn hears once, and may use the store.
func TestListBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		s := store.New(m, store.Options{Parallel: 1})
		for i := range 10 {
			if err := s.Put(t.Context(), fmt.Sprint(i), nil); err != nil {
				t.Fatal(err)
			}
		}
		breaks := 3
		m.before = func(_ context.Context, call, name string) error {
			if call == "listed" && name == "7" && breaks > 0 {
				breaks--
				return errPassing
			}
			return nil
		}
		var got []string
		err := s.List(t.Context(), "", func(o backup.Object) error {
			got = append(got, o.Name)
			return s.Delete(t.Context(), o.Name)
		})
		if want := "0 1 2 3 4 5 6 7 8 9"; err != nil || strings.Join(got, " ") != want {
			t.Errorf("got %q and error %v, want %q", got, err, want)
		}
		if len(m.objects) > 0 {
			t.Errorf("objects that are left: got %q, want none", m.names())
		}
	})
}

func TestTimeLimit(t *testing.T) {
	hang := func(call string) func(context.Context, string, string) error {
		return func(ctx context.Context, c, _ string) error {
			if c != call {
				return nil
			}
			<-ctx.Done()
			return fmt.Errorf("read tcp: %w", ctx.Err())
		}
	}
	tests := []struct {
		name    string
		call    string
		run     func(context.Context, *store.Store) error
		want    time.Duration
		wantErr string
	}{
		{"put", "put", func(ctx context.Context, s *store.Store) error { return s.Put(ctx, "a", make([]byte, 1<<20)) }, 94 * time.Second, "no answer for 1m34s"},
		{"get", "get", func(ctx context.Context, s *store.Store) error { _, err := s.Get(ctx, "a"); return err }, 1118 * time.Second, "no answer for 18m38s"},
		{"delete", "delete", func(ctx context.Context, s *store.Store) error { return s.Delete(ctx, "a") }, 30 * time.Second, "no answer for 30s"},
		{"list", "list", func(ctx context.Context, s *store.Store) error {
			return s.List(ctx, "", func(backup.Object) error { return nil })
		}, 30 * time.Second, "no answer for 30s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store.New(&memory{before: hang(tt.call)}, store.Options{Timeout: 30 * time.Second, Tries: 1})
				began := time.Now()
				err := tt.run(t.Context(), s)
				if got := time.Since(began); got != tt.want {
					t.Errorf("gave up after %v, want %v", got, tt.want)
				}
				if got := fmt.Sprint(err); got != tt.wantErr {
					t.Errorf("error: got %q, want %q", got, tt.wantErr)
				}
			})
		})
	}
}

// TestSlowListing: a long listing is no stalled one, as long as objects come.
func TestSlowListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{objects: map[string]object{}}
		for i := range 100 {
			m.objects[fmt.Sprint(i)] = object{}
		}
		pause := 20 * time.Second
		m.before = func(ctx context.Context, call, _ string) error {
			if call != "listed" {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
				return nil
			}
		}
		s := store.New(m, store.Options{Timeout: 30 * time.Second, Tries: 1})
		count := 0
		if err := s.List(t.Context(), "", func(backup.Object) error { count++; return nil }); err != nil || count != 100 {
			t.Errorf("slow: got %d objects and error %v, want 100 and none", count, err)
		}
		pause = 31 * time.Second
		err := s.List(t.Context(), "", func(backup.Object) error { return nil })
		if got, want := fmt.Sprint(err), "no answer for 30s"; got != want {
			t.Errorf("stalled: got error %q, want %q", got, want)
		}
	})
}

func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.New(&memory{}, store.Options{Bandwidth: 1 << 20})
		began := time.Now()
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				name := fmt.Sprint(i)
				if err := s.Put(t.Context(), name, make([]byte, 16<<20)); err != nil {
					t.Error(err)
				}
				if _, err := s.Get(t.Context(), name); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		// The first second's worth goes at once.
		if got, want := time.Since(began).Round(time.Millisecond), 127*time.Second; got != want {
			t.Errorf("128 MiB at 1 MiB/s: got %v, want %v", got, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := s.Put(ctx, "a", make([]byte, 16<<20)); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted while it waits: got error %v, want context.Canceled", err)
		}
	})
}

func TestParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		m := &memory{before: func(_ context.Context, call, _ string) error {
			if call == "listed" {
				return nil
			}
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(time.Second)
			return nil
		}}
		s := store.New(m, store.Options{Parallel: 3})
		began := time.Now()
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() { s.Put(t.Context(), fmt.Sprint(i), nil) })
			group.Go(func() { s.Get(t.Context(), fmt.Sprint(i)) })
			group.Go(func() { s.Delete(t.Context(), fmt.Sprint(i)) })
			group.Go(func() { s.List(t.Context(), "", func(backup.Object) error { return nil }) })
		}
		group.Wait()
		if got, want := most.Load(), int64(3); got != want {
			t.Errorf("calls at once: got %d, want %d", got, want)
		}
		if got, want := time.Since(began), 8*time.Second; got != want {
			t.Errorf("24 calls of a second each: got %v, want %v", got, want)
		}
	})
}

func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		s := store.New(m, store.Options{})
		broken := 2
		m.before = func(_ context.Context, call, _ string) error {
			if call == "put" && broken > 0 {
				broken--
				return errPassing
			}
			return nil
		}
		for _, err := range []error{
			s.Put(t.Context(), "a", make([]byte, 100)), // twice again
			s.List(t.Context(), "", func(backup.Object) error { return nil }),
			s.Delete(t.Context(), "b"),
			s.Delete(t.Context(), "c"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			if _, err := s.Get(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := s.Counts(), (store.Counts{Put: 3, Get: 4, List: 1, Delete: 2, Sent: 300, Received: 400}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestOptional: what a kind can do besides is found through all wrappers.
func TestOptional(t *testing.T) {
	m := &memory{}
	s := store.New(m, store.Options{Bandwidth: 1})
	if err := errors.Join(s.Sweep(), s.Close()); err != nil || m.sweeps != 1 || !m.closed {
		t.Errorf("got error %v, %d sweeps, closed %v; want none, 1, true", err, m.sweeps, m.closed)
	}
	if s.Probe() != store.Kind(m) {
		t.Error("Probe gives another kind than the store was made of")
	}
	type bare struct{ store.Kind } // neither Sweep nor Close
	s = store.New(bare{m}, store.Options{})
	if err := errors.Join(s.Sweep(), s.Close()); err != nil || m.sweeps != 1 {
		t.Errorf("without: got error %v and %d sweeps, want none and 1 as before", err, m.sweeps)
	}
}
