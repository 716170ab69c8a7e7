package store_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store"
)

func TestParseLocation(t *testing.T) {
	sftp := func(user, host string, port int, path string) store.Location {
		return store.Location{Kind: "sftp", User: user, Host: host, Port: port, Path: path}
	}
	tests := []struct {
		text string
		want store.Location
		url  string // "": the text itself
	}{
		{"sftp://me@nas/backups", sftp("me", "nas", 22, "/backups"), ""},
		{"sftp://me@nas:22/backups/", sftp("me", "nas", 22, "/backups"), "sftp://me@nas/backups"},
		{"SFTP://me@nas.example.org:2222//a/./b", sftp("me", "nas.example.org", 2222, "/a/b"), "sftp://me@nas.example.org:2222/a/b"},
		{"sftp://me@nas/~/backups", sftp("me", "nas", 22, "backups"), ""},
		{"sftp://me@nas/~/~/b", sftp("me", "nas", 22, "~/b"), ""},
		{"sftp://me@nas/a/~/b", sftp("me", "nas", 22, "/a/~/b"), ""},
		{"sftp://me@[2001:DB8::0:1]:23/b", sftp("me", "2001:db8::1", 23, "/b"), "sftp://me@[2001:db8::1]:23/b"},
		{"sftp://me@[::1]/b", sftp("me", "::1", 22, "/b"), ""},
		{"sftp://me%40corp%3Ax@nas/b", sftp("me@corp:x", "nas", 22, "/b"), ""},
		{"sftp://me@corp@nas/b", sftp("me@corp", "nas", 22, "/b"), "sftp://me%40corp@nas/b"},
		{"sftp://jörg@nas/My Backups/küh%20e", sftp("jörg", "nas", 22, "/My Backups/küh e"), "sftp://j%C3%B6rg@nas/My%20Backups/k%C3%BCh%20e"},
		{"sftp://me@nas/a:b@c", sftp("me", "nas", 22, "/a:b@c"), "sftp://me@nas/a%3Ab%40c"},
		{"  file:///mnt/nas\n", store.Location{Kind: "file", Path: "/mnt/nas"}, "file:///mnt/nas"},
		{"file:///mnt/a#b %25 %3F", store.Location{Kind: "file", Path: "/mnt/a#b % ?"}, "file:///mnt/a%23b%20%25%20%3F"},
		{"s3://bucket", store.Location{Kind: "s3", Path: "bucket"}, ""},
		{
			"s3://bucket/host 1/?region=fra1&endpoint=https%3A%2F%2Ffra1.example.com", store.Location{
				Kind: "s3", Path: "bucket/host 1", Options: map[string]string{"endpoint": "https://fra1.example.com", "region": "fra1"},
			}, "s3://bucket/host%201?endpoint=https://fra1.example.com&region=fra1",
		},
		{"azblob://box/p?account=cows", store.Location{Kind: "azblob", Path: "box/p", Options: map[string]string{"account": "cows"}}, ""},
		{"gs://bucket/日本", store.Location{Kind: "gs", Path: "bucket/日本"}, "gs://bucket/%E6%97%A5%E6%9C%AC"},
		{"dropbox://My Backups/of %40me", store.Location{Kind: "dropbox", Path: "My Backups/of @me"}, "dropbox://My%20Backups/of%20%40me"},
		{
			"swift://box?auth=https://id.example.com/v2.0&user=a+b&tenant=1", store.Location{
				Kind: "swift", Path: "box", Options: map[string]string{"auth": "https://id.example.com/v2.0", "user": "a b", "tenant": "1"},
			}, "swift://box?auth=https://id.example.com/v2.0&tenant=1&user=a+b",
		},
		{"b2://bucket?account=0012", store.Location{Kind: "b2", Path: "bucket", Options: map[string]string{"account": "0012"}}, ""},
	}
	for _, tt := range tests {
		got, err := store.ParseLocation(tt.text)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %+v and error %v, want %+v", tt.text, got, err, tt.want)
		}
		url := tt.url
		if url == "" {
			url = tt.text
		}
		if got.String() != url {
			t.Errorf("%q: got URL %q, want %q", tt.text, got, url)
		}
		roundTrip(t, got)
	}
}

// roundTrip sees that a location survives its URL, as text and in JSON.
func roundTrip(t *testing.T, want store.Location) {
	t.Helper()
	got, err := store.ParseLocation(want.String())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q: read again: got %#v and error %v, want %#v", want, got, err, want)
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got = store.Location{}
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %#v and error %v, want %#v", text, got, err, want)
	}
}

func TestParseLocationRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "the store's address is not a URL"},
		{"me@nas:/backups", "the store's address is not a URL"},
		{"ftp://me@nas/backups", `there is no kind of store "ftp"`},
		{"p4ss word://me@nas/backups", "the URL is of no kind of store that is known"},
		{"sftp://nas/backups", "sftp://: it does not say which user logs in"},
		{"sftp://@nas/backups", "sftp://: it does not say which user logs in"},
		{"sftp://me@/backups", "sftp://: the name of the host is missing or not valid"},
		{"sftp://me@-oProxyCommand=x/backups", "sftp://: the name of the host is missing or not valid"},
		{"sftp://me@na s/backups", "sftp://: the name of the host is missing or not valid"},
		{"sftp://me@[fe80::1%25eth0]/backups", "sftp://: the address in brackets is not an IPv6 address"},
		{"sftp://me@[::1]x/backups", "sftp://: the address in brackets is not an IPv6 address"},
		{"sftp://me@nas:0/backups", "sftp://: the port is not a number from 1 to 65535"},
		{"sftp://me@nas:65536/backups", "sftp://: the port is not a number from 1 to 65535"},
		{"sftp://me@nas:ssh/backups", "sftp://: the port is not a number from 1 to 65535"},
		{"sftp://me@nas", "sftp://: it does not name the folder"},
		{"sftp://me@nas/", "sftp://: it does not name the folder"},
		{"sftp://me@nas/~", "sftp://: it does not name the folder"},
		{"sftp://me@nas/~/", "sftp://: it does not name the folder"},
		{"sftp://me@nas/a/../b", `sftp://: the path holds ".."`},
		{"sftp://me@nas/a/%2E%2e/b", `sftp://: the path holds ".."`},
		{"sftp://me@nas/a%00b", "sftp://: the path holds characters that cannot be printed"},
		{"sftp://me@nas/a\x1bb", "sftp://: it holds characters that cannot be printed"},
		{"sftp://me@nas/a\xffb", "sftp://: it holds characters that cannot be printed"},
		{"sftp://me@nas/100%", "sftp://: a percent sign stands for itself only when written as %25"},
		{"sftp://me@nas/b?port=22", `sftp://: option "port" is not known`},
		{"file://mnt/nas", "file://: the folder's path is not absolute: file:// is followed by a third slash"},
		{"file:///", "file://: it does not name the folder"},
		{"s3:///prefix", "s3://: it does not name the bucket"},
		{"s3://", "s3://: it does not name the bucket"},
		{"s3://me@bucket/prefix", "s3://: what comes first is the name of the bucket, with neither a user nor a port"},
		{"s3://bucket?zone=x", `s3://: option "zone" is not known`},
		{"s3://bucket?Zo+ne=x", "s3://: it has an option that is not known"},
		{"s3://bucket?region=", "s3://: region is to be given once, with a value"},
		{"s3://bucket?region=a&region=b", "s3://: region is to be given once, with a value"},
		{"s3://bucket?region=%00", "s3://: region is to be given once, with a value"},
		{"s3://bucket?%zz", "s3://: what follows the question mark is not of the form name=value&name=value"},
		{"azblob://box", "azblob://: it does not say the account: add account=..."},
		{"swift://box?user=u", "swift://: it does not say the auth: add auth=..."},
		{"b2://bucket", "b2://: it does not say the account: add account=..."},
		{"dropbox:///", "dropbox://: it does not name the folder"},
	}
	for _, tt := range tests {
		l, err := store.ParseLocation(tt.text)
		var problem *backup.Problem
		if !errors.As(err, &problem) || problem.Message != tt.want {
			t.Errorf("%q: got %+v and error %v, want %q", tt.text, l, err, tt.want)
		} else if len(problem.Hints) == 0 {
			t.Errorf("%q: got no hint", tt.text)
		}
	}
}

// TestSecretInside: a secret is refused wherever it hides, and no error repeats it.
func TestSecretInside(t *testing.T) {
	const secret = "hunter2"
	for _, text := range []string{
		"sftp://me:hunter2@nas/backups",
		"sftp://me:hun/hunter2@nas/backups", // a slash, a question mark, an at sign in the password
		"sftp://me:hunter2?x@nas/backups",
		"sftp://me:hunter2@x@nas/backups",
		"sftp://me@corp:hunter2@nas/backups",
		"sftp://me:22/hunter2@nas/backups",
		"sftp://:hunter2@nas/b",
		"s3://AKIA1:hunter2@bucket/prefix",
		"s3://AKIA1:ab/hunter2@bucket/prefix",
		"dropbox://x:hunter2@folder",
		"file://x:hunter2@/mnt/nas",
		"s3://bucket?access-key=hunter2",
		"s3://bucket?secret_access_key=hunter2",
		"s3://bucket?SecretKey=hunter2",
		"s3://bucket?endpoint=https://x:hunter2@s3.example.com",
		"s3://bucket?endpoint=https%3A%2F%2Fx%3Ahunter2%40s3.example.com",
		"azblob://box?account=a&sas=hunter2",
		"azblob://box?account=a&sig=hunter2",
		"azblob://box?account=a&endpoint=https://a.example.net/box?sig=hunter2",
		"b2://bucket?account=1&key=hunter2",
		"swift://box?auth=https://x&user=u&password=hunter2",
		"gs://bucket?credentials=hunter2",
		"dropbox://folder?token=hunter2",
	} {
		_, err := store.ParseLocation(text)
		var problem *backup.Problem
		if !errors.As(err, &problem) || !strings.Contains(problem.Message, "the URL holds a secret") {
			t.Errorf("%q: got error %v, want the secret refused", text, err)
			continue
		}
		if all := problem.Message + strings.Join(problem.Hints, ""); strings.Contains(all, secret) || problem.Err != nil {
			t.Errorf("%q: the problem repeats it: %q, %v", text, all, problem.Err)
		}
	}
	// What is no URL at all may be a secret that was pasted into the wrong place.
	for _, text := range []string{secret, "s3:" + secret, "s3://bucket?" + secret, "sftp://me@nas:" + secret + "/b", "sftp://" + secret, "s3://b?endpoint=%zz" + secret} {
		_, err := store.ParseLocation(text)
		var problem *backup.Problem
		if !errors.As(err, &problem) || strings.Contains(problem.Message+strings.Join(problem.Hints, ""), secret) && !strings.Contains(text, "?"+secret) {
			t.Errorf("%q: got %v, want a problem that does not repeat it", text, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"file:///mnt/nas":            "",
		"sftp://me@nas/b":            "password key",
		"s3://bucket":                "access-key secret-key",
		"azblob://box?account=a":     "account-key sas",
		"gs://bucket":                "service-account",
		"b2://bucket?account=1":      "key",
		"dropbox://folder":           "token app-key app-secret",
		"swift://b?auth=x&user=name": "key",
	} {
		l, err := store.ParseLocation(text)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range store.Secrets(l) {
			if s.Question == "" {
				t.Errorf("%s: secret %q: got no question", text, s.Name)
			}
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// TestOpen: what is missing or too much is told before anything is sent.
func TestOpen(t *testing.T) {
	tests := []struct {
		url     string
		secrets map[string]string
		want    string // "": it opens
	}{
		{"file:///mnt/nas", nil, ""},
		{"file:///mnt/nas", map[string]string{"password": "p4ss"}, `file:///mnt/nas takes no secret "password"`},
		{"sftp://me@nas/b", map[string]string{"password": "p4ss"}, "the host key of sftp://me@nas/b is not known"},
		{"sftp://me@nas/b", map[string]string{"host-key": "ssh-ed25519 AAAA"}, "sftp://me@nas/b takes either a password or a key"},
		{"sftp://me@nas/b", map[string]string{"host-key": "ssh-ed25519 AAAA", "password": "p4ss", "key": "k3y"}, "sftp://me@nas/b takes either a password or a key"},
		{"sftp://me@nas/b", map[string]string{"host-key": hostKey, "password": "p4ss"}, ""},
		{"s3://bucket", map[string]string{"access-key": "AKIA"}, "the secret-key of s3://bucket is missing"},
		{"s3://bucket", map[string]string{"access-key": "AKIA", "secret-key": "p4ss", "token": "t0k"}, `s3://bucket takes no secret "token"`},
	}
	for _, tt := range tests {
		l, err := store.ParseLocation(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), l, tt.secrets, store.Options{})
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s with %q: got error %v, want none", tt.url, slices.Sorted(maps.Keys(tt.secrets)), err)
			} else if err := s.Close(); err != nil {
				t.Errorf("%s: close: %v", tt.url, err)
			}
			continue
		}
		var problem *backup.Problem
		if !errors.As(err, &problem) || problem.Message != tt.want {
			t.Errorf("%s with %q: got error %v, want %q", tt.url, slices.Sorted(maps.Keys(tt.secrets)), err, tt.want)
		}
	}
}

// hostKey is a public key made for this test; its private half is lost.
const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKfKRjlOH4WuQXLY0DmJ3byHiGgqN6RRoQnDlWei43X1"

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"offsite": true, "nas-2": true, "2": true, strings.Repeat("a", 32): true,
		"": false, "here": false, "Offsite": false, "-a": false, "a-": false, "a_b": false, "a b": false, "a/b": false, "é": false, strings.Repeat("a", 33): false, "a\n": false,
	} {
		if got := store.ValidName(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

func FuzzParseLocation(f *testing.F) {
	for _, text := range []string{
		"sftp://me@nas:23/a b/~/c", "sftp://me@nas/~/é", "sftp://a%40b@[::1]/%7E/x", "file:///mnt/nas", "s3://bucket/p?endpoint=https://x&region=y",
		"azblob://c/p?account=a", "gs://b//./c", "dropbox://a%3Ab/%40", "swift://c?auth=https://x/v3&user=u+v&tenant=%26", "b2://b?account=%25",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := store.ParseLocation(text)
		if err == nil {
			roundTrip(t, l)
		} else if !errors.As(err, new(*backup.Problem)) {
			t.Errorf("%q: got error %v, want a problem", text, err)
		}
	})
}
