package postgres_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/postgres"
	"github.com/dokku-backup/dokku-backup/internal/repository"
)

const herd = `
CREATE ROLE herder;
CREATE TABLE cows (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
INSERT INTO cows (name) SELECT 'cow ' || n FROM generate_series(1, 60000) n;
CREATE INDEX cows_name ON cows (name);
CREATE TABLE farms (id int);
INSERT INTO farms VALUES (1), (2);
GRANT SELECT ON farms TO herder;
CREATE SEQUENCE tickets;
SELECT nextval('tickets'), nextval('tickets');
CREATE TABLE schema_migrations (version varchar PRIMARY KEY, dirty boolean);
INSERT INTO schema_migrations VALUES ('1', false), ('2', false);
`

// herdBackup is a backup of a small database, and the folder of its repository. The database is gone then.
func herdBackup(t *testing.T, c *cluster, more string) (repo *repository.Repository, service backup.Service, root string) {
	t.Helper()
	fresh(t, c)
	c.query(t, "postgres", "CREATE DATABASE happycows_db")
	c.script(t, "happycows_db", herd+more)
	root = t.TempDir()
	repo, service = capture(t, c.service("happycows_db"), root)
	service.Databases = service.Databases[:1] // without the new service's own
	return repo, service, root
}

// fresh makes the new service's empty database again, and drops what was loaded.
func fresh(t *testing.T, c *cluster) *postgres.Server {
	t.Helper()
	for _, name := range []string{"happycows_db", "happycows_db_2"} {
		c.query(t, "postgres", "DROP DATABASE IF EXISTS "+name)
	}
	c.query(t, "postgres", "DROP ROLE IF EXISTS herder")
	c.query(t, "postgres", "CREATE DATABASE happycows_db_2")
	return c.service("happycows_db_2")
}

func TestLoadFails(t *testing.T) {
	to := startCluster(t)
	for _, kind := range []string{"rows", "rows and large objects"} {
		repo, service, root := herdBackup(t, to, map[string]string{"rows and large objects": "SELECT lo_from_bytea(0, 'x');"}[kind])
		db := service.Databases[0]
		cows := db.Tables[slices.IndexFunc(db.Tables, func(t backup.Table) bool { return t.Name == "cows" })]

		t.Run(kind+", server killed", func(t *testing.T) {
			server := fresh(t, to)
			var once sync.Once
			read := 0
			err := server.Load(t.Context(), service, repo, postgres.Loading{Jobs: 1, Progress: func(n int) {
				if read += n; read > int(cows.Bytes/2) {
					once.Do(to.stop)
				}
			}})
			once.Do(to.stop) // waits for one that is under way: Progress may outlive a Load that failed
			to.start(t)
			wantError(t, err, `load database "happycows_db": `, "the connection")
		})
		t.Run(kind+", interrupted", func(t *testing.T) {
			server := fresh(t, to)
			ctx, cancel := context.WithCancelCause(t.Context())
			err := server.Load(ctx, service, repo, postgres.Loading{Jobs: 1, Progress: func(int) { cancel(errors.New("enough")) }})
			wantError(t, err, "enough")
		})
		t.Run(kind+", a role that exists", func(t *testing.T) {
			server := fresh(t, to)
			to.query(t, "postgres", "CREATE ROLE herder")
			err := server.Load(t.Context(), service, repo, postgres.Loading{Jobs: 1})
			wantError(t, err, "load roles: ", `role "herder" already exists`)
		})
		t.Run(kind+", segment missing", func(t *testing.T) {
			server := fresh(t, to)
			name := cows.Segments[len(cows.Segments)-1].Name
			check(t, os.Remove(filepath.Join(root, "segments", name[:2], name)))
			err := server.Load(t.Context(), service, repo, postgres.Loading{Jobs: 1})
			wantError(t, err, `load database "happycows_db": `, "public.cows: segment "+name[:12]+" is missing")
			if damage := new(repository.DamageError); !errors.As(err, &damage) {
				t.Errorf("got error %v, want a *repository.DamageError in it", err)
			}
		})
	}
}

// TestLoadOpaque loads a dump that could not be read when the backup was made.
func TestLoadOpaque(t *testing.T) {
	c := startCluster(t)
	repo, service, _ := herdBackup(t, c, "")
	dump := c.run(t, "pg_dump", "--format=custom", "happycows_db")
	w, err := repo.NewWriter(t.Context(), 1, nil)
	check(t, err)
	opaque, err := w.Bytes(strings.NewReader(dump))
	check(t, err)
	_, err = w.Close()
	check(t, err)
	db := &service.Databases[0]
	db.Tables, db.Dump = nil, backup.Dump{Format: "opaque", Opaque: opaque}

	server := fresh(t, c)
	check(t, server.Load(t.Context(), service, repo, postgres.Loading{Jobs: 2}))
	if got := c.query(t, "happycows_db_2", "SELECT count(*) FROM cows"); got != "60000" {
		t.Errorf("rows: got %s, want 60000", got)
	}
	proof, err := server.Verify(t.Context(), service, repo, true)
	check(t, err)
	if proof.Exact || len(proof.Differences) > 0 || len(proof.Unknown) != 1 {
		t.Errorf("proof: got %+v, want one that is not exact, with a note", proof)
	}
	db.Migration.Head = "3"
	proof, err = server.Verify(t.Context(), service, repo, true)
	check(t, err)
	if len(proof.Differences) != 1 {
		t.Errorf("another migration: got differences %q, want one", proof.Differences)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got error %v, want %q in it", err, part)
		}
	}
}

// TestVerifyFinds changes a restored database in one way after another.
func TestVerifyFinds(t *testing.T) {
	to := startCluster(t)
	repo, service, _ := herdBackup(t, to, "SELECT lo_from_bytea(1000, 'x');")
	server := fresh(t, to)
	check(t, server.Load(t.Context(), service, repo, postgres.Loading{Jobs: 2}))
	tests := []struct {
		name, sql string
		exact     bool
		want      []string
	}{
		{"nothing", "SELECT", false, nil},
		{"nothing, exactly", "SELECT", true, nil},
		{"a row less", "DELETE FROM cows WHERE id = 7", false, []string{"table public.cows has 59,999 rows, the backup has 60,000"}},
		{"a row less, exactly", "DELETE FROM cows WHERE id = 7", true, []string{"table public.cows has 59,999 rows, the backup has 60,000"}},
		{"a value", "UPDATE farms SET id = 3 WHERE id = 2", true, []string{"table public.farms has the 2 rows of the backup, but other content in them"}},
		{"an index", "DROP INDEX cows_name", false, []string{"index public.cows_name is missing"}},
		{"an object more", "CREATE VIEW herd AS SELECT 1", false, []string{"view public.herd is not in the backup"}},
		{"an owner", "ALTER TABLE farms OWNER TO herder", false, []string{`table public.farms belongs to "herder", in the backup to "postgres"`}},
		{"a grant", "GRANT DELETE ON farms TO herder", false, []string{"grants on TABLE public.farms differ from the backup's"}},
		{"a sequence", "SELECT nextval('tickets')", false, []string{"sequence public.tickets is at 3, in the backup at 2"}},
		{"a sequence's start", "SELECT setval('tickets', 2, false)", false, []string{"sequence public.tickets is at 2, not yet used, in the backup at 2"}},
		{"a large object", "SELECT lo_unlink(1000)", false, []string{"happycows_db_2 has 0 large objects, the backup has 1"}},
		{"a large object's content", "SELECT lo_put(1000, 0, 'y')", true, []string{"the large objects of happycows_db_2 are not those of the backup"}},
		{"a migration", "UPDATE schema_migrations SET version = '3' WHERE version = '2'", false, []string{`2 migrations applied, the newest "3"; the backup has 2, the newest "2"`}},
		{"many objects", "DO $$BEGIN FOR i IN 1..15 LOOP EXECUTE 'CREATE VIEW v' || i || ' AS SELECT 1'; END LOOP; END$$", false, []string{"view public.v1 is not in the backup", "and 5 more"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			to.query(t, "postgres", "CREATE DATABASE kept TEMPLATE happycows_db_2")
			to.query(t, "happycows_db_2", test.sql)
			proof, err := server.Verify(t.Context(), service, repo, test.exact)
			check(t, err)
			to.query(t, "postgres", "DROP DATABASE happycows_db_2")
			to.query(t, "postgres", "ALTER DATABASE kept RENAME TO happycows_db_2")
			if len(test.want) == 0 && len(proof.Differences) > 0 || !subset(test.want, proof.Differences) || len(proof.Differences) > 11 {
				t.Errorf("got differences %q, want %q", proof.Differences, test.want)
			}
			if proof.Exact != test.exact || proof.Tables != 3 || proof.Rows != 60_004 {
				t.Errorf("got %+v, want 3 tables and 60004 rows, exact %v", proof, test.exact)
			}
		})
	}
	t.Run("check", func(t *testing.T) { testCheck(t, server) })
	t.Run("script", func(t *testing.T) {
		check(t, server.Script(t.Context(), strings.NewReader("UPDATE cows SET name = 'masked' WHERE id < 3;\nSELECT 1;\n")))
		if got := to.query(t, "happycows_db_2", "SELECT count(*) FROM cows WHERE name = 'masked'"); got != "2" {
			t.Errorf("rows that the script changed: got %s, want 2", got)
		}
		wantError(t, server.Script(t.Context(), strings.NewReader("SELECT nonsense;")), `column "nonsense" does not exist`)
	})
}

func subset(want, got []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(got, w) })
}

func testCheck(t *testing.T, server *postgres.Server) {
	tests := []struct {
		sql, result string
		ok          bool
	}{
		{"SELECT count(*) > 5 FROM cows;", "true", true},
		{"SELECT count(*) FROM cows WHERE id < 0", "0", false},
		{"SELECT 0.00", "0.00", false},
		{"SELECT name FROM cows WHERE id = 9", "cow 9", true},
		{"SELECT false", "false", false},
		{"SELECT 'f'", "f", true},
		{"SELECT ''", "", false},
		{"SELECT NULL", "NULL", false},
		{"SELECT 1 WHERE false", "no row", false},
		{"", "no row", false},
		{"SELECT 1 FROM nowhere", `relation "nowhere" does not exist`, false},
		{"DELETE FROM cows", "cannot execute DELETE in a read-only transaction", false},
		{"COMMIT; DELETE FROM cows", "cannot insert multiple commands into a prepared statement", false},
	}
	for _, test := range tests {
		result, ok, err := server.Check(t.Context(), test.sql)
		if err != nil || result != test.result || ok != test.ok {
			t.Errorf("%q: got %q, %v, error %v, want %q, %v", test.sql, result, ok, err, test.result, test.ok)
		}
	}
}

func TestCanLoad(t *testing.T) {
	c := startCluster(t)
	server := c.service("postgres")
	extension := func(name string) backup.Database {
		return backup.Database{Name: "cows", Extensions: []backup.Extension{{Name: "plpgsql"}, {Name: name}}}
	}
	tests := []struct {
		name    string
		service backup.Service
		want    string // "" for none
	}{
		{"same", backup.Service{ServerVersion: "15.1", Databases: []backup.Database{extension("plpgsql")}}, ""},
		{"older dump", backup.Service{ServerVersion: "9.6", Databases: []backup.Database{extension("plpgsql")}}, ""},
		{"newer dump", backup.Service{ServerVersion: "99.1"}, "older than the backup's 99.1"},
		{"extension", backup.Service{ServerVersion: "15.1", Databases: []backup.Database{extension("moo"), extension("moo")}}, "extension moo"},
		{"name", backup.Service{ServerVersion: "15.1", Databases: []backup.Database{extension("plpgsql"), {Name: "postgres"}}}, `second database named "postgres"`},
	}
	for _, test := range tests {
		err := server.CanLoad(t.Context(), test.service)
		if test.want == "" {
			check(t, err)
			continue
		}
		wantError(t, err, test.want)
		if problem := new(backup.Problem); !errors.As(err, &problem) || len(problem.Hints) == 0 {
			t.Errorf("%s: got error %v, want a *backup.Problem with a hint", test.name, err)
		}
	}
}
