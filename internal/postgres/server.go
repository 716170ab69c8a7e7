// Package postgres is the engine for PostgreSQL services. For a backup it opens one snapshot for all databases of a server,
// inspects them in it, and hands their dumps, made by pg_dump of the service's own image, table by table to a backup.Writer:
// start with Server.Open. For a restore it loads a backup into a new server, with pg_restore of that server's image and COPY
// straight from the segments, and proves that all of it came back: start with Server.Load and Server.Verify.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Server is a running PostgreSQL service.
type Server struct {
	Name     string // of the service, for messages
	Address  string // host or IP that this program reaches it at
	Port     uint16
	User     string // a superuser
	Password string
	Database string // the service's own database
	Tools    Tools
}

// Tools runs PostgreSQL's client programs out of the service's own image, next to the server, which they reach at
// 127.0.0.1.
type Tools interface {
	// Run starts a program. Its argv is made by argv from the name of the file that it must write its output to; "" means
	// standard output. read gets that output while the program runs, up to its end. env is NAME=value; no value ever
	// shows in an argv. A program that fails is an error that holds what it said, even
	// when read found nothing wrong.
	Run(ctx context.Context, argv func(out string) []string, env []string, read func(io.Reader) error) error
	// Feed runs a program and gives it in as its standard input. It returns in's own error when that is why the program
	// failed.
	Feed(ctx context.Context, argv []string, env []string, in io.Reader) error
	// WithFile runs a program whose argv is made from the name of a file that holds content; "" means standard input,
	// which then gets content.
	WithFile(ctx context.Context, argv func(file string) []string, env []string, content []byte) error
}

// env is the environment of the client programs. PGTZ makes the rows' text, and so the digests, independent of the server's
// time zone; what else rows depend on (DateStyle, IntervalStyle, extra_float_digits) pg_dump sets itself: setup_connection
// in src/bin/pg_dump/pg_dump.c. PGAPPNAME is how their backends are found when they must be ended. PGSSLMODE: between program and
// server lies the loopback of one network namespace, and encrypting there took a third of a dump's time; a server that insists
// on TLS gets it.
func (s *Server) env(appName string) []string {
	return []string{"PGPASSWORD=" + s.Password, "PGTZ=UTC", "PGAPPNAME=" + appName, "PGSSLMODE=allow"}
}

// terminate ends the backends of programs that may have outlived their `docker exec`. It connects to database.
func (s *Server) terminate(database, appName string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := s.connect(ctx, database)
	if err != nil {
		return // then the server is gone, and its backends with it
	}
	defer conn.Close(ctx)
	_, _ = conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", appName)
}

// connect opens a connection that no setting of the server's administrator can time out while it idles in its transaction. It is
// encrypted only where the server insists, see env: between this program and the service lies a network of this host's own.
func (s *Server) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig("host=localhost sslmode=allow") // for a socket, its default, it would never encrypt
	if err != nil {
		return nil, err
	}
	config.Host, config.Port = s.Address, s.Port
	config.User, config.Password, config.Database = s.User, s.Password, database
	for _, f := range config.Fallbacks {
		f.Host, f.Port = s.Address, s.Port
	}
	config.RuntimeParams = map[string]string{
		"application_name":                    "dokku-backup",
		"client_encoding":                     "UTF8",
		"statement_timeout":                   "0",
		"lock_timeout":                        "0",
		"idle_in_transaction_session_timeout": "0",
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, s.connectProblem(database, err)
	}
	return conn, nil
}

func (s *Server) connectProblem(database string, err error) error {
	reason := "the server does not answer at " + net.JoinHostPort(s.Address, fmt.Sprint(s.Port))
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) {
		reason = refusal.Message
	}
	return &backup.Problem{
		Message: fmt.Sprintf("cannot connect to database %q of %s: %s", database, s.Name, reason),
		Hints:   []string{"see what the server says: dokku postgres:logs " + s.Name},
		Err:     err,
	}
}

// connstring quotes a database's name so that a program cannot take it for a connection string or a URI.
// Source: libpq, "Keyword/Value Connection Strings".
func connstring(database string) string {
	return "dbname='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database) + "'"
}
