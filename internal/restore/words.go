package restore

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// ProofWords says in a line what a comparison found: 31 of 31 tables equal: 6,666,000 rows, every digest.
func ProofWords(p backup.Proof) string {
	if len(p.Differences) > 0 {
		return strings.Join(p.Differences, "; ")
	}
	how := "counted"
	if p.Exact {
		how = "every digest"
	}
	return fmt.Sprintf("%s equal: %s, %s; schema and sequences too", plural(p.Tables, "table"), plural(int(p.Rows), "row"), how)
}

// HealthWords says in a line how an app was found: web.1 up; GET / answered 200 in 38 ms.
func HealthWords(h backup.Health) string {
	var up []string
	for _, process := range slices.Sorted(maps.Keys(h.Processes)) {
		for n := range h.Processes[process] {
			up = append(up, fmt.Sprintf("%s.%d", process, n+1))
		}
	}
	words := strings.Join(up, ", ") + " up"
	if len(up) == 0 {
		words = "no process"
	}
	switch {
	case h.Trouble != "":
		return words + "; " + h.Trouble
	case h.NotAsked != "":
		return words + "; " + h.NotAsked
	}
	return fmt.Sprintf("%s; GET %s answered %d in %d ms", words, h.Path, h.Status, h.Took)
}

// MigratedWords says in a line what an app did to its migrations when it started.
func MigratedWords(m *backup.Migrated) string {
	var words []string
	if len(m.Added) > 0 {
		words = append(words, fmt.Sprintf("%s ran: %s", plural(len(m.Added), m.Tool+" migration"), strings.Join(m.Added, ", ")))
	}
	if len(m.Removed) > 0 {
		words = append(words, fmt.Sprintf("%s taken back: %s", plural(len(m.Removed), m.Tool+" migration"), strings.Join(m.Removed, ", ")))
	}
	if len(words) == 0 {
		return "none ran on boot: code and data belong together"
	}
	return strings.Join(words, "; ")
}
