package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/postgres/archive"
)

// rowEntry is what the head tells of a table's rows.
type rowEntry struct {
	copy string // SQL
	root string // SQL name of the partitioned table that the rows are loaded through
	made bool   // by the archive itself; an extension's own table is not
}

// rootMark begins the definition of rows that are loaded through a partitioned table, because the partition that they
// belong to may be another one in the new database: dumpTableData in src/bin/pg_dump/pg_dump.c.
const rootMark = "-- load via partition root "

// rowEntries are the head's entries of rows by dump id.
func rowEntries(head *archive.Head) map[int]rowEntry {
	made := map[string]bool{}
	for _, e := range head.Entries {
		if e.Desc == "TABLE" {
			made[tableKey(e.Namespace, e.Tag)] = true
		}
	}
	entries := map[int]rowEntry{}
	for _, e := range head.Entries {
		if e.CopyStmt == "" {
			continue
		}
		row := rowEntry{copy: e.CopyStmt, made: made[tableKey(e.Namespace, e.Tag)]}
		if root, marked := strings.CutPrefix(e.Defn, rootMark); marked {
			row.root = strings.TrimSpace(root)
		}
		entries[e.DumpID] = row
	}
	return entries
}

// tableLoad is a table's rows and how to load them.
type tableLoad struct {
	name    string // for messages
	copy    string // SQL
	fresh   string // SQL that lets rows be loaded frozen; "" where that cannot be
	content *backup.Content
}

// tableLoads lists what to load, largest first. Rows of a table that the archive itself makes are loaded frozen, after a
// TRUNCATE in the same transaction, so that nobody has to visit them again to mark them committed. Others, such as an
// extension's own table, hold rows already.
func tableLoads(d backup.Database, head *archive.Head) ([]tableLoad, error) {
	entries := rowEntries(head)
	var loads []tableLoad
	for _, t := range d.Tables {
		e, there := entries[t.DumpID]
		if !there {
			return nil, fmt.Errorf("the dump's head has no table %s.%s", t.Schema, t.Name)
		}
		if t.Bytes == 0 {
			continue
		}
		load := tableLoad{name: t.Schema + "." + t.Name, copy: e.copy, content: t.Content}
		if e.made && e.root == "" {
			load.fresh = "TRUNCATE ONLY " + pgx.Identifier{t.Schema, t.Name}.Sanitize()
			load.copy = strings.TrimSuffix(e.copy, ";\n") + " WITH (FREEZE);\n"
		}
		loads = append(loads, load)
	}
	slices.SortStableFunc(loads, func(a, b tableLoad) int { return cmp.Compare(b.content.Bytes, a.content.Bytes) })
	return loads, nil
}

// tables loads the rows of all tables, several at once, then what else is data: the sequences.
func (l *loader) tables(ctx context.Context, d backup.Database, head *archive.Head) error {
	loads, err := tableLoads(d, head)
	if err != nil {
		return err
	}
	queue := make(chan tableLoad, len(loads))
	for _, load := range loads {
		queue <- load
	}
	close(queue)
	group, groupCtx := errgroup.WithContext(ctx)
	for range max(1, min(l.how.Jobs, len(loads))) {
		group.Go(func() error { return l.work(groupCtx, d.Name, head, queue) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return l.sequences(ctx, d.Name, head)
}

// work loads tables until the queue is empty.
func (l *loader) work(ctx context.Context, database string, head *archive.Head, queue <-chan tableLoad) error {
	conn, err := l.session(ctx, database, head)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for load := range queue {
		if err := l.table(ctx, conn, load); err != nil {
			return fmt.Errorf("table %s: %w", load.name, err)
		}
	}
	return nil
}

// table loads one table in a transaction.
func (l *loader) table(ctx context.Context, conn *pgx.Conn, load tableLoad) error {
	in := l.reader(ctx, load.content)
	defer in.Close()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return l.server.explain(ctx, conn, err)
	}
	if load.fresh != "" {
		if _, err := tx.Exec(ctx, load.fresh); err != nil {
			return l.server.explain(ctx, conn, err)
		}
	}
	rows := &faithful{src: in}
	tag, err := conn.PgConn().CopyFrom(ctx, rows, load.copy)
	if failed := rows.failure.Load(); failed != nil {
		return *failed // the server only repeats it
	}
	if err != nil {
		return l.server.explain(ctx, conn, err)
	}
	if tag.RowsAffected() != load.content.Rows {
		return fmt.Errorf("the server took %d rows, the backup has %d", tag.RowsAffected(), load.content.Rows)
	}
	return l.server.explain(ctx, conn, tx.Commit(ctx))
}

// faithful remembers why its source failed. CopyFrom sends the server the error's text, and returns the server's answer; it
// may leave a Read under way when it returns.
type faithful struct {
	src     io.Reader
	failure atomic.Pointer[error]
}

func (f *faithful) Read(p []byte) (int, error) {
	n, err := f.src.Read(p)
	if err != nil && err != io.EOF {
		f.failure.Store(&err)
	}
	return n, err
}

// sequences runs the archive's other statements of the data section, which are SEQUENCE SET.
func (l *loader) sequences(ctx context.Context, database string, head *archive.Head) error {
	conn, err := l.session(ctx, database, head)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, e := range head.Entries {
		if e.Section != archive.SectionData || e.HasData() || e.Defn == "" {
			continue
		}
		if _, err := conn.PgConn().Exec(ctx, e.Defn).ReadAll(); err != nil {
			return fmt.Errorf("%s %s.%s: %w", strings.ToLower(e.Desc), e.Namespace, e.Tag, l.server.explain(ctx, conn, err))
		}
	}
	return nil
}

// session opens a connection with the settings that pg_restore would give it: those that the archive's own entries say, and
// _doSetFixedOutputState in src/bin/pg_dump/pg_backup_archiver.c.
func (l *loader) session(ctx context.Context, database string, head *archive.Head) (*pgx.Conn, error) {
	conn, err := l.server.connect(ctx, database)
	if err != nil {
		return nil, err
	}
	sql := "SET check_function_bodies = false; SET xmloption = content; SET row_security = off; SET client_min_messages = warning;\n" +
		"SET synchronous_commit = off; SET default_transaction_read_only = off;\n" // as loader.env has it
	for _, e := range head.Entries {
		switch e.Desc {
		case "ENCODING", "STDSTRINGS", "SEARCHPATH":
			sql += e.Defn
		}
	}
	if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("prepare session: %w", err)
	}
	return conn, nil
}

// explain makes one clear line of a connection that broke, and leaves PostgreSQL's own messages as they are.
func (s *Server) explain(ctx context.Context, conn *pgx.Conn, err error) error {
	var refusal *pgconn.PgError
	said := errors.As(err, &refusal)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case said && !strings.HasPrefix(refusal.Code, "57P"): // 57P01 to 57P05: the server shuts down, crashed, or was told to end the session
		return refused{refusal}
	case said || conn.IsClosed():
		return &backup.Problem{
			Message: fmt.Sprintf("the server of %s ended the connection: it was stopped or killed, or the host's memory ran out", s.Name),
			Hints:   []string{"see what the server says: dokku postgres:logs " + s.Name},
			Err:     err,
		}
	}
	return err
}

// refused is a PostgreSQL error in psql's words, with the detail that pgconn leaves out.
type refused struct{ *pgconn.PgError }

func (r refused) Error() string {
	text := r.Message
	for _, more := range []string{r.Detail, r.Where} {
		if more != "" {
			text += "; " + more
		}
	}
	return text
}

func (r refused) Unwrap() error { return r.PgError }
