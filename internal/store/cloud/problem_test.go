package cloud

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/storetest"
)

// operations are the four things to do with a store, on an object that is there.
func operations(t *testing.T, s *Store) map[string]func() error {
	t.Helper()
	return map[string]func() error{
		"put":    func() error { return s.Put(t.Context(), "a/new", []byte("new")) },
		"get":    func() error { _, err := s.Get(t.Context(), "a/old"); return err },
		"list":   func() error { return s.List(t.Context(), "", func(backup.Object) error { return nil }) },
		"delete": func() error { return s.Delete(t.Context(), "a/other") },
	}
}

// front stands before a server and answers in its place while status is set.
type front struct {
	*httptest.Server
	status atomic.Int64
	asked  atomic.Int64
	answer string
}

func newFront(t *testing.T, target string) *front {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host // the header Host stays, since it is signed
	}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.asked.Add(1)
		if status := int(f.status.Load()); status != 0 {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			io.WriteString(w, f.answer)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// behind is c with its service behind a front.
func behind(t *testing.T, c Config) (Config, *front) {
	t.Helper()
	options := map[string]string{}
	var f *front
	for name, value := range c.Options {
		if u, err := url.Parse(value); err == nil && u.Host != "" {
			f = newFront(t, u.Scheme+"://"+u.Host)
			value = f.URL + u.Path
		}
		options[name] = value
	}
	c.Options = options
	return c, f
}

// TestStorm: while a service answers that it cannot, each thing is tried once or twice and fails at once, as something that passes.
func TestStorm(t *testing.T) {
	for kind, config := range configs {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c, front := behind(t, config(t))
			s := opened(t, c, unchanged)
			if err := s.Put(t.Context(), "a/old", []byte("old")); err != nil {
				t.Fatal(err)
			}
			for _, status := range []int{503, 429} {
				for name, run := range operations(t, s) {
					front.status.Store(int64(status))
					front.asked.Store(0)
					began := time.Now()
					err := run()
					front.status.Store(0)
					if p, permanent := errors.AsType[*backup.Problem](err); err == nil || permanent || errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s, answer %d: got error %v (problem %v), want one that passes", name, status, err, p)
					}
					if asked, took := front.asked.Load(), time.Since(began); asked > 2 || took > 5*time.Second {
						t.Errorf("%s, answer %d: got %d requests in %v, want at most 2", name, status, asked, took)
					}
				}
			}
			if got, err := s.Get(t.Context(), "a/old"); err != nil || string(got) != "old" {
				t.Errorf("after the storm: got %q and error %v", got, err)
			}
		})
	}
}

// TestMissingBucket: whatever is tried first, it says that the bucket is missing, and none is made.
func TestMissingBucket(t *testing.T) {
	for kind, config := range configs {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := config(t)
			c.Path = "other"
			for name := range operations(t, nil) {
				s := opened(t, c, unchanged)
				wantProblem(t, name, operations(t, s)[name](), `"other" is not there`)
			}
		})
	}
}

func wantProblem(t *testing.T, what string, err error, part string) {
	t.Helper()
	p, found := errors.AsType[*backup.Problem](err)
	if !found || !strings.Contains(p.Message, part) {
		t.Errorf("%s: got error %v, want a problem that holds %q", what, err, part)
		return
	}
	if len(p.Hints) == 0 {
		t.Errorf("%s: got no hint with %q", what, p.Message)
	}
}

// TestWrongSecret: it says so, and no error holds a secret. The server for gs asks for none.
func TestWrongSecret(t *testing.T) {
	wrong := map[string]map[string]string{
		"s3":     {"secret-key": "wrong-wrong-wrong"},
		"azblob": {"account-key": "d3Jvbmctd3Jvbmctd3JvbmcK"},
		"swift":  {"key": "wrong-wrong-wrong"},
		"b2":     {"key": "wrong-wrong-wrong"},
	}
	for kind, secrets := range wrong {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := configs[kind](t)
			for name, secret := range secrets {
				c.Secrets[name] = secret
			}
			check := func(what string, err error) {
				wantProblem(t, what, err, "does not accept the credentials")
				for _, secret := range c.Secrets {
					if text := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)); len(secret) > 8 && kind != "s3" && strings.Contains(text, secret) {
						t.Errorf("%s: the secret is in %s", what, text)
					}
				}
			}
			s, err := Open(t.Context(), c)
			if err != nil {
				check("open", err)
				return
			}
			for name, run := range operations(t, s) {
				if name != "delete" || kind == "s3" {
					check(name, run())
				}
			}
		})
	}
}

// TestReader has credentials that may only read.
func TestReader(t *testing.T) {
	facts := started(t, "s3")
	owner := opened(t, s3Config(facts), unchanged)
	if err := owner.Put(t.Context(), "a/old", []byte("old")); err != nil {
		t.Fatal(err)
	}
	c := s3Config(facts)
	c.Path += "/" + owner.prefix
	c.Secrets = map[string]string{"access-key": facts["reader_access_key"], "secret-key": facts["reader_secret_key"]}
	reader, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	run := operations(t, reader)
	wantProblem(t, "put", run["put"](), "do not allow to write")
	wantProblem(t, "delete", run["delete"](), "do not allow to delete")
	if err := errors.Join(run["get"](), run["list"]()); err != nil {
		t.Errorf("reading: got error %v", err)
	}
}

// TestCutOff: what is broken off half-way is not there, neither new nor in place of what was.
func TestCutOff(t *testing.T) {
	everyKind(t, func(t *testing.T, open func(t *testing.T) *Store) {
		s := open(t)
		if err := s.Put(t.Context(), "a/old", []byte("old")); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a/old", "a/new"} {
			if err := s.CutOff(t.Context(), name, make([]byte, 8<<20)); err == nil {
				t.Errorf("cut off %s: got no error", name)
			}
		}
		if got, err := s.Get(t.Context(), "a/old"); err != nil || string(got) != "old" {
			t.Errorf("the old object: got %d bytes and error %v", len(got), err)
		}
		if got, err := s.Get(t.Context(), "a/new"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the new object: got %d bytes and error %v, want it not there", len(got), err)
		}
	})
}

// TestLine puts through a connection that is cut, then one that stalls.
func TestLine(t *testing.T) {
	facts := started(t, "s3")
	to, err := url.Parse(facts["endpoint"])
	if err != nil {
		t.Fatal(err)
	}
	proxy := storetest.NewProxy(t, to.Host)
	c := s3Config(facts)
	c.Options["endpoint"] = fmt.Sprintf("http://127.0.0.1:%d", proxy.Port())
	c.Timeout = 2 * time.Second
	s := opened(t, c, unchanged)
	passes := func(what string, err error) {
		t.Helper()
		if _, permanent := errors.AsType[*backup.Problem](err); err == nil || permanent || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got error %v, want one that passes", what, err)
		}
	}
	data := make([]byte, 4<<20)
	proxy.CutAfter(storetest.Up, 1<<20)
	passes("cut", s.Put(t.Context(), "a/b", data))
	if err := s.Put(t.Context(), "a/b", data); err != nil {
		t.Fatalf("after the cut: %v", err)
	}
	proxy.CutAfter(storetest.Down, 1<<20)
	_, err = s.Get(t.Context(), "a/b")
	passes("cut while reading", err)
	proxy.Stall()
	began := time.Now()
	passes("stall", s.Put(t.Context(), "a/c", data))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a stalled connection was given up after %v, want about 2 s", took)
	}
	proxy.Resume()
	if err := s.Put(t.Context(), "a/c", data); err != nil {
		t.Errorf("after the stall: %v", err)
	}
}

// TestLargest: an object as large as what a library sends at once, and one that is a byte shorter.
func TestLargest(t *testing.T) {
	everyKind(t, func(t *testing.T, open func(t *testing.T) *Store) {
		s := open(t)
		for _, size := range []int{16<<20 - 1, 16 << 20} {
			want := bytes.Repeat([]byte{byte(size)}, size)
			if err := s.Put(t.Context(), "a/b", want); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Get(t.Context(), "a/b"); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: got %d bytes and error %v", size, len(got), err)
			}
		}
	})
}

// TestCost counts the requests that each thing costs once a store has been used.
func TestCost(t *testing.T) {
	want := map[string]string{
		"s3": "put 1, get 1, range 1, list 1, delete 1", "azblob": "put 2, get 1, range 1, list 1, delete 1", "gs": "put 1, get 2, range 2, list 1, delete 2",
		"swift": "put 1, get 2, range 2, list 1, delete 2", "b2": "put 1, get 2, range 2, list 1, delete 3", "dropbox": "put 1, get 2, range 2, list 1, delete 2",
	}
	everyKind(t, func(t *testing.T, open func(t *testing.T) *Store) {
		s := open(t)
		if err := s.Put(t.Context(), "a/b", []byte("0123456789")); err != nil {
			t.Fatal(err)
		}
		var sent int
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent++ }})
		got := ""
		cost := func(name string, err error) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			got, sent = fmt.Sprintf("%s, %s %d", got, name, sent), 0
		}
		cost("put", s.Put(ctx, "a/b", []byte("0123456789")))
		_, err := s.Get(ctx, "a/b")
		cost("get", err)
		part, err := s.ReadRange(ctx, "a/b", 3, 4)
		cost("range", err)
		if string(part) != "3456" {
			t.Errorf("range: got %q, want %q", part, "3456")
		}
		cost("list", s.List(ctx, "a/", func(backup.Object) error { return nil }))
		if s.name == "b2" { // the version that Put replaced is another one to delete
			s = open(t)
			if err := s.Put(ctx, "a/b", nil); err != nil {
				t.Fatal(err)
			}
			sent = 0
		}
		cost("delete", s.Delete(ctx, "a/b"))
		if got := strings.TrimPrefix(got, ", "); got != want[s.name] {
			t.Errorf("%s: got %s; want %s", s.name, got, want[s.name])
		}
	})
}
