// Command happycows is the example app: a page that shows the herd in its
// database. It is small but behaves as real apps do: it waits for its
// database, applies its migrations, and fails in plain sight when code and
// data do not belong together.
//
// What it does is decided by the commit that it runs from, since all of it is
// read from the working directory: VERSION, herd.sql (the query behind the
// page, one text column, a row a cow) and db/migrations. So the binary is the
// same in every commit that the script history makes.
//
// Environment: DATABASE_URL; BIND and PORT (all addresses, 5000) to listen on;
// NO_MIGRATE=1 to leave the database as it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	databaseWait = 30 * time.Second // for the database, at start
	answerWait   = 5 * time.Second  // for one answer, and for the last ones at the end
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatalf("happycows: %v", err)
	}
}

// app is the code of one commit and its database. It connects for each answer,
// so that it needs no care when its database is restarted.
type app struct {
	version  string
	herd     string // query
	database string // URL
}

func run(ctx context.Context) error {
	a := app{database: os.Getenv("DATABASE_URL")}
	for name, content := range map[string]*string{"VERSION": &a.version, "herd.sql": &a.herd} {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if *content = strings.TrimSpace(string(b)); *content == "" {
			return fmt.Errorf("%s is empty", name)
		}
	}
	if a.database == "" {
		return errors.New("DATABASE_URL is not set")
	}
	db, err := a.waitForDatabase(ctx)
	if err != nil {
		return err
	}
	if os.Getenv("NO_MIGRATE") != "1" {
		err = migrate(ctx, db, os.DirFS("db/migrations"))
	}
	if err := errors.Join(err, db.Close(ctx)); err != nil {
		return err
	}
	return a.serve(ctx, net.JoinHostPort(os.Getenv("BIND"), envOr("PORT", "5000")))
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// waitForDatabase connects as soon as the database lets it, within databaseWait.
func (a app) waitForDatabase(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, databaseWait)
	defer cancel()
	for {
		db, err := pgx.Connect(ctx, a.database)
		if err == nil {
			return db, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to the database: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// serve answers on address until ctx ends.
func (a app) serve(ctx context.Context, address string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.showHerd)
	mux.HandleFunc("GET /healthz", a.showHealth)
	server := http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: answerWait}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	log.Printf("happycows %s listens on %s", a.version, address)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWait)
	defer cancel()
	return server.Shutdown(ctx)
}

// showHerd answers with the version, the number of cows, and a line a cow.
func (a app) showHerd(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerWait)
	defer cancel()
	page, err := a.page(ctx)
	if err != nil {
		log.Printf("show the herd: %v", err)
		http.Error(w, fmt.Sprintf("happycows %s cannot show the herd: %v", a.version, err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, page)
}

// connect keeps from the page what an error says about the database's address.
func (a app) connect(ctx context.Context) (*pgx.Conn, error) {
	db, err := pgx.Connect(ctx, a.database)
	if err != nil {
		log.Print(err)
		return nil, errors.New("the database does not answer")
	}
	return db, nil
}

func (a app) page(ctx context.Context) (string, error) {
	db, err := a.connect(ctx)
	if err != nil {
		return "", err
	}
	defer db.Close(ctx)
	var count int
	if err := db.QueryRow(ctx, "SELECT count(*) FROM cows").Scan(&count); err != nil {
		return "", err
	}
	rows, err := db.Query(ctx, a.herd)
	if err != nil {
		return "", err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	lines = append([]string{fmt.Sprintf("happycows %s: %d cows", a.version, count)}, lines...)
	return strings.Join(lines, "\n") + "\n", nil
}

func (a app) showHealth(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerWait)
	defer cancel()
	db, err := a.connect(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	db.Close(ctx)
	fmt.Fprintln(w, "ok")
}
