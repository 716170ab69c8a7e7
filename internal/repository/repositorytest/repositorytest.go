// Package repositorytest makes repositories with backups in them, for tests of what holds copies of one.
package repositorytest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

const service = "happycows-db"

// ID is the id of the backup that was begun n seconds after some fixed time.
func ID(n int) backup.ID {
	return backup.NewID(service, time.Date(2026, 11, 21, 7, 47, 0, 0, time.UTC).Add(time.Duration(n)*time.Second))
}

// Check ends the test at an error.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// New is an empty repository in a folder of this test.
func New(t testing.TB) *repository.Repository {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	Check(t, err)
	r, err := repository.Create(t.Context(), local.New(t.TempDir()), identity)
	Check(t, err)
	return r
}

// Backup makes a backup of tables, as capture does.
func Backup(t testing.TB, r *repository.Repository, id backup.ID, tables ...[]byte) *backup.Manifest {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := r.NewWriter(ctx, 2, nil)
	Check(t, err)
	db := backup.Database{Name: "happycows_db"}
	for i, table := range tables {
		content, err := w.Rows(bytes.NewReader(table))
		Check(t, err)
		db.Tables = append(db.Tables, backup.Table{Schema: "public", Name: fmt.Sprint("t", i), Content: content})
	}
	db.Dump.Head, err = w.Bytes(strings.NewReader("PGDMP"))
	Check(t, err)
	m := &backup.Manifest{Schema: backup.Schema, ID: id, State: backup.Complete}
	m.Services = []backup.Service{{Type: "postgres", Name: service, Databases: []backup.Database{db}}}
	m.Stored, err = w.Close()
	Check(t, err)
	Check(t, r.Commit(t.Context(), m))
	return m
}

// Rows are count rows of COPY text that differ, and with seed too.
func Rows(seed, count int) []byte {
	var b bytes.Buffer
	for i := range count {
		n := uint64(i+1) * uint64(2*seed+1) * 0x9e3779b97f4a7c15
		fmt.Fprintf(&b, "%d\tcow %d of herd %d\t%x\tt\t\\N\tgrazing in the %d. field, north of the barn\n", i+seed*1_000_000, n%100_000, n>>60, n, n>>24%50)
	}
	return b.Bytes()
}

// Mirror sends r to another store, as this host.
func Mirror(r *repository.Repository, to backup.Store, remembered *repository.Copy) *repository.Mirror {
	return &repository.Mirror{
		From: r, To: to, Host: repository.Host{ID: "A", Name: "one.example"}, Copy: remembered, Workers: 4, Keep: func() error { return nil },
	}
}

// WantWhole sees that the repository holds so many backups, and that each of them can be read, every byte of it.
func WantWhole(t testing.TB, r *repository.Repository, count int) {
	t.Helper()
	entries, err := r.List(t.Context(), "")
	if err != nil || len(entries) != count {
		t.Fatalf("got %d backups, error %v, want %d", len(entries), err, count)
	}
	for _, e := range entries {
		Check(t, e.Err)
		result, err := r.Verify(t.Context(), e.Manifest, func(int64) {})
		if err != nil || !result.OK() || result.Segments == 0 {
			t.Errorf("verify %s: got %+v, error %v, want segments that were read and no problem", e.ID, result, err)
		}
	}
}
