package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/code"
)

func TestDiffLines(t *testing.T) {
	yes, no := true, false
	number := func(n int) *int { return &n }
	between := func(to, from int) []code.Between {
		var list []code.Between
		for range to {
			list = append(list, code.Between{In: "to"})
		}
		for range from {
			list = append(list, code.Between{In: "from"})
		}
		return list
	}
	from, to := code.Commit{Short: "48db95a"}, code.Commit{Short: "82eeec6"}
	tests := []struct {
		name string
		diff code.Diff
		want string
	}{
		{"as in the design", code.Diff{
			Direction: code.Ahead, Commits: between(12, 0), Applied: "Rails", Table: "public.schema_migrations", FromPending: number(0), ToPending: number(2),
			Migrations: []code.Migration{
				{Tool: "Rails", Path: "db/migrate/20261119101500_add_mood_to_cows.rb", Change: code.Added, Applied: &no},
				{Tool: "Rails", Path: "db/migrate/20261120090000_index_orders_on_date.rb", Change: code.Added, Applied: &no},
				{Tool: "Rails", Path: "db/migrate/20250101000000_create_cows.rb", Change: code.Changed, Applied: &yes},
			},
		}, `12 commits from 48db95a to 82eeec6, 3 migrations (Rails):
  + db/migrate/20261119101500_add_mood_to_cows.rb      not in the backup's schema_migrations
  + db/migrate/20261120090000_index_orders_on_date.rb  not in the backup's schema_migrations
  ~ db/migrate/20250101000000_create_cows.rb           changed after it was applied
Restoring this backup to main will run 2 migrations on boot; the exact commit 48db95a runs none.`},
		{"same", code.Diff{Direction: code.Same, FromPending: number(0), ToPending: number(0)},
			"The backup is of 82eeec6 itself: no commits and no migrations in between."},
		{"same, and the data is behind", code.Diff{Direction: code.Same, FromPending: number(1), ToPending: number(1)},
			`The backup is of 82eeec6 itself: no commits and no migrations in between.
Restoring this backup to main will run 1 migration on boot; the exact commit 48db95a runs 1.`},
		{"no migrations", code.Diff{Direction: code.Ahead, Commits: between(1, 0), FromPending: number(0), ToPending: number(0)},
			`1 commit from 48db95a to 82eeec6, no migrations.
Restoring this backup to main will run no migrations on boot; the exact commit 48db95a runs none.`},
		{"no migrations, no table", code.Diff{Direction: code.Ahead, Commits: between(1, 0)}, "1 commit from 48db95a to 82eeec6, no migrations."},
		{"no table", code.Diff{Direction: code.Ahead, Commits: between(1, 0), Migrations: []code.Migration{
			{Tool: "goose", Path: "a", Change: code.Added}, {Tool: "Flyway", Path: "bb", Change: code.Changed}, {Tool: "goose", Path: "c", Change: code.Removed},
		}}, `1 commit from 48db95a to 82eeec6, 3 migrations (Flyway, goose):
  + a
  ~ bb  changed
  - c   removed
Which of them the backup's data has is not known: it has no table of migrations that this program knows.`},
		{"another tool's table", code.Diff{Direction: code.Ahead, Commits: between(1, 0), Applied: "Rails", Table: "public.schema_migrations",
			Migrations: []code.Migration{{Tool: "plain SQL", Path: "a", Change: code.Renamed, RenamedFrom: "b"}}},
			`1 commit from 48db95a to 82eeec6, 1 migration (plain SQL):
  ~ a  renamed from b
Which of them the backup's data has is not known in full: its table public.schema_migrations is that of Rails.`},
		{"behind", code.Diff{Direction: code.Behind, Commits: between(0, 3), Applied: "Django", Table: "public.django_migrations", FromPending: number(0), ToPending: number(0),
			Migrations: []code.Migration{{Tool: "Django", Path: "a", Change: code.Removed, Applied: &yes}, {Tool: "Django", Path: "b", Change: code.Removed, Applied: &no}}},
			`3 commits back from 48db95a to 82eeec6, 2 migrations (Django):
  - a  removed, and in the backup's django_migrations
  - b  removed, not in the backup's django_migrations
The backup's data has 1 migration that the code of main does not know.
Restoring this backup to main will run no migrations on boot; the exact commit 48db95a runs none.`},
		{"diverged, shallow", code.Diff{Direction: code.Diverged, Shallow: true, Commits: between(2, 1), Applied: "Flyway", Table: "flyway_schema_history",
			Migrations: []code.Migration{
				{Tool: "Flyway", Path: "R__v.sql", Change: code.Changed, Applied: &yes, Repeatable: true},
				{Tool: "Flyway", Path: "V2__b.sql", Change: code.Renamed, RenamedFrom: "V1__b.sql", Applied: &no},
				{Tool: "Flyway", Path: "V3__c.sql", Change: code.Added, Applied: &yes},
			}},
			`48db95a and 82eeec6 have diverged: 1 commit in the backup's alone, 2 commits in 82eeec6 alone, 3 migrations (Flyway):
  ~ R__v.sql   changed: it runs again
  ~ V2__b.sql  renamed from V1__b.sql; not in the backup's flyway_schema_history
  + V3__c.sql  in the backup's flyway_schema_history already
The history is shallow: commits may be missing here.`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.diff.From, tt.diff.To = from, to
			if got := strings.Join(diffLines(&tt.diff, "main", false), "\n"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestAppOf(t *testing.T) {
	one, two := backup.App{Name: "one", Commit: "1"}, backup.App{Name: "two", Commit: "2"}
	tests := []struct {
		name string
		apps []backup.App
		app  string
		want string
		err  string
		code int
	}{
		{"the only one", []backup.App{one}, "", "one", "", 0},
		{"one of two", []backup.App{one, two}, "two", "two", "", 0},
		{"which of two", []backup.App{one, two}, "", "", "holds the code of 2 apps: one, two", backup.ExitFailed},
		{"another one", []backup.App{one, two}, "three", "", `no code of an app "three"; it has: one, two`, backup.ExitNoApp},
		{"none", nil, "", "", "no app was linked to db", backup.ExitFailed},
		{"no commit", []backup.App{{Name: "one"}}, "", "", "does not know which commit of one", backup.ExitFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := appOf(&backup.Manifest{ID: "db-20261121T120000Z", Apps: tt.apps}, tt.app)
			if got.Name != tt.want {
				t.Errorf("got %q, want %q", got.Name, tt.want)
			}
			var problem *backup.Problem
			switch {
			case tt.err == "" && err != nil:
				t.Error(err)
			case tt.err != "" && (!errors.As(err, &problem) || !strings.Contains(problem.Message, tt.err) || problem.ExitCode() != tt.code):
				t.Errorf("got %v, want %q and exit code %d", err, tt.err, tt.code)
			}
		})
	}
}

func TestMigrationOf(t *testing.T) {
	mine, other := &backup.Migration{Tool: "Rails"}, &backup.Migration{Tool: "Django"}
	tests := []struct {
		name      string
		databases []backup.Database
		want      *backup.Migration
	}{
		{"none", []backup.Database{{Name: "my_db"}}, nil},
		{"the service's own", []backup.Database{{Name: "a", Migration: other}, {Name: "my_db", Migration: mine}}, mine},
		{"another one", []backup.Database{{Name: "my_db"}, {Name: "z", Migration: other}}, other},
	}
	for _, tt := range tests {
		m := &backup.Manifest{Services: []backup.Service{{Name: "my-db", Databases: tt.databases}}}
		if got := migrationOf(m); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestPrivateFolder(t *testing.T) {
	data := t.TempDir()
	killed := filepath.Join(data, "tmp", "diff.killed")
	service := filepath.Join(data, "tmp", "diff-db")
	for _, dir := range []string{killed, service} {
		if err := os.MkdirAll(filepath.Join(dir, "objects"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	used, remove, err := privateFolder(data, "diff")
	if err != nil {
		t.Fatal(err)
	}
	second, removeSecond, err := privateFolder(data, "diff")
	if err != nil {
		t.Fatal(err)
	}
	there := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	if there(killed) {
		t.Error("what a killed run left is still there")
	}
	for _, path := range []string{service, used, second} {
		if !there(path) {
			t.Errorf("%s is gone, which is not left over", path)
		}
	}
	if err := errors.Join(remove(), removeSecond()); err != nil {
		t.Fatal(err)
	}
	if there(used) || there(second) {
		t.Error("a run's own folder is still there after its end")
	}
}
