package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/postgres/archive"
)

// dumpArgv is the pg_dump of one database. --compress=0, because rows are fingerprinted and reused by their content;
// --no-sync, because a FIFO cannot be flushed.
func dumpArgv(user, database, out string, options ...string) []string {
	argv := []string{"pg_dump", "--format=custom", "--compress=0", "--no-password",
		"--host=127.0.0.1", "--username=" + user, "--dbname=" + connstring(database)}
	argv = append(argv, options...)
	if out != "" {
		argv = append(argv, "--no-sync", "--file="+out)
	}
	return argv
}

// rolesArgv is the pg_dumpall of the server's roles and tablespaces.
func rolesArgv(user, database, out string) []string {
	argv := []string{"pg_dumpall", "--globals-only", "--no-password",
		"--host=127.0.0.1", "--username=" + user, "--database=" + database}
	if out != "" {
		argv = append(argv, "--no-sync", "--file="+out)
	}
	return argv
}

// Dump stores one database of the snapshot through w. progress is called with each number of bytes that came from
// pg_dump.
func (s *Snapshot) Dump(ctx context.Context, name string, w backup.Writer, progress func(n int)) error {
	d := s.databases[slices.IndexFunc(s.databases, func(d *database) bool { return d.Name == name })]
	argv := func(out string) []string { return dumpArgv(s.server.User, name, out, "--snapshot="+d.id) }
	err := s.server.Tools.Run(ctx, argv, s.server.env(s.appName), func(out io.Reader) error {
		return d.store(&counter{out, progress}, w)
	})
	if err != nil {
		s.server.terminate(s.server.Database, s.appName)
		return fmt.Errorf("dump of database %q: %w", name, err)
	}
	return d.complete()
}

// Roles is the SQL that makes the server's roles. It holds their password hashes.
func (s *Snapshot) Roles(ctx context.Context) ([]byte, error) {
	var sql bytes.Buffer
	argv := func(out string) []string { return rolesArgv(s.server.User, s.server.Database, out) }
	err := s.server.Tools.Run(ctx, argv, s.server.env(s.appName), func(out io.Reader) error {
		_, err := sql.ReadFrom(out)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dump of roles: %w", err)
	}
	return sql.Bytes(), nil
}

// store splits the archive: the head, the rows of each table, the other blocks.
func (d *database) store(out io.Reader, w backup.Writer) error {
	in, err := archive.NewReader(out)
	var unknown *archive.VersionError
	if errors.As(err, &unknown) {
		return d.storeOpaque(in.Raw(), w, unknown)
	}
	if err != nil {
		return err
	}
	head := in.Head()
	d.Dump.Format = "pg_dump custom " + head.Version.String()
	if d.Dump.Head, err = w.Bytes(bytes.NewReader(head.Raw)); err != nil {
		return err
	}
	for {
		block, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := d.storeBlock(in, block, w); err != nil {
			return err
		}
	}
	if missing := in.Missing(); len(missing) > 0 {
		return fmt.Errorf("the dump is not whole: it lacks the data of %s %q and %d more", missing[0].Desc, missing[0].Tag, len(missing)-1)
	}
	return nil
}

func (d *database) storeBlock(in *archive.Reader, block *archive.Block, w backup.Writer) error {
	if block.Rows {
		content, err := w.Rows(in)
		if err != nil {
			return fmt.Errorf("table %s.%s: %w", block.Entry.Namespace, block.Entry.Tag, err)
		}
		d.Tables = append(d.Tables, backup.Table{
			Schema: block.Entry.Namespace, Name: block.Entry.Tag, DumpID: block.DumpID, Content: content,
		})
		return nil
	}
	content, err := w.Bytes(in)
	if err != nil {
		return err
	}
	d.Dump.Blocks = append(d.Dump.Blocks, backup.Block{
		Type: int(block.Type), DumpID: block.DumpID, Tag: block.Entry.Tag, Content: content,
	})
	return nil
}

// storeOpaque keeps the stream of a newer pg_dump as it is.
func (d *database) storeOpaque(out io.Reader, w backup.Writer, version *archive.VersionError) (err error) {
	d.Dump.Format = "opaque"
	d.warnings = append(d.warnings,
		fmt.Sprintf("the dump of %s is kept as it came, without row counts and digests: %v", d.Name, version))
	d.Dump.Opaque, err = w.Bytes(out)
	return err
}

// complete checks the dump against the catalog of its snapshot, and sums it up.
func (d *database) complete() error {
	if d.Dump.Opaque != nil {
		d.Dump.Bytes, d.Dump.Digest = d.Dump.Opaque.Bytes, d.Dump.Opaque.Digest
		return nil
	}
	for _, t := range d.Tables {
		delete(d.tables, tableKey(t.Schema, t.Name))
		d.Dump.Bytes += t.Bytes
	}
	for _, b := range d.Dump.Blocks {
		d.Dump.Bytes += b.Content.Bytes
	}
	if len(d.tables) > 0 {
		lost := slices.Sorted(maps.Keys(d.tables))
		return fmt.Errorf("the dump of database %q lacks %d tables that the catalog has, %s among them", d.Name, len(lost), lost[0])
	}
	d.Dump.Bytes += d.Dump.Head.Bytes
	d.Dump.Digest = backup.DumpDigest(d.Tables)
	return nil
}

// counter tells progress of what is read.
type counter struct {
	src      io.Reader
	progress func(n int)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	c.progress(n)
	return n, err
}
