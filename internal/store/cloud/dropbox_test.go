package cloud

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/rclone/rclone/backend/dropbox/dbhash"
	rclone "github.com/rclone/rclone/fs"
)

// dropboxStandIn answers, in memory, the calls of Dropbox that are used. Its pages hold ten entries, and unlike Dropbox it tells upper from
// lower case. It is not Dropbox. Written from the reference of Dropbox's HTTP API, version 2.
type dropboxStandIn struct{ *shelf }

// dropboxConfig also gives what makes every connection end at the stand-in, since Dropbox's address cannot be set.
func dropboxConfig(t *testing.T) (Config, func(*rclone.ConfigInfo)) {
	server := httptest.NewTLSServer(dropboxStandIn{newShelf()})
	t.Cleanup(server.Close)
	proxy := standIn(t, tunnel(server.Listener.Addr().String()))
	c := Config{
		Kind: "dropbox", Path: "Apps/backup", Timeout: 20 * time.Second,
		Secrets: map[string]string{"token": `{"access_token":"token-of-the-tests","token_type":"bearer","refresh_token":"x","expiry":"2099-01-01T00:00:00Z"}`},
	}
	return c, func(ci *rclone.ConfigInfo) { ci.HTTPProxy, ci.InsecureSkipVerify = proxy.URL, true }
}

// tunnel is an HTTP proxy that connects everybody to one address.
type tunnel string

func (to tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	server, err := net.Dial("tcp", string(to))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		server.Close()
		return
	}
	io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		io.Copy(server, buffered)
		server.Close()
	}()
	io.Copy(client, server)
	client.Close()
}

func (s dropboxStandIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer token-of-the-tests" {
		answer(w, http.StatusUnauthorized, map[string]any{"error_summary": "invalid_access_token/.", "error": map[string]any{".tag": "invalid_access_token"}})
		return
	}
	var in struct {
		Path, Cursor string
	}
	if argument := r.Header.Get("Dropbox-Api-Arg"); argument != "" {
		json.Unmarshal([]byte(argument), &in)
	} else {
		json.NewDecoder(r.Body).Decode(&in)
	}
	name := strings.TrimPrefix(in.Path, "/")
	v, found := s.get(name, in.Path)
	switch call := strings.TrimPrefix(r.URL.Path, "/2/files/"); {
	case call == "upload":
		data, whole := body(r)
		if !whole {
			http.Error(w, "cut off", http.StatusBadRequest)
			return
		}
		answer(w, http.StatusOK, dropboxFile(s.put(name, data, false)))
	case call == "list_folder" || call == "list_folder/continue":
		s.list(w, in.Path, in.Cursor)
	case call == "get_metadata" && s.isFolder(name):
		answer(w, http.StatusOK, dropboxFolder(name))
	case !found:
		dropboxNotFound(w, map[string]string{"delete_v2": "path_lookup"}[call])
	case call == "get_metadata":
		answer(w, http.StatusOK, dropboxFile(v))
	case call == "download":
		result, _ := json.Marshal(dropboxFile(v))
		w.Header().Set("Dropbox-API-Result", strings.Map(func(r rune) rune { return min(r, '~') }, string(result)))
		v.serve(w, rangeOnly(r))
	case call == "delete_v2":
		s.delete(name, "")
		answer(w, http.StatusOK, map[string]any{"metadata": dropboxFile(v)})
	default:
		http.NotFound(w, r)
	}
}

// rangeOnly makes a GET of a download, which is a POST.
func rangeOnly(r *http.Request) *http.Request {
	get := httptest.NewRequest(http.MethodGet, "/", nil)
	get.Header.Set("Range", r.Header.Get("Range"))
	return get
}

func (s dropboxStandIn) isFolder(name string) bool {
	names, _ := s.page(name+"/", "", 1, false)
	return len(names) > 0
}

// list gives a page. A cursor is the folder and the last name before it.
func (s dropboxStandIn) list(w http.ResponseWriter, folder, cursor string) {
	after := ""
	if cursor != "" {
		folder, after, _ = strings.Cut(cursor, "|")
	}
	prefix := strings.TrimLeft(folder+"/", "/") // rclone sends two slashes for a folder of the root
	names, more := s.page(prefix, after, 10, true)
	if len(names) == 0 && prefix != "" && cursor == "" {
		dropboxNotFound(w, "")
		return
	}
	entries, last := []any{}, ""
	for _, name := range names {
		if v, found := s.get(name, ""); found {
			entries = append(entries, dropboxFile(v))
		} else {
			entries = append(entries, dropboxFolder(strings.TrimSuffix(name, "/")))
		}
		last = name
	}
	answer(w, http.StatusOK, map[string]any{"entries": entries, "has_more": more, "cursor": folder + "|" + last})
}

func dropboxNotFound(w http.ResponseWriter, tag string) {
	if tag == "" {
		tag = "path"
	}
	answer(w, http.StatusConflict, map[string]any{
		"error_summary": tag + "/not_found/..", "error": map[string]any{".tag": tag, tag: map[string]any{".tag": "not_found"}},
	})
}

func dropboxFile(v version) map[string]any {
	sum := dbhash.New()
	sum.Write(v.data)
	return map[string]any{
		".tag": "file", "name": path.Base(v.name), "id": v.id, "rev": "0123456789abcdef0", "size": len(v.data), "is_downloadable": true,
		"path_display": "/" + v.name, "path_lower": "/" + v.name, "content_hash": fmt.Sprintf("%x", sum.Sum(nil)),
		"client_modified": v.time.UTC().Format(time.RFC3339), "server_modified": v.time.UTC().Format(time.RFC3339),
	}
}

func dropboxFolder(name string) map[string]any {
	return map[string]any{".tag": "folder", "name": path.Base(name), "id": "folder", "path_display": "/" + name, "path_lower": "/" + name}
}
