package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/postgres"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

// cluster is a PostgreSQL server of the test's own, and as Tools this machine's programs. PostgreSQL refuses to run as root; it then
// runs as user postgres.
type cluster struct {
	bin, dir string
	port     uint16
	attr     *syscall.SysProcAttr
	server   *exec.Cmd
}

var _ postgres.Tools = (*cluster)(nil)

func startCluster(t testing.TB) *cluster {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian's place, not in PATH
	if len(found) == 0 {
		t.Skip("NOT TESTED against a live server: PostgreSQL's initdb is not installed")
	}
	dir, err := os.MkdirTemp("", "postgres") // not t.TempDir: its parent is closed to other users
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &cluster{bin: filepath.Dir(found[len(found)-1]), dir: dir, attr: &syscall.SysProcAttr{}}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skipf("NOT TESTED against a live server: %v", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		check(t, os.Chown(dir, uid, gid))
		c.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	c.port = uint16(free.Addr().(*net.TCPAddr).Port)
	check(t, free.Close())
	c.run(t, "initdb", "-D", c.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	c.start(t)
	t.Cleanup(c.stop)
	return c
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *cluster) start(t testing.TB) {
	t.Helper()
	log, err := os.Create(filepath.Join(c.dir, "log"))
	check(t, err)
	defer log.Close()
	c.server = c.command(t.Context(), "postgres", "-D", c.data(), "-c", "unix_socket_directories=", "-p", fmt.Sprint(c.port))
	c.server.Stdout, c.server.Stderr = log, log
	check(t, c.server.Start())
	for range 300 {
		if c.command(t.Context(), "pg_isready", "-q").Run() == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	t.Fatalf("the server did not start within 15 seconds:\n%s", text)
}

// stop ends the server at once.
func (c *cluster) stop() {
	c.server.Process.Signal(syscall.SIGQUIT)
	c.server.Wait()
}

func (c *cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(c.bin, program), args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "PGHOST=127.0.0.1", fmt.Sprint("PGPORT=", c.port), "PGUSER=postgres", "LC_ALL=C")
	cmd.SysProcAttr = c.attr
	return cmd
}

// run gives what the program printed, and ends the test if it fails.
func (c *cluster) run(t testing.TB, program string, args ...string) string {
	t.Helper()
	out, err := c.command(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

func (c *cluster) query(t testing.TB, database, sql string) string {
	t.Helper()
	return strings.TrimSuffix(c.run(t, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql), "\n")
}

// script runs a file or, with a newline in it, the SQL itself.
func (c *cluster) script(t testing.TB, database, sql string, args ...string) {
	t.Helper()
	if !strings.Contains(sql, "\n") {
		text, err := os.ReadFile(sql)
		check(t, err)
		sql = string(text)
	}
	cmd := c.command(t.Context(), "psql", append([]string{"-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-o", "/dev/null"}, args...)...)
	cmd.Stdin = strings.NewReader(sql)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("script: %v\n%s", err, out)
	}
}

// service is the cluster as a Dokku service whose own database is named database.
func (c *cluster) service(database string) *postgres.Server {
	return &postgres.Server{Name: "test-db", Address: "127.0.0.1", Port: c.port, User: "postgres", Database: database, Tools: c}
}

// Run implements postgres.Tools.
func (c *cluster) Run(ctx context.Context, argv func(string) []string, env []string, read func(io.Reader) error) error {
	args := argv("")
	cmd := c.command(ctx, args[0], args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	return finish(cmd, env, nil, func() error { return read(out) })
}

// Feed implements postgres.Tools.
func (c *cluster) Feed(ctx context.Context, argv []string, env []string, in io.Reader) error {
	return finish(c.command(ctx, argv[0], argv[1:]...), env, in, func() error { return nil })
}

// WithFile implements postgres.Tools.
func (c *cluster) WithFile(ctx context.Context, argv func(string) []string, env []string, content []byte) error {
	file, err := os.CreateTemp(c.dir, "file")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(content)
	if err := joinErrors(err, file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	args := argv(file.Name())
	return finish(c.command(ctx, args[0], args[1:]...), env, nil, func() error { return nil })
}

// finish runs the program, gives it in, and lets read have its output. An error of in counts before the program's own.
func finish(cmd *exec.Cmd, env []string, in io.Reader, read func() error) error {
	cmd.Env = append(cmd.Env, env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	var feed io.WriteCloser
	if in != nil {
		feed, _ = cmd.StdinPipe()
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if in != nil {
		source := &source{in: in}
		io.Copy(feed, source)
		if source.err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			return source.err
		}
		feed.Close()
	}
	err := read()
	if ended := cmd.Wait(); ended != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), ended, said.String())
	}
	return err
}

// source remembers why reading failed.
type source struct {
	in  io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	if err != io.EOF {
		s.err = err
	}
	return n, err
}

func joinErrors(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// capture backs the service up into a repository in the folder root.
func capture(t testing.TB, server *postgres.Server, root string) (*repository.Repository, backup.Service) {
	t.Helper()
	ctx := t.Context()
	identity, err := age.GenerateX25519Identity()
	check(t, err)
	repo, err := repository.Create(ctx, local.New(root), identity)
	check(t, err)
	snapshot, err := server.Open(ctx)
	check(t, err)
	defer snapshot.Close()
	w, err := repo.NewWriter(ctx, 2, nil)
	check(t, err)
	roles, err := snapshot.Roles(ctx)
	check(t, err)
	service := backup.Service{Type: "postgres", Name: "source-db", Image: "postgres:15"}
	service.Roles, err = w.Bytes(bytes.NewReader(roles))
	check(t, err)
	for _, d := range snapshot.Databases() {
		check(t, snapshot.Dump(ctx, d.Name, w, func(int) {}))
	}
	_, err = w.Close()
	check(t, err)
	for _, warning := range snapshot.Complete(&service) {
		t.Errorf("warning of the capture: %s", warning)
	}
	return repo, service
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
