package cloud

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// swiftStandIn answers, in memory, the calls of OpenStack Swift that are used: the first version of authentication, and objects of the one
// container "backups". It is not Swift. Written from the OpenStack object storage API reference.
type swiftStandIn struct{ *shelf }

func swiftConfig(t *testing.T) Config {
	server := standIn(t, swiftStandIn{newShelf()})
	return Config{
		Kind: "swift", Path: "backups", Timeout: 20 * time.Second,
		Options: map[string]string{"auth": server.URL + "/auth/v1.0", "user": "tester:tester"},
		Secrets: map[string]string{"key": "secret-of-the-tests"},
	}
}

func (s swiftStandIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/auth/v1.0" {
		if r.Header.Get("X-Auth-User") != "tester:tester" || r.Header.Get("X-Auth-Key") != "secret-of-the-tests" {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Storage-Url", "http://"+r.Host+"/v1/AUTH_tester")
		w.Header().Set("X-Auth-Token", "token")
		return
	}
	if r.Header.Get("X-Auth-Token") != "token" {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	container, name, object := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/AUTH_tester/"), "/")
	switch {
	case container != "backups":
		http.Error(w, "no such container", http.StatusNotFound)
	case !object:
		s.list(w, r)
	default:
		s.object(w, r, name)
	}
}

func (s swiftStandIn) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit, _ := strconv.Atoi(query.Get("limit"))
	names, _ := s.page(query.Get("prefix"), query.Get("marker"), limit, query.Get("delimiter") != "")
	entries := []map[string]any{}
	for _, name := range names {
		v, found := s.get(name, "")
		if !found {
			entries = append(entries, map[string]any{"subdir": name})
			continue
		}
		entries = append(entries, map[string]any{
			"name": name, "bytes": len(v.data), "hash": fmt.Sprintf("%x", md5.Sum(v.data)), "content_type": "application/octet-stream",
			"last_modified": v.time.UTC().Format("2006-01-02T15:04:05.000000"),
		})
	}
	answer(w, http.StatusOK, entries)
}

func (s swiftStandIn) object(w http.ResponseWriter, r *http.Request, name string) {
	if r.Method == http.MethodPut {
		data, whole := body(r)
		sum := fmt.Sprintf("%x", md5.Sum(data))
		if want := r.Header.Get("Etag"); !whole || want != "" && want != sum {
			http.Error(w, "not what was announced", http.StatusUnprocessableEntity)
			return
		}
		s.put(name, data, false)
		w.Header().Set("Etag", sum)
		w.WriteHeader(http.StatusCreated)
		return
	}
	v, found := s.get(name, "")
	if !found {
		http.Error(w, "no such object", http.StatusNotFound)
		return
	}
	if r.Method == http.MethodDelete {
		s.delete(name, "")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Etag", fmt.Sprintf("%x", md5.Sum(v.data)))
	v.serve(w, r)
}
