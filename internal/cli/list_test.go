package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/runs"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

// hasty is a local store that does not flush what it writes.
type hasty struct{ *local.Store }

func (h hasty) Put(_ context.Context, name string, data []byte) error {
	path := filepath.Join(h.Root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// rememberAll makes this host remember a store that has all backups and marks, and twenty failed runs of each service.
func (h *retentionHost) rememberAll(repo *repository.Repository) {
	h.t.Helper()
	h.withStore()
	entries, err := repo.List(h.t.Context(), "")
	h.check(err)
	services := map[string]bool{}
	c := repository.Copy{Confirmed: map[backup.ID]time.Time{}, Marks: map[string]string{}, Looked: h.now}
	for _, e := range entries {
		c.Confirmed[e.ID] = h.now
		services[e.ID.Service()] = true
		if e.Marks.Verified == nil {
			continue
		}
		for _, kind := range []string{"verified", "practised"} {
			c.Marks["marks/"+e.ID.Service()+"/"+string(e.ID)+"/"+kind] = "1234 bytes of 2026-11-21T19:07:47.123456789Z"
		}
	}
	h.check(h.stores().Remember("offsite", &c))
	for service := range services {
		for n := range 20 {
			run, err := h.runs().Begin(service)
			h.check(err)
			h.check(run.Announce(runs.Record{ID: backup.NewID(service, h.now.Add(-time.Duration(n)*time.Minute-time.Second)), Service: "postgres:" + service, Started: h.now}))
			h.check(run.End(errors.New("the disk is full")))
		}
	}
}

// TestList5000 prints, with -v, how long listings of 50 services with 100 backups each take, the first time and from the index.
func TestList5000(t *testing.T) {
	services, each := 50, 100
	if !testing.Verbose() { // nobody would see the times
		each = 4
	}
	h := newRetentionHost(t)
	identity, err := repository.ReadKey(h.keyPath())
	h.check(err)
	repo, err := repository.Open(t.Context(), hasty{local.New(h.repositoryPath())}, repository.Unlock{Identities: []age.Identity{identity}})
	h.check(err)
	var group errgroup.Group
	group.SetLimit(4)
	for s := range services {
		group.Go(func() error {
			for n := range each {
				id := backup.NewID(fmt.Sprintf("service-%02d-db", s), h.now.Add(-time.Duration(n)*time.Hour))
				m := entry(0, nil).Manifest
				m.Schema, m.ID, m.CreatedAt, m.State, m.Note, m.Trigger = backup.Schema, id, id.Time(), backup.Complete, "daily", "schedule"
				m.Services = []backup.Service{{Type: "postgres", Name: id.Service()}}
				m.Apps = []backup.App{{Name: "app-of-" + id.Service(), Commit: "82eeec6d1f4c6e6ae5a1e0f27f4e8f4c7c1cfe1d"}}
				if err := repo.Commit(t.Context(), m); err != nil {
					return err
				}
				if n%10 > 0 {
					continue
				}
				if err := repo.SetVerified(t.Context(), id, backup.Verified{At: h.now, Segments: 17}); err != nil {
					return err
				}
				if err := repo.SetPractised(t.Context(), id, &backup.Report{Backup: id, Passed: true, Started: h.now, RTO: 87_000}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	h.check(group.Wait())
	h.rememberAll(repo)
	for _, command := range []string{"list", "list", "list", "list --format json", "list service-07-db", "prune --dry-run service-07-db"} {
		began := time.Now()
		out, _ := h.run(0, command)
		t.Logf("%-30s %6d ms, %d bytes", command, time.Since(began).Milliseconds(), len(out))
	}
	if info, err := os.Stat(filepath.Join(h.host.DataDir(), "index")); err != nil {
		t.Error(err)
	} else {
		t.Logf("index: %d kB", info.Size()/1000)
	}
	out, _ := h.run(0, "list --format json")
	var lines []health.Line
	h.check(json.Unmarshal([]byte(out), &lines))
	if want := services * (each + 20); len(lines) != want {
		t.Errorf("got %d lines, want %d", len(lines), want)
	}
}
