package cloud

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// shelf is what a stand-in of a service holds: all versions of each object, the newest last.
type shelf struct {
	mu       sync.Mutex
	count    int
	versions map[string][]version
}

type version struct {
	name, id string
	data     []byte
	time     time.Time
}

func newShelf() *shelf { return &shelf{versions: map[string][]version{}} }

// put adds a version, or replaces the only one, which then keeps its id.
func (s *shelf) put(name string, data []byte, keep bool) version {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	v := version{name, fmt.Sprintf("id-%08d", s.count), data, time.Now()}
	if before := s.versions[name]; !keep && len(before) > 0 {
		v.id = before[0].id
		s.versions[name] = nil
	}
	s.versions[name] = append(s.versions[name], v)
	return v
}

// get finds the newest version by the object's name, or any version by its id.
func (s *shelf) get(name, id string) (version, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list := s.versions[name]; len(list) > 0 {
		return list[len(list)-1], true
	}
	for _, list := range s.versions {
		for _, v := range list {
			if v.id == id {
				return v, true
			}
		}
	}
	return version{}, false
}

// delete removes one version, or all where id is empty. It says whether there was one.
func (s *shelf) delete(name, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.versions[name])
	s.versions[name] = slices.DeleteFunc(s.versions[name], func(v version) bool { return id == "" || v.id == id })
	if len(s.versions[name]) < before {
		if len(s.versions[name]) == 0 {
			delete(s.versions, name)
		}
		return true
	}
	return false
}

// page gives up to limit names that begin with prefix and come after the name after, in order; with folders, what lies below one more slash
// is one name that ends in a slash.
func (s *shelf) page(prefix, after string, limit int, folders bool) (names []string, more bool) {
	s.mu.Lock()
	all := slices.Sorted(maps.Keys(s.versions))
	s.mu.Unlock()
	for _, name := range all {
		rest, below := strings.CutPrefix(name, prefix)
		if !below {
			continue
		}
		if i := strings.IndexByte(rest, '/'); folders && i >= 0 {
			name = prefix + rest[:i+1]
		}
		if name <= after || len(names) > 0 && names[len(names)-1] == name {
			continue
		}
		if len(names) == limit {
			return names, true
		}
		names = append(names, name)
	}
	return names, false
}

// serve gives a version to a GET or HEAD, ranges included.
func (v version) serve(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", v.time, bytes.NewReader(v.data))
}

// body reads all of a request's body; false where the request was cut off.
func body(r *http.Request) ([]byte, bool) {
	data, err := io.ReadAll(r.Body)
	return data, err == nil && (r.ContentLength < 0 || int64(len(data)) == r.ContentLength)
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

func standIn(t *testing.T, handler http.Handler) *httptest.Server {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}
