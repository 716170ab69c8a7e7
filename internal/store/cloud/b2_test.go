package cloud

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// b2StandIn answers, in memory, the calls of Backblaze B2 that are used, on the one bucket "backups". It keeps every version, as B2 does.
// It is not B2. Written from the reference of B2's native API.
type b2StandIn struct{ *shelf }

func b2Config(t *testing.T) Config {
	server := standIn(t, b2StandIn{newShelf()})
	return Config{
		Kind: "b2", Path: "backups", Timeout: 20 * time.Second,
		Options: map[string]string{"endpoint": server.URL, "account": "key-id"},
		Secrets: map[string]string{"key": "secret-of-the-tests"},
	}
}

func b2Error(w http.ResponseWriter, status int, code string) {
	answer(w, status, map[string]any{"status": status, "code": code, "message": code})
}

func (s b2StandIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	here := "http://" + r.Host
	if strings.HasSuffix(r.URL.Path, "/b2_authorize_account") {
		if id, key, _ := r.BasicAuth(); id != "key-id" || key != "secret-of-the-tests" {
			b2Error(w, http.StatusUnauthorized, "unauthorized")
			return
		}
		answer(w, http.StatusOK, map[string]any{
			"accountId": "account", "authorizationToken": "token",
			"apiInfo": map[string]any{"storageApi": map[string]any{"apiUrl": here, "downloadUrl": here, "recommendedPartSize": 100 << 20, "absoluteMinimumPartSize": 5 << 20}},
		})
		return
	}
	if r.Header.Get("Authorization") != "token" {
		b2Error(w, http.StatusUnauthorized, "bad_auth_token")
		return
	}
	switch call := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; {
	case strings.HasPrefix(r.URL.Path, "/upload"):
		s.upload(w, r)
	case strings.HasPrefix(r.URL.Path, "/file/"):
		bucket, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/file/"), "/")
		s.download(w, r, bucket+"/"+name, "")
	case call == "b2_download_file_by_id":
		s.download(w, r, "", r.URL.Query().Get("fileId"))
	default:
		s.call(w, r, call, here)
	}
}

func (s b2StandIn) call(w http.ResponseWriter, r *http.Request, call, here string) {
	var in struct {
		BucketName, BucketID, StartFileName, Prefix, Delimiter, FileID, FileName string
		MaxFileCount                                                             int
	}
	json.NewDecoder(r.Body).Decode(&in)
	switch call {
	case "b2_list_buckets":
		buckets := []any{}
		if in.BucketName == "backups" {
			buckets = append(buckets, map[string]any{"bucketId": "bucket-id", "bucketName": "backups", "bucketType": "allPrivate"})
		}
		answer(w, http.StatusOK, map[string]any{"buckets": buckets})
	case "b2_get_upload_url":
		answer(w, http.StatusOK, map[string]any{"bucketId": in.BucketID, "uploadUrl": here + "/upload", "authorizationToken": "token"})
	case "b2_list_file_names":
		// startFileName itself is the first of a page.
		names, more := s.page(in.Prefix, strings.TrimSuffix(in.StartFileName, "\x00"), in.MaxFileCount, in.Delimiter != "")
		files := []any{}
		for _, name := range names {
			if v, found := s.get(name, ""); found {
				files = append(files, b2File(v))
			} else {
				files = append(files, map[string]any{"fileName": name, "action": "folder"})
			}
		}
		out := map[string]any{"files": files, "nextFileName": nil}
		if more {
			out["nextFileName"] = names[len(names)-1] + "\x00"
		}
		answer(w, http.StatusOK, out)
	case "b2_delete_file_version":
		if !s.delete(in.FileName, in.FileID) {
			b2Error(w, http.StatusBadRequest, "file_not_present")
			return
		}
		answer(w, http.StatusOK, map[string]any{"fileId": in.FileID, "fileName": in.FileName})
	default:
		b2Error(w, http.StatusBadRequest, "bad_request")
	}
}

func b2File(v version) map[string]any {
	return map[string]any{
		"fileId": v.id, "fileName": v.name, "action": "upload", "size": len(v.data), "contentLength": len(v.data), "uploadTimestamp": v.time.UnixMilli(),
		"contentSha1": fmt.Sprintf("%x", sha1.Sum(v.data)), "contentType": "application/octet-stream", "fileInfo": map[string]string{},
	}
}

func (s b2StandIn) upload(w http.ResponseWriter, r *http.Request) {
	data, whole := body(r)
	name, err := url.PathUnescape(r.Header.Get("X-Bz-File-Name"))
	if !whole || err != nil || r.Header.Get("X-Bz-Content-Sha1") != fmt.Sprintf("%x", sha1.Sum(data)) {
		b2Error(w, http.StatusBadRequest, "bad_request")
		return
	}
	answer(w, http.StatusOK, b2File(s.put(name, data, true)))
}

func (s b2StandIn) download(w http.ResponseWriter, r *http.Request, path, id string) {
	v, found := s.get(strings.TrimPrefix(path, "backups/"), id)
	if !found {
		b2Error(w, http.StatusNotFound, "not_found")
		return
	}
	w.Header().Set("X-Bz-File-Id", v.id)
	w.Header().Set("X-Bz-File-Name", url.PathEscape(v.name))
	w.Header().Set("X-Bz-Content-Sha1", fmt.Sprintf("%x", sha1.Sum(v.data)))
	w.Header().Set("X-Bz-Upload-Timestamp", fmt.Sprint(v.time.UnixMilli()))
	w.Header().Set("Content-Type", "application/octet-stream")
	v.serve(w, r)
}
