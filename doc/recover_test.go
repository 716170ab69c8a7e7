// Package doc_test proves what the pages of this folder promise.
package doc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/postgres/archive"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

const id backup.ID = "happycows-db-20261121T074700Z"

// dataSQL makes a database of everything that a dump holds in its own way.
const dataSQL = `
CREATE ROLE herder LOGIN PASSWORD 'moo';
CREATE SCHEMA "Odd ""schema""";
CREATE TABLE cows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, milk float8, born timestamptz, twice float8 GENERATED ALWAYS AS (milk * 2) STORED);
INSERT INTO cows (name, milk, born) SELECT 'cow ' || i, i / 7.0, timestamptz '2020-01-01 UTC' + i * interval '1 hour' FROM generate_series(1, 150000) i;
ALTER TABLE cows OWNER TO herder;
CREATE TABLE empty (id int);
CREATE TABLE "Odd ""schema"""."odd	name" ("a b" text);
INSERT INTO "Odd ""schema"""."odd	name" SELECT chr(i) || E'\t\\.\n\\N\r' || repeat(md5(i::text), 10) FROM generate_series(1, 2000) i WHERE i NOT BETWEEN 55296 AND 57343;
INSERT INTO "Odd ""schema"""."odd	name" VALUES (NULL), (''), (E'\\.'), (E'\\N'), (repeat('x', 3000000));
CREATE TABLE events (at date, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO events SELECT date '2026-01-01' + i % 365, 'e' || i FROM generate_series(1, 5000) i;
CREATE UNLOGGED TABLE cache (k int, v bytea);
INSERT INTO cache SELECT i, decode(md5(i::text), 'hex') FROM generate_series(1, 100) i;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM cows;
CREATE INDEX ON cows (name);
SELECT lo_from_bytea(0, decode(repeat('00ff0a5c', 50000), 'hex'));
SELECT lo_from_bytea(0, '');
`

// TestRecover backs a real dump up, recovers it with the script, loads that into an empty cluster, and compares each
// table with the fingerprint in the manifest.
func TestRecover(t *testing.T) {
	needPrograms(t, "python3", "age", "zstd", "git")
	from, to := startCluster(t), startCluster(t)
	from.run(t, strings.NewReader("CREATE DATABASE \"happy/cows\";"), "psql", "-qXv", "ON_ERROR_STOP=1", "postgres")
	from.run(t, strings.NewReader(dataSQL), "psql", "-qXv", "ON_ERROR_STOP=1", "happy/cows")

	dir := t.TempDir()
	root, key := filepath.Join(dir, "repository"), filepath.Join(dir, "key")
	m, bundle := backUp(t, from, root, key)

	out := filepath.Join(dir, "out")
	listed := run(t, "./recover", root, key)
	if !strings.Contains(listed, string(id)+"  complete") || !strings.Contains(listed, m.Apps[0].Commit) {
		t.Errorf("listing: got %q, want the id, complete, and the commit", listed)
	}
	run(t, "./recover", root, key, string(id), out)

	to.run(t, open(t, filepath.Join(out, "roles.sql")), "psql", "-qX", "postgres") // "role postgres exists" is expected
	to.run(t, strings.NewReader("CREATE DATABASE \"happy/cows\";"), "psql", "-qXv", "ON_ERROR_STOP=1", "postgres")
	dump := filepath.Join(to.dir, "dump")
	if err := os.WriteFile(dump, read(t, filepath.Join(out, "happy%2Fcows.dump")), 0o644); err != nil {
		t.Fatal(err)
	}
	to.run(t, nil, "pg_restore", "--exit-on-error", "-j", "2", "-d", "happy/cows", dump)

	in := to.command(t.Context(), "pg_restore", "-f", os.DevNull) // from a pipe: the order of blocks is the archive's own
	in.Stdin = io.MultiReader(open(t, dump))
	output(t, in)

	compareTables(t, to, m.Services[0].Databases[0].Tables)
	const objects = "SELECT md5(string_agg(lo_get(oid), '' ORDER BY oid)), count(*) FROM pg_largeobject_metadata"
	if got, want := to.query(t, objects), from.query(t, objects); got != want {
		t.Errorf("large objects: got %s, want %s", got, want)
	}
	if got, want := to.query(t, "SELECT tableowner FROM pg_tables WHERE tablename = 'cows'"), "herder\n"; got != want {
		t.Errorf("owner of cows: got %q, want %q", got, want)
	}
	if got := read(t, filepath.Join(out, "happycows.bundle")); !bytes.Equal(got, bundle) {
		t.Errorf("bundle: got %d bytes, want the %d that were stored", len(got), len(bundle))
	}
	run(t, "git", "clone", "-q", filepath.Join(out, "happycows.bundle"), filepath.Join(dir, "code"))
	if got, want := string(read(t, filepath.Join(out, "happycows.config.json"))), `{"KEY":"secret value"}`; got != want {
		t.Errorf("config: got %q, want %q", got, want)
	}
	for _, name := range []string{"roles.sql", "happycows.config.json", "happy%2Fcows.dump"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("mode of %s: got %v, error %v, want -rw-------", name, info, err)
		}
	}
}

// backUp makes a repository in the folder root with one backup of the cluster's database, a commit and a config.
func backUp(t *testing.T, c *cluster, root, key string) (m *backup.Manifest, bundle []byte) {
	ctx := t.Context()
	identity, err := repository.CreateKey(key)
	check(t, err)
	r, err := repository.Create(ctx, local.New(root), identity)
	check(t, err)
	w, err := r.NewWriter(ctx, 2, nil)
	check(t, err)
	store := func(text []byte) *backup.Content {
		content, err := w.Bytes(bytes.NewReader(text))
		check(t, err)
		return content
	}
	db := backup.Database{Name: "happy/cows"}
	db.Dump.Format = "pg_dump custom"
	in, err := archive.NewReader(strings.NewReader(c.run(t, nil, "pg_dump", "-Fc", "-Z0", "happy/cows")))
	check(t, err)
	db.Dump.Head = store(in.Head().Raw)
	for {
		block, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		if block.Rows {
			content, err := w.Rows(in)
			check(t, err)
			db.Tables = append(db.Tables, backup.Table{Schema: block.Entry.Namespace, Name: block.Entry.Tag, DumpID: block.DumpID, Content: content})
			continue
		}
		content, err := w.Bytes(in)
		check(t, err)
		db.Dump.Blocks = append(db.Dump.Blocks, backup.Block{Type: int(block.Type), DumpID: block.DumpID, Content: content})
	}
	roles := store([]byte(c.run(t, nil, "pg_dumpall", "--globals-only")))
	bundle, commit := makeBundle(t)
	app := backup.App{Name: "happycows", Commit: commit, Certainty: backup.Recorded, Bundle: &backup.Bundle{Commits: 1, Content: store(bundle)}}
	app.Config = store([]byte(`{"KEY":"secret value"}`))
	stored, err := w.Close()
	check(t, err)
	m = &backup.Manifest{
		Schema: backup.Schema, ID: id, State: backup.Complete, Stored: stored, Apps: []backup.App{app},
		Services: []backup.Service{{Type: "postgres", Name: "happycows-db", Roles: roles, Databases: []backup.Database{db}}},
	}
	check(t, r.Commit(ctx, m))
	return m, bundle
}

func makeBundle(t *testing.T) (bundle []byte, commit string) {
	dir := t.TempDir()
	git := func(args ...string) string {
		return run(t, "git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
	}
	git("init", "-q", "-b", "main")
	git("commit", "-q", "--allow-empty", "-m", "moo")
	git("bundle", "create", "-q", filepath.Join(dir, "out.bundle"), "HEAD", "main")
	return read(t, filepath.Join(dir, "out.bundle")), strings.TrimSpace(git("rev-parse", "HEAD"))
}

func compareTables(t *testing.T, c *cluster, tables []backup.Table) {
	if len(tables) != 5 {
		t.Errorf("tables: got %d, want 5", len(tables))
	}
	for _, table := range tables {
		quoted := `"` + strings.ReplaceAll(table.Schema, `"`, `""`) + `"."` + strings.ReplaceAll(table.Name, `"`, `""`) + `"`
		got, err := backup.Fingerprint(strings.NewReader(c.query(t, "COPY "+quoted+" TO STDOUT")), true)
		check(t, err)
		if got.Rows != table.Rows || got.Digest != table.Digest {
			t.Errorf("%s: got %d rows with %s, want %d rows with %s", quoted, got.Rows, got.Digest, table.Rows, table.Digest)
		}
	}
}

// A cluster is a PostgreSQL server of this test alone, that listens on a socket in dir.
type cluster struct {
	dir, bin   string
	credential *syscall.Credential // PostgreSQL refuses to run as root
}

func startCluster(t *testing.T) *cluster {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		t.Skip("NOT TESTED: no initdb in /usr/lib/postgresql")
	}
	dir, err := os.MkdirTemp("", "pg") // not t.TempDir: its parent is closed to other users, and a socket's path is short
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &cluster{dir: dir, bin: filepath.Dir(found[len(found)-1])}
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		check(t, err)
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		check(t, os.Chown(dir, uid, gid))
		c.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(dir, "data")
	c.run(t, nil, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	server := c.command(context.Background(), "postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	check(t, server.Start())
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGQUIT) // at once
		server.Wait()
	})
	for range 300 {
		if c.command(t.Context(), "pg_isready", "-q").Run() == nil {
			return c
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the server did not start within 30 seconds")
	return nil
}

func (c *cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.credential}
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "PGHOST=" + c.dir, "PGUSER=postgres", "PGTZ=UTC",
		"PGOPTIONS=-c extra_float_digits=3", // as pg_dump has it
	}
	return cmd
}

// run runs a program of the cluster and returns its output.
func (c *cluster) run(t *testing.T, in io.Reader, name string, args ...string) string {
	t.Helper()
	cmd := c.command(t.Context(), name, args...)
	cmd.Stdin = in
	return output(t, cmd)
}

func (c *cluster) query(t *testing.T, sql string) string {
	t.Helper()
	return c.run(t, nil, "psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-c", sql, "happy/cows")
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	return output(t, exec.CommandContext(t.Context(), name, args...))
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(cmd.Path), err, stderr.Bytes())
	}
	return string(out)
}

func needPrograms(t *testing.T, names ...string) {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("NOT TESTED: %v", err)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	check(t, err)
	return data
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
