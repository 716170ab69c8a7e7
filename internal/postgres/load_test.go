package postgres

import (
	"fmt"
	"slices"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/postgres/archive"
)

func TestWithoutRole(t *testing.T) {
	tests := []struct{ name, role, sql, want string }{
		{"superuser", "postgres",
			"\\restrict x\nCREATE ROLE herder;\nALTER ROLE herder WITH LOGIN;\nCREATE ROLE postgres;\nALTER ROLE postgres WITH SUPERUSER PASSWORD 'old';\nALTER ROLE postgres SET work_mem TO '4MB';\nGRANT herder TO postgres;\n",
			"\\restrict x\nCREATE ROLE herder;\nALTER ROLE herder WITH LOGIN;\nALTER ROLE postgres SET work_mem TO '4MB';\nGRANT herder TO postgres;\n"},
		{"quoted", `Milk "Maid"`,
			"CREATE ROLE \"Milk \"\"Maid\"\"\";\nALTER ROLE \"Milk \"\"Maid\"\"\" WITH LOGIN;\nCREATE ROLE \"Milk\";\n",
			"CREATE ROLE \"Milk\";\n"},
		{"another name", "postgres", "CREATE ROLE postgres2;\nALTER ROLE postgres2 WITH LOGIN;", "CREATE ROLE postgres2;\nALTER ROLE postgres2 WITH LOGIN;"},
		{"nothing", "postgres", "", ""},
	}
	for _, test := range tests {
		if got := string(withoutRole([]byte(test.sql), test.role)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTableLoads(t *testing.T) {
	head := &archive.Head{Entries: []archive.Entry{
		{DumpID: 1, Desc: "TABLE", Namespace: "public", Tag: "cows"},
		{DumpID: 2, Desc: "TABLE", Namespace: "public", Tag: "by_kind_0"},
		{DumpID: 3, Desc: "TABLE", Namespace: "public", Tag: "empty"},
		{DumpID: 11, Desc: "TABLE DATA", Namespace: "public", Tag: "cows", CopyStmt: "COPY public.cows (id) FROM stdin;\n"},
		{DumpID: 12, Desc: "TABLE DATA", Namespace: "public", Tag: "by_kind_0", CopyStmt: "COPY public.by_kind (id) FROM stdin;\n", Defn: rootMark + "public.by_kind"},
		{DumpID: 13, Desc: "TABLE DATA", Namespace: "public", Tag: "empty", CopyStmt: "COPY public.empty (id) FROM stdin;\n"},
		{DumpID: 14, Desc: "TABLE DATA", Namespace: "public", Tag: "spatial_ref_sys", CopyStmt: "COPY public.spatial_ref_sys (id) FROM stdin;\n"},
	}}
	table := func(id int, name string, bytes int64) backup.Table {
		return backup.Table{Schema: "public", Name: name, DumpID: id, Content: &backup.Content{Bytes: bytes}}
	}
	d := backup.Database{Tables: []backup.Table{table(12, "by_kind_0", 10), table(13, "empty", 0), table(14, "spatial_ref_sys", 5), table(11, "cows", 20)}}
	loads, err := tableLoads(d, head)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range loads {
		got = append(got, l.name+": "+l.fresh+"; "+l.copy)
	}
	want := []string{
		"public.cows: TRUNCATE ONLY \"public\".\"cows\"; COPY public.cows (id) FROM stdin WITH (FREEZE);\n",
		"public.by_kind_0: ; COPY public.by_kind (id) FROM stdin;\n",
		"public.spatial_ref_sys: ; COPY public.spatial_ref_sys (id) FROM stdin;\n",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	d.Tables = append(d.Tables, table(15, "lost", 1))
	if _, err := tableLoads(d, head); err == nil {
		t.Error("a table that the head lacks: got no error")
	}
}

func TestCompareHeads(t *testing.T) {
	entry := func(desc, tag, owner, defn string) archive.Entry {
		return archive.Entry{Desc: desc, Namespace: "public", Tag: tag, Owner: owner, Defn: defn, Section: archive.SectionPreData}
	}
	head := func(version, database string, entries ...archive.Entry) *archive.Head {
		return &archive.Head{DumpVersion: version, Database: database, Entries: entries}
	}
	cows := entry("TABLE", "cows", "herder", "a")
	tests := []struct {
		name          string
		before, after *archive.Head
		want          []string
	}{
		{"equal", head("15.1", "a", cows), head("15.2", "b", entry("TABLE", "cows", "herder", "another text")), nil},
		{"the database's own name", head("15.1", "a", entry("DATABASE", "a", "x", ""), entry("ACL", "DATABASE a", "x", "GRANT CONNECT ON DATABASE a TO y;"), entry("DATABASE PROPERTIES", "a", "x", "ALTER DATABASE a SET a TO az;")),
			head("15.1", "Z", entry("DATABASE", "Z", "x", ""), entry("ACL", "DATABASE Z", "x", "GRANT CONNECT ON DATABASE \"Z\" TO y;"), entry("DATABASE PROPERTIES", "Z", "x", "ALTER DATABASE \"Z\" SET a TO az;")), nil},
		{"the database's setting", head("15.1", "a", entry("DATABASE PROPERTIES", "a", "x", "ALTER DATABASE a SET a TO az;")),
			head("15.1", "z", entry("DATABASE PROPERTIES", "z", "x", "ALTER DATABASE z SET a TO d;")), []string{"settings of the database differ from the backup's"}},
		{"missing and new", head("15.1", "a", cows), head("15.1", "a", entry("VIEW", "herd", "herder", "")), []string{"table public.cows is missing", "view public.herd is not in the backup"}},
		{"data", head("15.1", "a", archive.Entry{Desc: "TABLE DATA", Section: archive.SectionData}, entry("BLOB", "1", "x", ""), entry("COMMENT", "LARGE OBJECT 1", "x", "")), head("15.1", "a"), nil},
		{"another major version", head("15.1", "a", cows, entry("SCHEMA", "public", "x", "")), head("17.1", "a", entry("TABLE", "cows", "other", ""), entry("CONSTRAINT", "not null", "x", "")), nil},
		{"missing in another major version", head("15.1", "a", cows), head("17.1", "a"), []string{"table public.cows is missing"}},
		{"grants in another order", head("15.1", "a", entry("ACL", "TABLE cows", "x", "GRANT 1;\nGRANT 2;\n")), head("15.1", "a", entry("ACL", "TABLE cows", "x", "GRANT 2;\nGRANT 1;\n")), nil},
	}
	for _, test := range tests {
		for _, h := range []*archive.Head{test.before, test.after} {
			for i := range h.Entries { // as pg_dump has it
				if tag := h.Entries[i].Tag; tag == h.Database || tag == "DATABASE "+h.Database {
					h.Entries[i].Namespace = ""
				}
			}
		}
		if got := compareHeads(test.before, test.after); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"15.1", "15.9", false}, {"15.1", "16.0", true}, {"16.0", "15.9", false}, {"9.6", "10.1", true}, {"10.1", "9.6", false},
		{"17beta1", "18devel", true}, {"", "15.18", true},
	} {
		if got := older(test.a, test.b); got != test.want {
			t.Errorf("older(%q, %q): got %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

func TestSum(t *testing.T) {
	var all, a, b backup.RowDigest
	for i := range 100 {
		row := fmt.Append(nil, i)
		all.Add(row)
		if i < 30 {
			a.Add(row)
		} else {
			b.Add(row)
		}
	}
	whole, parts := sum([]string{all.String()}), sum([]string{a.String(), b.String()})
	if whole.Cmp(parts) != 0 || whole.Sign() == 0 {
		t.Errorf("got %x, want %x, the digest of all rows", parts, whole)
	}
}
