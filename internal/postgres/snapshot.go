package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Snapshot is one moment of all databases of a server, held open by a transaction in each until Close.
type Snapshot struct {
	taken     time.Time
	version   string // of the server
	databases []*database
	server    *Server
	appName   string // of the backends of client programs
	warnings  []string
}

// database is one database in a snapshot.
type database struct {
	backup.Database
	warnings []string
	conn     *pgx.Conn
	tx       pgx.Tx
	id       string          // of the exported snapshot
	tables   map[string]bool // that the dump must hold; see dumpable
}

// Open opens a snapshot of every database that holds anything. The databases' snapshots are opened right after one another;
// PostgreSQL has no snapshot across databases.
func (s *Server) Open(ctx context.Context) (_ *Snapshot, err error) {
	snapshot := &Snapshot{server: s, appName: "dokku-backup-" + rand.Text()}
	defer func() {
		if err != nil {
			snapshot.Close()
		}
	}()
	names, closed, err := s.databases(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range closed {
		snapshot.warnings = append(snapshot.warnings, fmt.Sprintf("database %q allows no connections: the backup does not hold it", name))
	}
	for _, name := range names {
		d := &database{Database: backup.Database{Name: name, Tables: []backup.Table{}}}
		if d.conn, err = s.connect(ctx, name); err != nil {
			return nil, err
		}
		snapshot.databases = append(snapshot.databases, d)
	}
	for _, d := range snapshot.databases {
		if err := d.export(ctx); err != nil {
			return nil, fmt.Errorf("open snapshot of database %q: %w", d.Name, err)
		}
	}
	if err := snapshot.inspect(ctx); err != nil {
		return nil, err
	}
	return snapshot, nil
}

// databases lists the databases that can be connected to, and those that are closed to connections. Templates are not data;
// the service's own database comes first.
func (s *Server) databases(ctx context.Context) (open, closed []string, err error) {
	conn, err := s.connect(ctx, s.Database)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT datname::text, datallowconn FROM pg_database WHERE NOT datistemplate
		ORDER BY datname <> current_database(), datname`)
	if err != nil {
		return nil, nil, fmt.Errorf("list databases: %w", err)
	}
	var name string
	var allowed bool
	_, err = pgx.ForEachRow(rows, []any{&name, &allowed}, func() error {
		if allowed {
			open = append(open, name)
		} else {
			closed = append(closed, name)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list databases: %w", err)
	}
	return open, closed, nil
}

// export opens the transaction whose snapshot pg_dump will use.
func (d *database) export(ctx context.Context) (err error) {
	d.tx, err = d.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	return d.tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&d.id)
}

// Close ends the transactions. It can be called more than once.
func (s *Snapshot) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, d := range s.databases {
		if d.conn != nil {
			d.conn.Close(ctx) // ends its transaction too
		}
	}
}
