package code_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/dokku-backup/dokku-backup/internal/code"
)

// remoteHerd is a bare repository of herd with a tag, and an empty repository to fetch into.
func remoteHerd(t *testing.T) (dir string, shas []string, into *code.Repository) {
	t.Helper()
	work, shas := herd(t)
	git(t, work, "tag", "-a", "-m", "first", "v1", shas[0])
	into, err := code.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { into.Close() })
	return bare(t, work), shas, into
}

// home makes an empty home folder, which this test's own replaces.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"SSH_AUTH_SOCK", "SSH_KNOWN_HOSTS"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", dir)
	return dir
}

func wantHerd(t *testing.T, r *code.Repository, shas []string) {
	t.Helper()
	for rev, want := range map[string]string{"main": shas[3], "v1": shas[0], shas[2][:9]: shas[2]} {
		got, err := r.Resolve(rev)
		if err != nil {
			t.Errorf("after fetch: %v", err)
		} else if got.SHA != want {
			t.Errorf("%s: got %s, want %s", rev, got.SHA, want)
		}
	}
	if d, err := r.Diff(t.Context(), "v1", "main", nil); err != nil || len(d.Commits) != 4 {
		t.Errorf("diff after fetch: got %+v, %v, want 4 commits", d, err)
	}
}

func TestFetchFolder(t *testing.T) {
	dir, shas, r := remoteHerd(t)
	if err := r.Fetch(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	wantHerd(t, r, shas)
	if err := r.Fetch(t.Context(), filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such folder: got %v, want os.ErrNotExist", err)
	}
}

func TestFetchHTTP(t *testing.T) {
	dir, shas, _ := remoteHerd(t)
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + filepath.Dir(dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
		Stderr: io.Discard,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if user, password, ok := req.BasicAuth(); !ok || user != "ada" || password != "s3cret" {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	name, _, _ := net.SplitHostPort(host)
	tests := []struct {
		name, netrc, url string
		err              error
	}{
		{"no credentials", "", server.URL + "/app", code.ErrNoAccess},
		{"those of git:auth", "machine elsewhere login x password y\nmachine " + name + "\n login ada\n password s3cret\n", server.URL + "/app", nil},
		{"wrong ones", "machine " + name + " login ada password wr0ng", server.URL + "/app", code.ErrNoAccess},
		{"in the address", "", "http://ada:s3cret@" + host + "/app", nil},
		{"wrong in the address", "machine " + name + " login ada password s3cret", "http://ada:wr0ng@" + host + "/app", code.ErrNoAccess},
		{"no such repository", "machine " + name + " login ada password s3cret", server.URL + "/other", os.ErrNotExist},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			put(t, home(t), ".netrc", tt.netrc)
			r, err := code.Create(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			err = r.Fetch(t.Context(), tt.url)
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err != nil {
				if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "wr0ng") {
					t.Errorf("the error tells a password: %v", err)
				}
				return
			}
			wantHerd(t, r, shas)
		})
	}
	t.Run("onto bundles", func(t *testing.T) {
		home(t)
		known, _, _ := bundle(t, open(t, dir), shas[1])
		h := newHistory(t)
		gone := h.commit(7, "gone", map[string]string{"only": "here"}, h.commit(6, "gone", nil))
		forced, _, _ := bundle(t, open(t, h.dir), gone)
		for _, path := range []string{known, forced} {
			r := unbundle(t, path)
			if err := r.Fetch(t.Context(), "http://ada:s3cret@"+host+"/app"); err != nil {
				t.Fatal(err)
			}
			wantHerd(t, r, shas)
			if err := r.Fetch(t.Context(), "http://ada:s3cret@"+host+"/app"); err != nil {
				t.Errorf("once more: %v", err)
			}
		}
		if d, err := unbundle(t, forced).Diff(t.Context(), gone, gone, nil); err != nil || d.Direction != code.Same {
			t.Errorf("got %+v, %v, want the same commit", d, err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, r := remoteHerd(t)
		if err := r.Fetch(ctx, "http://ada:s3cret@"+host+"/app"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}

// newKey makes a key and its private half as OpenSSH keeps it.
func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(pem.EncodeToMemory(block))
}

func TestFetchSSH(t *testing.T) {
	dir, shas, _ := remoteHerd(t)
	allowed, private := newKey(t)
	_, stranger := newKey(t)
	host, _ := newKey(t)
	address := serveSSH(t, host, allowed.PublicKey())
	_, port, _ := net.SplitHostPort(address)
	known := "[127.0.0.1]:" + port + " " + string(ssh.MarshalAuthorizedKey(host.PublicKey()))
	tests := []struct{ name, key, known, err string }{
		{"a deploy key", private, known, ""},
		{"a stranger's key", stranger, known, "unable to authenticate"},
		{"no key", "", known, code.ErrNoAccess.Error()},
		{"an unknown host", private, "elsewhere " + string(ssh.MarshalAuthorizedKey(host.PublicKey())), code.ErrUnknownHost.Error()},
		{"no known host at all", private, "", code.ErrUnknownHost.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := home(t)
			if tt.known != "" {
				put(t, at, ".ssh/known_hosts", tt.known)
			}
			if tt.key != "" {
				put(t, at, ".ssh/id_ed25519", tt.key)
			}
			r, err := code.Create(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			err = r.Fetch(t.Context(), "ssh://git@"+address+dir)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want it to hold %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantHerd(t, r, shas)
		})
	}
}

// serveSSH serves git-upload-pack to one key.
func serveSSH(t *testing.T, host ssh.Signer, allowed ssh.PublicKey) string {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(allowed.Marshal()) {
			return nil, errors.New("no")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveConn(conn, config)
		}
	}()
	return listener.Addr().String()
}

func serveConn(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for opened := range channels {
		channel, requests, err := opened.Accept()
		if err != nil {
			return
		}
		go func() {
			for req := range requests {
				var command struct{ Line string }
				if req.Type != "exec" || ssh.Unmarshal(req.Payload, &command) != nil {
					req.Reply(false, nil)
					continue
				}
				req.Reply(true, nil)
				cmd := exec.Command("sh", "-c", command.Line)
				cmd.Stdin, cmd.Stdout, cmd.Stderr = io.Reader(channel), channel, io.Discard
				status := 0
				if cmd.Run() != nil {
					status = 1
				}
				channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
				channel.Close()
			}
		}()
	}
}

// A bundle of a shallow repository is read as far as it goes; what it lacks may come from elsewhere.
func TestUnbundleShallow(t *testing.T) {
	work := t.TempDir()
	git(t, work, "init", "--quiet", "-b", "main")
	var shas []string
	for i := range 6 {
		put(t, work, "file", fmt.Sprint(i))
		shas = append(shas, commit(t, work, fmt.Sprint(i)))
	}
	cut := filepath.Join(t.TempDir(), "cut")
	git(t, ".", "clone", "--quiet", "--bare", "--depth=3", "file://"+work, cut)
	path, _, _ := bundle(t, open(t, cut), shas[5])
	r := unbundle(t, path)
	d, err := r.Diff(t.Context(), shas[5], shas[3], nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := subjects(d), "from:5 from:4"; got != want || d.Shallow {
		t.Errorf("got %q, shallow %t, want %q, not shallow", got, d.Shallow, want)
	}
	if _, err := r.Resolve(shas[1]); !errors.Is(err, code.ErrNoCommit) {
		t.Errorf("a commit that is not there: got %v, want ErrNoCommit", err)
	}
	git(t, work, "checkout", "--quiet", "-b", "other", shas[1])
	other := commit(t, work, "other")
	tip := filepath.Join(t.TempDir(), "tip")
	git(t, ".", "clone", "--quiet", "--bare", "--depth=1", "--branch=other", "file://"+work, tip)
	if err := r.Fetch(t.Context(), tip); err != nil {
		t.Fatal(err)
	}
	if d, err = r.Diff(t.Context(), shas[5], other, nil); err != nil {
		t.Fatal(err)
	}
	if d.Direction != code.Diverged || !d.Shallow {
		t.Errorf("no common ancestor is there: got %s, shallow %t, want diverged, shallow", d.Direction, d.Shallow)
	}
	if err := r.Fetch(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	if d, err = r.Diff(t.Context(), shas[5], other, nil); err != nil {
		t.Fatal(err)
	}
	if got := len(d.Commits); got != 5 || d.Shallow {
		t.Errorf("with the rest: got %d commits, shallow %t, want 5, not shallow", got, d.Shallow)
	}
	if d, err = r.Diff(t.Context(), shas[5], shas[1], nil); err != nil {
		t.Fatal(err)
	}
	if got, want := subjects(d), "from:5 from:4 from:3 from:2"; got != want || d.Shallow {
		t.Errorf("with the rest: got %q, shallow %t, want %q, not shallow", got, d.Shallow, want)
	}
}

func TestUnbundleDamaged(t *testing.T) {
	dir, shas := herd(t)
	_, whole, _ := bundle(t, open(t, bare(t, dir)), shas[3])
	head := strings.Index(string(whole), "\n\n")
	flipped := strings.Replace(string(whole), "PACK", "PICK", 1)
	tests := []struct{ name, text string }{
		{"empty", ""},
		{"another version", "# v3 git bundle\n" + string(whole[16:])},
		{"no commit", "# v2 git bundle\n\n" + string(whole[head+2:])},
		{"cut in its head", string(whole[:30])},
		{"cut in its pack", string(whole[:len(whole)/2])},
		{"no pack", string(whole[:head+2])},
		{"no pack's head", flipped},
		{"another commit", strings.ReplaceAll(string(whole[:head]), shas[3], strings.Repeat("1", 40)) + string(whole[head:])},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := code.Unbundle(t.Context(), strings.NewReader(tt.text), t.TempDir())
			if !errors.Is(err, code.ErrDamaged) {
				t.Errorf("got %v, %v, want ErrDamaged", r, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := code.Unbundle(ctx, strings.NewReader(string(whole)), t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, want context.Canceled", err)
	}
}
