package postgres

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Taken is when the last database's snapshot had been opened, by the server's clock.
func (s *Snapshot) Taken() time.Time { return s.taken }

// Summary is such as "PostgreSQL 15.18, 1 database, 31 tables, 1.2 GB on disk".
func (s *Snapshot) Summary() string {
	var tables int
	var size int64
	for _, d := range s.databases {
		tables += len(d.tables)
		size += d.Size
	}
	return fmt.Sprintf("PostgreSQL %s, %s, %s, %s on disk", s.version,
		plural(len(s.databases), "database"), plural(tables, "table"), humanize.Bytes(uint64(size)))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(int64(n)) + " " + noun + "s"
}

// Databases tells of each database what is known before it is dumped.
func (s *Snapshot) Databases() []backup.Database {
	all := make([]backup.Database, len(s.databases))
	for i, d := range s.databases {
		all[i] = d.Database
	}
	return all
}

// Complete fills in the server's version and its databases, each with what its dump told, and returns what was odd.
func (s *Snapshot) Complete(service *backup.Service) (warnings []string) {
	service.ServerVersion = s.version
	service.Databases = s.Databases()
	warnings = append(warnings, s.warnings...)
	for _, d := range s.databases {
		warnings = append(warnings, d.warnings...)
	}
	return warnings
}
