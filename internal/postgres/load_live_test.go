package postgres_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/postgres"
)

const roles = `
CREATE ROLE herder LOGIN PASSWORD 'moo';
CREATE ROLE "Milk ""Maid""";
GRANT herder TO "Milk ""Maid""" WITH ADMIN OPTION;
ALTER ROLE herder SET work_mem = '5MB';
ALTER ROLE postgres PASSWORD 'old';
ALTER ROLE postgres SET idle_session_timeout = '1h';
COMMENT ON ROLE herder IS E'keeps\nALTER ROLE herder';
`

const second = `second "db"; it's`

// TestRoundTrip loads a backup of two databases with all kinds of objects, one of them with large objects, into a new server,
// and compares what pg_dump makes of both.
func TestRoundTrip(t *testing.T) {
	from, to := startCluster(t), startCluster(t)
	from.script(t, "postgres", roles)
	from.query(t, "postgres", "CREATE DATABASE happycows_db")
	from.query(t, "postgres", `CREATE DATABASE "second ""db""; it's" ENCODING 'LATIN9' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' CONNECTION LIMIT 7`)
	for _, name := range []string{"happycows_db", second} {
		if name == second { // an encoding without cows
			from.script(t, name, "CREATE TABLE latin (t text);\nINSERT INTO latin VALUES ('Grüße für 5 €');\nCREATE TABLE wide AS SELECT n AS amount, n > 5 AS flag FROM generate_series(1, 10) n;")
			from.query(t, name, "SELECT lo_from_bytea(200001, ''), lo_from_bytea(200002, '\\x00ff5c2e0a'); COMMENT ON LARGE OBJECT 200002 IS 'x'; GRANT SELECT ON LARGE OBJECT 200002 TO herder")
		} else {
			from.script(t, name, "../../test/acceptance/roundtrip.sql")
			from.query(t, name, "SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
		}
		from.script(t, name, "testdata/more.sql")
	}
	repo, service := capture(t, from.service("happycows_db"), t.TempDir())
	if got := len(service.Databases); got != 2 {
		t.Fatalf("databases of the backup: got %d, want 2", got)
	}

	to.query(t, "postgres", "ALTER ROLE postgres PASSWORD 'new'")
	password := to.query(t, "postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
	to.query(t, "postgres", "CREATE DATABASE happycows_db_2")
	server := to.service("happycows_db_2")
	check(t, server.CanLoad(t.Context(), service))
	var loaded atomic.Int64
	check(t, server.Load(t.Context(), service, repo, postgres.Loading{Jobs: 3, Progress: func(n int) { loaded.Add(int64(n)) }}))
	if got, want := loaded.Load(), rowBytes(service); got < want {
		t.Errorf("progress: got %d bytes, want at least the %d of rows", got, want)
	}
	for _, exact := range []bool{false, true} {
		proof, err := server.Verify(t.Context(), service, repo, exact)
		check(t, err)
		if len(proof.Differences) > 0 || len(proof.Unknown) > 0 || proof.Exact != exact || proof.Tables != rowTables(service) {
			t.Errorf("proof: got %+v, want one without differences, of %d tables, exact %v", proof, rowTables(service), exact)
		}
	}

	compare := map[string]string{"happycows_db": "happycows_db_2", second: second}
	for old, name := range compare {
		got, want := dumpText(t, to, name, name), dumpText(t, from, old, name)
		if got != want {
			t.Errorf("pg_dump of %q: got another text than of the source:\n%s", name, firstDifference(got, want))
		}
		if len(want) < 10_000 {
			t.Errorf("pg_dump of %q: only %d bytes to compare", old, len(want))
		}
	}
	if got := to.query(t, "postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'"); got != password {
		t.Error("the superuser's password is not the new service's own")
	}
	const attributes = "SELECT r.rolname, rolcanlogin, rolpassword IS NULL OR rolname = 'postgres' OR left(rolpassword, 14) = 'SCRAM-SHA-256$', s.setconfig, shobj_description(r.oid, 'pg_authid'), ARRAY(SELECT (roleid::regrole, admin_option) FROM pg_auth_members m WHERE member = r.oid) FROM pg_roles r LEFT JOIN pg_db_role_setting s ON setrole = r.oid AND setdatabase = 0 WHERE r.rolname !~ '^pg_' ORDER BY 1"
	if got, want := to.query(t, "postgres", strings.ReplaceAll(attributes, "pg_roles r", "pg_authid r")), from.query(t, "postgres", strings.ReplaceAll(attributes, "pg_roles r", "pg_authid r")); got != want {
		t.Errorf("roles: got %s\nwant %s", got, want)
	}
	check(t, server.Analyze(t.Context(), service))
	m, err := server.Migration(t.Context())
	if err != nil || m == nil || m.Head != "20260202000000" {
		t.Errorf("migration: got %+v, error %v, want head 20260202000000", m, err)
	}
}

func rowTables(service backup.Service) (n int) {
	for _, d := range service.Databases {
		n += len(d.Tables)
	}
	return n
}

func rowBytes(service backup.Service) (n int64) {
	for _, d := range service.Databases {
		for _, t := range d.Tables {
			n += t.Bytes
		}
	}
	return n
}

// dumpText is the text of a whole dump, in which the database is called name. Rows of what is partitioned by the hash of an enum
// are left out: they move.
func dumpText(t *testing.T, c *cluster, database, name string) string {
	t.Helper()
	text := c.run(t, "pg_dump", "--create", "--exclude-table-data=public.by_kind*", "-d", "dbname='"+strings.ReplaceAll(database, "'", `\'`)+"'")
	text = regexp.MustCompile(`(?m)^\\(un)?restrict .*$`).ReplaceAllString(text, "")
	if database != name {
		text = strings.ReplaceAll(text, "DATABASE "+database, "DATABASE "+name)
		text = strings.ReplaceAll(text, `\connect `+database, `\connect `+name)
		text = strings.ReplaceAll(text, "Name: "+database, "Name: "+name)
	}
	// The same CHECK of a varchar, as PostgreSQL writes it before and after it has read its own text.
	text = strings.ReplaceAll(text, "ARRAY[('Bella'::character varying)::text, ('Daisy'::character varying)::text, ('Berta'::character varying)::text]", "enum")
	text = strings.ReplaceAll(text, "(ARRAY['Bella'::character varying, 'Daisy'::character varying, 'Berta'::character varying])::text[]", "enum")
	return text + c.query(t, database, "SELECT string_agg(b::text, ';' ORDER BY b.id) FROM public.by_kind b")
}

// firstDifference shows where two texts part.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d: got %.300q\nwant %.300q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}
