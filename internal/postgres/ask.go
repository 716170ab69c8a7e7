package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// CanLoad tells, before anything is changed, why this server cannot take a backup, as a *backup.Problem: its version is older, an
// extension is not installed in its image, or a database of the backup has the name of the server's own one.
func (s *Server) CanLoad(ctx context.Context, service backup.Service) error {
	conn, err := s.connect(ctx, s.Database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var version string
	var available []string
	err = conn.QueryRow(ctx, "SELECT split_part(current_setting('server_version'), ' ', 1), array_agg(name::text) FROM pg_available_extensions").Scan(&version, &available)
	if err != nil {
		return fmt.Errorf("inspect server: %w", s.explain(ctx, conn, err))
	}
	if older(version, service.ServerVersion) {
		return &backup.Problem{
			Message: fmt.Sprintf("%s is PostgreSQL %s, older than the backup's %s: an older server cannot load a newer dump", s.Name, version, service.ServerVersion),
			Hints:   []string{"choose the version of the backup or a later one: --image-version " + service.ServerVersion},
		}
	}
	return fits(service, s, available)
}

// fits checks what a backup needs of the server.
func fits(service backup.Service, s *Server, available []string) error {
	var missing []string
	for i, d := range service.Databases {
		for _, e := range d.Extensions {
			if !slices.Contains(available, e.Name) && !slices.Contains(missing, e.Name) {
				missing = append(missing, e.Name)
			}
		}
		if i > 0 && d.Name == s.Database {
			return &backup.Problem{
				Message: fmt.Sprintf("the backup has a second database named %q, which is what the new service's own is named", d.Name),
				Hints:   []string{"choose another name for the new service"},
			}
		}
	}
	if len(missing) > 0 {
		return &backup.Problem{
			Message: fmt.Sprintf("the image of %s lacks what the backup needs: extension %s", s.Name, strings.Join(missing, ", ")),
			Hints:   []string{fmt.Sprintf("the backup was made on %s; take a version of that image that has it: --image-version VERSION", service.Image)},
		}
	}
	return nil
}

// older tells whether version a is of an older major version than b.
func older(a, b string) bool {
	return len(major(a)) < len(major(b)) || len(major(a)) == len(major(b)) && major(a) < major(b)
}

// Migration tells what the default database's own table of migrations says was applied; nil when there is none that is known.
func (s *Server) Migration(ctx context.Context) (*backup.Migration, error) {
	conn, err := s.connect(ctx, s.Database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	m, err := migrationOf(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", s.explain(ctx, conn, err))
	}
	return m, nil
}

func migrationOf(ctx context.Context, conn *pgx.Conn) (*backup.Migration, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	return (&database{tx: tx}).migration(ctx)
}

// Check runs one query of the user's in a read only transaction of the default database. It holds when there is a first row
// whose first value is not NULL, false, 0 or empty. result is that value, or why there is none; err says that the server did not answer.
func (s *Server) Check(ctx context.Context, sql string) (result string, ok bool, err error) {
	conn, err := s.connect(ctx, s.Database)
	if err != nil {
		return "", false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "BEGIN READ ONLY"); err != nil {
		return "", false, s.explain(ctx, conn, err)
	}
	// One statement by the extended protocol: a second one could end the transaction and write.
	got := conn.PgConn().ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	var refusal *pgconn.PgError
	switch {
	case errors.As(got.Err, &refusal) && !conn.IsClosed():
		return refusal.Message, false, nil
	case got.Err != nil:
		return "", false, s.explain(ctx, conn, got.Err)
	case len(got.Rows) == 0 || len(got.Rows[0]) == 0:
		return "no row", false, nil
	case got.Rows[0][0] == nil:
		return "NULL", false, nil
	}
	result = string(got.Rows[0][0])
	if got.FieldDescriptions[0].DataTypeOID == pgtype.BoolOID {
		result = strconv.FormatBool(result == "t")
	}
	return result, holds(result), nil
}

// holds tells whether a value is neither false nor 0 nor empty.
func holds(value string) bool { return strings.Trim(value, "0.") != "" && value != "false" }

// Script runs SQL of the user's, by psql of the service's image, against the default database, up to the first error.
func (s *Server) Script(ctx context.Context, sql io.Reader) error {
	appName := "dokku-backup-" + rand.Text()
	err := s.Tools.Feed(ctx, psqlArgv(s.User, s.Database), s.env(appName), sql)
	if err != nil {
		s.terminate(s.Database, appName)
	}
	return err
}

// Analyze gathers the statistics without which queries are planned blindly. The server does it by itself within some minutes of a load,
// except for partitioned tables; an app whose first queries must be quick need not wait for that. It takes about a third of the time of Load.
func (s *Server) Analyze(ctx context.Context, service backup.Service) error {
	for i, d := range service.Databases {
		name := d.Name
		if i == 0 {
			name = s.Database
		}
		if err := s.analyze(ctx, name); err != nil {
			return fmt.Errorf("analyze database %q: %w", name, err)
		}
	}
	return nil
}

func (s *Server) analyze(ctx context.Context, name string) error {
	conn, err := s.connect(ctx, name)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "ANALYZE")
	return s.explain(ctx, conn, err)
}
