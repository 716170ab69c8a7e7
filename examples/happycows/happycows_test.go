package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// makeHistory runs the script and returns the repository.
func makeHistory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("./history", dir).CombinedOutput(); err != nil {
		t.Fatalf("history: %v\n%s", err, out)
	}
	return dir
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// cluster starts PostgreSQL on a free port and returns a URL.
func cluster(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian's packages
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		t.Skip("needs PostgreSQL's initdb: apt-get install postgresql")
	}
	bin := filepath.Dir(found[len(found)-1])
	dir, err := os.MkdirTemp("", "happycows")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	owner := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	port := freePort(t)
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", port, "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	server.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT)
		server.Wait()
	})
	url := "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	db, err := app{database: url}.waitForDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	db.Close(ctx)
	return url
}

// unprivileged gives dir to user postgres if root runs the test, since
// PostgreSQL refuses to run as root.
func unprivileged(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Skipf("root needs the user postgres for a cluster: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// process is one version of the app, started as its Procfile says.
type process struct {
	cmd *exec.Cmd
	url string
	log bytes.Buffer
}

func start(t *testing.T, repo, tag, database string, env ...string) *process {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "app")
	git(t, repo, "worktree", "add", "--quiet", "--detach", dir, tag)
	procfile, err := os.ReadFile(filepath.Join(dir, "Procfile"))
	if err != nil {
		t.Fatal(err)
	}
	line, found := strings.CutPrefix(strings.TrimSpace(string(procfile)), "web: ")
	if !found {
		t.Fatalf("Procfile is %q", procfile)
	}
	argv := strings.Fields(line)
	port := freePort(t)
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), url: "http://127.0.0.1:" + port}
	p.cmd.Dir = dir
	p.cmd.Env = append(env, "BIND=127.0.0.1", "PORT="+port, "DATABASE_URL="+database)
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	return p
}

// get waits for the process to listen, and returns status and body.
func (p *process) get(t *testing.T, path string) (int, string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		resp, err := http.Get(p.url + path)
		if errors.Is(err, syscall.ECONNREFUSED) && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
}

// stop ends the process as Docker does, and returns what it logged.
func (p *process) stop(t *testing.T) string {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("process does not end cleanly: %v\n%s", err, &p.log)
	}
	return p.log.String()
}

func migrations(t *testing.T, database string) string {
	t.Helper()
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	var versions string
	err = db.QueryRow(t.Context(), "SELECT string_agg(version, ' ' ORDER BY version) FROM schema_migrations").Scan(&versions)
	if err != nil {
		t.Fatal(err)
	}
	return versions
}

func TestVersions(t *testing.T) {
	repo, database := makeHistory(t), cluster(t)
	steps := []struct {
		name, tag  string
		env        []string
		seed       bool // after the start
		status     int
		page       string // part of it
		migrations string
	}{
		{"v1 makes its tables", "v1", nil, true, 200, "happycows v1: 40 cows\n1 Daisy 1\n2 Flora 2\n", "20260101000000"},
		{"v2 on the data of v1", "v2", []string{"NO_MIGRATE=1"}, false, 500, `happycows v2 cannot show the herd: ERROR: column "mood" does not exist`, "20260101000000"},
		{"v2 migrates", "v2", nil, false, 200, "happycows v2: 40 cows\n1 Daisy 1 is happy\n2 Flora 2 is happy\n3 Heidi 3 is very happy\n", "20260101000000 20260215000000"},
		{"v3 on the data of v2", "v3", []string{"NO_MIGRATE=1"}, false, 500, `relation "orders" does not exist`, "20260101000000 20260215000000"},
		{"v3 migrates", "v3", nil, false, 200, "\n8 Bella 8 is happy, 0 orders\n1 Daisy 1 is happy, 0 orders\n", "20260101000000 20260215000000 20260401000000"},
		{"v1 on the data of v3", "v1", nil, false, 200, "happycows v1: 40 cows\n1 Daisy 1\n", "20260101000000 20260215000000 20260401000000"},
	}
	for _, tt := range steps {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, repo, tt.tag, database, tt.env...)
			if status, body := p.get(t, "/healthz"); status != 200 || body != "ok\n" {
				t.Errorf("GET /healthz = %d %q, want 200 ok", status, body)
			}
			if tt.seed {
				seed(t, database)
			}
			status, page := p.get(t, "/")
			if status != tt.status {
				t.Errorf("GET / = %d, want %d", status, tt.status)
			}
			if !strings.Contains(page, tt.page) {
				t.Errorf("page is %q, want %q in it", page, tt.page)
			}
			p.stop(t)
			if got := migrations(t, database); got != tt.migrations {
				t.Errorf("migrations %q, want %q", got, tt.migrations)
			}
		})
	}
}

// seed fills the database with 40 cows and 1,000 milkings.
func seed(t *testing.T, database string) {
	t.Helper()
	out, err := exec.Command("psql", "-X", "-q", "-v", "cows=40", "-v", "milkings=1000", "-f", "seed.sql", database).CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
}

func TestCrash(t *testing.T) {
	p := start(t, makeHistory(t), "crash", "postgres://127.0.0.1:1/none")
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with %v, want exit status 1", err)
	}
	if got, want := p.log.String(), "happycows: herd.sql is empty\n"; got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
}

func TestHistory(t *testing.T) {
	repo := makeHistory(t)
	if got, want := git(t, repo, "rev-list", "--count", "main"), "5"; got != want {
		t.Errorf("main has %s commits, want %s", got, want)
	}
	if got, want := git(t, repo, "tag", "--merged", "main"), "v1\nv2\nv3"; got != want {
		t.Errorf("tags on main %q, want %q", got, want)
	}
	if got, want := git(t, repo, "tag", "--no-merged", "main"), "broken-build\ncrash\nv2-again"; got != want {
		t.Errorf("tags beside main %q, want %q", got, want)
	}
	if got, want := git(t, repo, "rev-parse", "v2-again^{tree}"), git(t, repo, "rev-parse", "v2^{tree}"); got != want {
		t.Errorf("tree of v2-again %s, want that of v2, %s", got, want)
	}
	if got := git(t, repo, "status", "--porcelain"); got != "" {
		t.Errorf("work tree is not clean: %s", got)
	}
	again := makeHistory(t)
	if got, want := git(t, again, "rev-parse", "v1", "v2", "v3", "crash"), git(t, repo, "rev-parse", "v1", "v2", "v3", "crash"); got != want {
		t.Errorf("a second run gives other commits: %s, want %s", got, want)
	}
	out, err := exec.Command("./history", repo).CombinedOutput()
	if want := fmt.Sprintf("history: folder %q is not empty\n", repo); err == nil || string(out) != want {
		t.Errorf("history in a used folder: %v %q, want %q", err, out, want)
	}
}
