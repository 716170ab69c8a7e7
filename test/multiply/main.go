// Command multiply fills a host's repository with copies of the newest backup's manifest, under other names and times, for measuring what
// is listed: no data is copied, and every copy can be read and restored as far as its segments are there.
//
// Usage: multiply DATA-FOLDER SERVICES BACKUPS      BACKUPS in all, an hour apart for each service
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "multiply:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: multiply DATA-FOLDER SERVICES BACKUPS")
	}
	services, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	backups, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	identity, err := repository.ReadKey(filepath.Join(args[0], "identity"))
	if err != nil {
		return err
	}
	repo, err := repository.Open(ctx, local.New(filepath.Join(args[0], "repository")), repository.Unlock{Identities: []age.Identity{identity}})
	if err != nil {
		return err
	}
	entries, err := repo.List(ctx, "")
	if err != nil {
		return err
	}
	if len(entries) == 0 || entries[0].Manifest == nil {
		return fmt.Errorf("there is no backup to multiply")
	}
	m := *entries[0].Manifest
	service, newest := m.Services[0], m.CreatedAt
	for i := range backups {
		service.Name = fmt.Sprintf("%s-%d", entries[0].ID.Service(), i%services+1)
		m.CreatedAt = newest.Add(-time.Duration(i/services) * time.Hour)
		m.ID, m.Services = backup.NewID(service.Name, m.CreatedAt), []backup.Service{service}
		if err := repo.Commit(ctx, &m); err != nil {
			return err
		}
	}
	return nil
}
