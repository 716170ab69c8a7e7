package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/postgres/archive"
)

// Source reads the content of a backup. What is missing or damaged is an error of Read. It is safe for concurrent use.
type Source interface {
	Reader(ctx context.Context, c *backup.Content) io.ReadCloser
}

// Loading says how to load.
type Loading struct {
	Jobs int // tables at once, and jobs of pg_restore
	// Progress, when set, is told of each number of plain bytes on their way to the server: by several goroutines at once,
	// and perhaps once more after a Load that failed has returned.
	Progress func(n int)
}

// maintenance is the database from which the others are dropped, made and renamed: every server has it, and no backup
// holds it.
const maintenance = "template1"

// loader loads one service.
type loader struct {
	server  *Server
	source  Source
	how     Loading
	appName string
}

// Load puts a backup of a service into a new server: its roles, and its databases under their names, with owners, grants
// and settings; only the backup's default database takes the name of the new server's own one. It stops at the first error;
// the server is then half loaded and must be destroyed. Damage of the backup is found by errors.As, whatever
// type the source's errors have.
func (s *Server) Load(ctx context.Context, service backup.Service, source Source, how Loading) error {
	how.Jobs = max(1, how.Jobs)
	if how.Progress == nil {
		how.Progress = func(int) {}
	}
	l := &loader{s, source, how, "dokku-backup-" + rand.Text()}
	err := l.load(ctx, service)
	if err != nil {
		s.terminate(maintenance, l.appName)
	}
	return err
}

func (l *loader) load(ctx context.Context, service backup.Service) error {
	if err := l.roles(ctx, service.Roles); err != nil {
		return fmt.Errorf("load roles: %w", err)
	}
	if err := l.maintain(ctx, "DROP DATABASE IF EXISTS "+quote(l.server.Database)); err != nil {
		return err
	}
	for _, d := range service.Databases {
		if err := l.database(ctx, d); err != nil {
			return fmt.Errorf("load database %q: %w", d.Name, err)
		}
	}
	if name := service.Databases[0].Name; name != l.server.Database {
		return l.maintain(ctx, "ALTER DATABASE "+quote(name)+" RENAME TO "+quote(l.server.Database))
	}
	return nil
}

// roles makes the roles of the backup. The server's own superuser is as the new service made it: the old one's password
// must not come back.
func (l *loader) roles(ctx context.Context, roles *backup.Content) error {
	if roles == nil {
		return nil
	}
	sql, err := readContent(ctx, l.source, roles)
	if err != nil {
		return err
	}
	return l.server.Tools.Feed(ctx, psqlArgv(l.server.User, maintenance), l.env(), bytes.NewReader(withoutRole(sql, l.server.User)))
}

func (l *loader) database(ctx context.Context, d backup.Database) error {
	if err := l.maintain(ctx, "DROP DATABASE IF EXISTS "+quote(d.Name)); err != nil {
		return err
	}
	switch {
	case d.Dump.Opaque != nil:
		return l.opaque(ctx, d.Dump.Opaque)
	case len(d.Dump.Blocks) > 0:
		return l.rebuilt(ctx, d)
	default:
		return l.parts(ctx, d)
	}
}

// parts loads the schema, the rows of all tables side by side, and what is built on them.
func (l *loader) parts(ctx context.Context, d backup.Database) error {
	head, err := readHead(ctx, l.source, d.Dump.Head)
	if err != nil {
		return err
	}
	if err := l.section(ctx, maintenance, head, "--section=pre-data", "--create"); err != nil {
		return err
	}
	if err := l.tables(ctx, d, head); err != nil {
		return err
	}
	return l.section(ctx, d.Name, head, "--section=post-data")
}

// section runs pg_restore for a part of the archive that needs its head alone.
func (l *loader) section(ctx context.Context, database string, head *archive.Head, options ...string) error {
	argv := func(file string) []string {
		argv := append(restoreArgv(l.server.User, database), options...)
		if file == "" {
			return argv
		}
		if l.how.Jobs > 1 { // they need a file that each can open
			argv = append(argv, "--jobs="+strconv.Itoa(l.how.Jobs))
		}
		return append(argv, file)
	}
	return l.server.Tools.WithFile(ctx, argv, l.env(), head.Raw)
}

// rebuilt loads a dump that holds more than rows by one pg_restore of the whole archive.
func (l *loader) rebuilt(ctx context.Context, d backup.Database) error {
	head, err := readHead(ctx, l.source, d.Dump.Head)
	if err != nil {
		return err
	}
	contents := map[int]*backup.Content{}
	for _, t := range d.Tables {
		contents[t.DumpID] = t.Content
	}
	for _, b := range d.Dump.Blocks {
		contents[b.DumpID] = b.Content
	}
	in, out := io.Pipe()
	defer in.Close() // ends the goroutine when pg_restore does not read on
	go func() { out.CloseWithError(l.rebuild(ctx, out, head, contents)) }()
	return l.server.Tools.Feed(ctx, append(restoreArgv(l.server.User, maintenance), "--create"), l.env(), in)
}

// rebuild writes the archive. Its blocks stand in the order of its entries, since pg_restore cannot go back in a pipe.
func (l *loader) rebuild(ctx context.Context, out io.Writer, head *archive.Head, contents map[int]*backup.Content) error {
	w, err := archive.NewWriter(out, head.Raw)
	if err != nil {
		return err
	}
	for _, e := range head.Entries {
		content := contents[e.DumpID]
		if content == nil {
			continue
		}
		if err := w.Block(e.DumpID); err != nil {
			return err
		}
		in := l.reader(ctx, content)
		_, err := io.Copy(w, in)
		in.Close()
		if err != nil {
			return fmt.Errorf("%s %s.%s: %w", e.Desc, e.Namespace, e.Tag, err)
		}
	}
	return w.Close()
}

func (l *loader) opaque(ctx context.Context, dump *backup.Content) error {
	in := l.reader(ctx, dump)
	defer in.Close()
	return l.server.Tools.Feed(ctx, append(restoreArgv(l.server.User, maintenance), "--create"), l.env(), in)
}

// maintain runs one statement outside of all databases of the backup.
func (l *loader) maintain(ctx context.Context, sql string) error {
	conn, err := l.server.connect(ctx, maintenance)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, l.server.explain(ctx, conn, err))
	}
	return nil
}

// env is for programs that load. PGOPTIONS overrides what ALTER DATABASE ... SET brings with the backup, and lets no statement wait for
// the disk: the last one, which renames, does, and the server itself flushes within a second (wal_writer_delay).
func (l *loader) env() []string {
	return append(l.server.env(l.appName), "PGOPTIONS=-c default_transaction_read_only=off -c synchronous_commit=off")
}

// reader reads content, and tells progress of it.
func (l *loader) reader(ctx context.Context, c *backup.Content) io.ReadCloser {
	in := l.source.Reader(ctx, c)
	return struct {
		io.Reader
		io.Closer
	}{&counter{in, l.how.Progress}, in}
}

func readContent(ctx context.Context, source Source, c *backup.Content) ([]byte, error) {
	in := source.Reader(ctx, c)
	defer in.Close()
	return io.ReadAll(in)
}

func readHead(ctx context.Context, source Source, c *backup.Content) (*archive.Head, error) {
	raw, err := readContent(ctx, source, c)
	if err != nil {
		return nil, fmt.Errorf("head of the dump: %w", err)
	}
	in, err := archive.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("head of the dump: %w", err)
	}
	return in.Head(), nil
}

// restoreArgv is a pg_restore that stops at the first error.
func restoreArgv(user, database string) []string {
	return []string{"pg_restore", "--exit-on-error", "--no-password", "--host=127.0.0.1", "--username=" + user, "--dbname=" + connstring(database)}
}

// psqlArgv runs a script up to its first error. What queries in it print is of no use.
func psqlArgv(user, database string) []string {
	return []string{"psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--no-password",
		"--host=127.0.0.1", "--username=" + user, "--dbname=" + connstring(database)}
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// withoutRole leaves the statements out that make a role and set its attributes; what it is granted and its settings
// stay. pg_dumpall writes each of them as one line that begins with a lone CREATE or ALTER: dumpRoles in
// src/bin/pg_dump/pg_dumpall.c.
func withoutRole(sql []byte, role string) []byte {
	var kept []byte
	for line := range bytes.Lines(sql) {
		own := false
		for _, name := range []string{role, quote(role)} {
			own = own || bytes.HasPrefix(line, []byte("CREATE ROLE "+name+";")) || bytes.HasPrefix(line, []byte("ALTER ROLE "+name+" WITH "))
		}
		if !own {
			kept = append(kept, line...)
		}
	}
	return kept
}
