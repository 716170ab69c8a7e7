package archive

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// cluster is a PostgreSQL server of the test's own, with its socket and data in dir. PostgreSQL
// refuses to run as root; its programs then run as user postgres.
type cluster struct {
	bin, dir string
	attr     *syscall.SysProcAttr
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	initdb, err := exec.LookPath("initdb")
	if err == nil {
		initdb, err = filepath.EvalSymlinks(initdb)
	}
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian's place, not in PATH
		if len(found) == 0 {
			t.Skip("NOT TESTED against a live server: PostgreSQL's initdb is not installed")
		}
		initdb = found[len(found)-1]
	}
	dir, err := os.MkdirTemp("", "archive") // shorter than t.TempDir: a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &cluster{bin: filepath.Dir(initdb), dir: dir}
	if os.Geteuid() == 0 {
		c.becomePostgres(t)
	}
	data := filepath.Join(dir, "data")
	c.run(t, nil, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
	c.run(t, nil, "pg_ctl", "-D", data, "-w", "-l", filepath.Join(dir, "log"), "start",
		"-o", "-c listen_addresses= -c fsync=off -c unix_socket_directories="+dir)
	t.Cleanup(func() { c.run(t, nil, "pg_ctl", "-D", data, "-m", "immediate", "stop") })
	return c
}

func (c *cluster) becomePostgres(t *testing.T) {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Skipf("NOT TESTED against a live server: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(c.dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	c.attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func (c *cluster) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, program), args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "PGHOST="+c.dir, "PGUSER=postgres", "LC_ALL=C")
	cmd.SysProcAttr = c.attr
	return cmd
}

// run gives what the program printed, and ends the test if it fails.
func (c *cluster) run(t *testing.T, stdin io.Reader, program string, args ...string) string {
	t.Helper()
	// Files instead of pipes: the server that pg_ctl leaves behind would hold a pipe open.
	out, err := os.CreateTemp(c.dir, "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := c.command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, out, out
	err = cmd.Run()
	printed, _ := os.ReadFile(out.Name())
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, printed)
	}
	return string(printed)
}

func (c *cluster) query(t *testing.T, database, sql string) string {
	t.Helper()
	return c.run(t, nil, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql)
}

// dump starts pg_dump into a FIFO, as a backup does. It gives the FIFO's other end, and a channel
// with pg_dump's exit.
func (c *cluster) dump(t *testing.T, database string) (*os.File, <-chan error) {
	t.Helper()
	fifo := filepath.Join(c.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(fifo, 0o666); err != nil { // whatever the umask
		t.Fatal(err)
	}
	cmd := c.command("pg_dump", "-Fc", "--compress=0", "--no-sync", "-f", fifo, database)
	cmd.Stderr = os.Stderr
	exit := make(chan error, 1)
	go func() {
		exit <- cmd.Run()
		// A pg_dump that failed early never opened the FIFO, and opening it below still waits.
		if w, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			w.Close()
		}
	}()
	r, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	return r, exit
}

// TestLive copies a database: pg_dump, Reader, Writer, pg_restore.
func TestLive(t *testing.T) {
	c := startCluster(t)
	c.query(t, "postgres", "CREATE DATABASE source")
	c.query(t, "postgres", "CREATE DATABASE target")
	sql, err := os.Open("testdata/source.sql")
	if err != nil {
		t.Fatal(err)
	}
	defer sql.Close()
	c.run(t, sql, "psql", "-X", "-q", "-d", "source")
	c.query(t, "source", `
		INSERT INTO long_value SELECT repeat(E'\t\\x\n', 1000000) FROM generate_series(1, 3);
		INSERT INTO cows (name) SELECT 'cow ' || n FROM generate_series(1, 100000) AS n;
		REFRESH MATERIALIZED VIEW totals`)

	fifo, pgDump := c.dump(t, "source")
	defer fifo.Close()
	restoring, rebuilt := io.Pipe()
	copied := make(chan error, 1)
	go func() {
		err := copyArchive(rebuilt, fifo)
		rebuilt.CloseWithError(err)
		copied <- err
	}()
	c.run(t, restoring, "pg_restore", "--exit-on-error", "--no-owner", "-d", "target")
	if err := <-copied; err != nil {
		t.Fatal(err)
	}
	if err := <-pgDump; err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	for name, query := range comparisons(t, c) {
		got, want := c.query(t, "target", query), c.query(t, "source", query)
		if got != want {
			t.Errorf("%s: got %d bytes that differ from the source's %d", name, len(got), len(want))
		}
		if want == "" && !strings.Contains(name, "empty") {
			t.Errorf("%s: nothing to compare", name)
		}
	}
}

// comparisons gives queries whose answers must be equal, by name: each table's rows, and what is
// no table.
func comparisons(t *testing.T, c *cluster) map[string]string {
	t.Helper()
	queries := map[string]string{
		"large objects": "SELECT oid, md5(lo_get(oid)), obj_description(oid, 'pg_largeobject') FROM pg_largeobject_metadata ORDER BY 1",
		"sequence":      "SELECT last_value, is_called FROM tickets",
		"identity":      "SELECT last_value, is_called FROM cows_id_seq",
	}
	tables := c.query(t, "source", `SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'm')
		AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')`)
	for table := range strings.Lines(tables) {
		table = strings.TrimSuffix(table, "\n")
		queries[table] = fmt.Sprintf("COPY (SELECT * FROM ONLY %s) TO STDOUT", table)
	}
	if len(queries) < 15 {
		t.Errorf("tables to compare: got only %q", tables)
	}
	return queries
}

func copyArchive(to io.Writer, from io.Reader) error {
	r, err := NewReader(from)
	if err != nil {
		return err
	}
	w, err := NewWriter(to, r.Head().Raw)
	if err != nil {
		return err
	}
	for {
		b, err := r.Next()
		if err == io.EOF {
			return w.Close() // which fails if a block is missing
		}
		if err != nil {
			return err
		}
		if err := w.Block(b.DumpID); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
}
