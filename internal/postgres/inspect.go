package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// inspect asks each database, in its snapshot, for what the manifest tells of it. The maintenance database "postgres" is
// left out when nothing was ever put into it.
func (s *Snapshot) inspect(ctx context.Context) error {
	for _, d := range s.databases {
		if err := d.inspect(ctx); err != nil {
			return fmt.Errorf("inspect database %q: %w", d.Name, err)
		}
	}
	first := s.databases[0]
	if err := first.tx.QueryRow(ctx, "SELECT split_part(current_setting('server_version'), ' ', 1), clock_timestamp()").
		Scan(&s.version, &s.taken); err != nil {
		return fmt.Errorf("inspect server: %w", err)
	}
	var err error
	s.databases = slices.DeleteFunc(s.databases, func(d *database) bool {
		if err != nil || d.Name != "postgres" || d == first {
			return false
		}
		var untouched bool
		if untouched, err = d.untouched(ctx); untouched {
			d.conn.Close(ctx)
		}
		return untouched
	})
	return err
}

func (d *database) inspect(ctx context.Context) error {
	err := d.tx.QueryRow(ctx, `
		SELECT pg_database_size(oid), pg_encoding_to_char(encoding), datcollate, datctype, current_setting('TimeZone')
		FROM pg_database WHERE datname = current_database()`).
		Scan(&d.Size, &d.Encoding, &d.Collation, &d.CType, &d.TimeZone)
	if err != nil {
		return err
	}
	rows, err := d.tx.Query(ctx, "SELECT extname::text, extversion FROM pg_extension ORDER BY extname")
	if err != nil {
		return err
	}
	if d.Extensions, err = pgx.CollectRows(rows, pgx.RowToStructByPos[backup.Extension]); err != nil {
		return err
	}
	if d.tables, err = d.dumpable(ctx); err != nil {
		return err
	}
	d.Migration, err = d.migration(ctx)
	return err
}

// dumpable is the set of tables that a dump of this database must hold rows of, by quoted schema and name. Tables and schemas
// that belong to an extension are left out: whether pg_dump takes those depends on the extension (pg_extension_config_dump).
func (d *database) dumpable(ctx context.Context) (map[string]bool, error) {
	rows, err := d.tx.Query(ctx, `
		SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' AND (
			d.classid = 'pg_class'::regclass AND d.objid = c.oid OR
			d.classid = 'pg_namespace'::regclass AND d.objid = n.oid))`)
	if err != nil {
		return nil, err
	}
	tables := map[string]bool{}
	var schema, name string
	_, err = pgx.ForEachRow(rows, []any{&schema, &name}, func() error {
		tables[tableKey(schema, name)] = true
		return nil
	})
	return tables, err
}

func tableKey(schema, name string) string { return fmt.Sprintf("%q.%q", schema, name) }

// untouched tells whether a database is as initdb left it: no object of its own, no large object, no schema or extension
// beyond the standard ones. 16384 is FirstNormalObjectId (src/include/access/transam.h).
func (d *database) untouched(ctx context.Context) (bool, error) {
	var touched bool
	err := d.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class WHERE oid >= 16384)
		OR EXISTS (SELECT FROM pg_proc WHERE oid >= 16384) OR EXISTS (SELECT FROM pg_type WHERE oid >= 16384)
		OR EXISTS (SELECT FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_') OR EXISTS (SELECT FROM pg_extension WHERE oid >= 16384)
		OR EXISTS (SELECT FROM pg_largeobject_metadata) OR EXISTS (SELECT FROM pg_event_trigger)
		OR EXISTS (SELECT FROM pg_foreign_server) OR EXISTS (SELECT FROM pg_publication) OR EXISTS (SELECT FROM pg_default_acl)
		OR EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database())`).
		Scan(&touched)
	return !touched, err
}
