package main

import (
	"context"
	"fmt"
	"io/fs"
	"log"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// lock is the advisory lock that keeps two processes from migrating at once.
const lock = 7_307_101_419 // any number of our own

// migrate applies what dir holds and the database lacks, in order, all or
// nothing. Files and the table schema_migrations are as dbmate
// (github.com/amacneil/dbmate) has them: <version>_<name>.sql, the part after
// "-- migrate:up", one row for each version applied.
func migrate(ctx context.Context, db *pgx.Conn, dir fs.FS) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lock); err != nil {
			return fmt.Errorf("lock the migrations: %w", err)
		}
		_, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS schema_migrations (version varchar(128) PRIMARY KEY)")
		if err != nil {
			return fmt.Errorf("create schema_migrations: %w", err)
		}
		rows, err := tx.Query(ctx, "SELECT version FROM schema_migrations")
		if err != nil {
			return fmt.Errorf("read schema_migrations: %w", err)
		}
		applied, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("read schema_migrations: %w", err)
		}
		names, err := fs.Glob(dir, "*.sql") // sorted
		if err != nil {
			return err
		}
		for _, name := range names {
			version, _, _ := strings.Cut(name, "_")
			if slices.Contains(applied, version) {
				continue
			}
			if err := apply(ctx, tx, dir, name, version); err != nil {
				return fmt.Errorf("migration %s: %w", name, err)
			}
			log.Printf("applied %s", name)
		}
		return nil
	})
}

func apply(ctx context.Context, tx pgx.Tx, dir fs.FS, name, version string) error {
	content, err := fs.ReadFile(dir, name)
	if err != nil {
		return err
	}
	_, up, found := strings.Cut(string(content), "-- migrate:up\n")
	if !found {
		return fmt.Errorf("no line %q", "-- migrate:up")
	}
	up, _, _ = strings.Cut(up, "-- migrate:down\n")
	if _, err := tx.Exec(ctx, up); err != nil { // without arguments: several statements
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO schema_migrations VALUES ($1)", version)
	return err
}
