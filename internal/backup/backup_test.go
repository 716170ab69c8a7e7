package backup_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

func TestID(t *testing.T) {
	at := time.Date(2026, 11, 20, 23, 47, 0, 999, time.FixedZone("PST", -8*3600))
	id := backup.NewID("happycows-db", at)
	if want := backup.ID("happycows-db-20261121T074700Z"); id != want {
		t.Fatalf("got %s, want %s", id, want)
	}
	if got, want := id.Service(), "happycows-db"; got != want {
		t.Errorf("service: got %q, want %q", got, want)
	}
	if got, want := id.Time(), at.Truncate(time.Second); !got.Equal(want) {
		t.Errorf("time: got %v, want %v", got, want)
	}
}

func TestParseID(t *testing.T) {
	for _, text := range []string{"db-20261121T074700Z", "A_b-9-20261121T074700Z", "db-20261121T074700Z-20261121T074700Z", "--20280229T235959Z"} {
		if id, err := backup.ParseID(text); err != nil || string(id) != text || id.Service()+"-"+text[len(text)-16:] != text {
			t.Errorf("%q: got %q of service %q, error %v", text, id, id.Service(), err)
		}
	}
	for _, text := range []string{
		"", "db", "-20261121T074700Z", "20261121T074700Z", "db-20261121T074700", "db-20261121T074700Z\n", "db-20261321T074700Z", "db-20270229T000000Z",
		"db-20261121T246000Z", "../db-20261121T074700Z", "a/b-20261121T074700Z", "a b-20261121T074700Z", "é-20261121T074700Z", "db-20261121T074700Z/x", "db-２0261121T074700Z",
	} {
		if id, err := backup.ParseID(text); err == nil || id != "" {
			t.Errorf("%q: got %q, want an error", text, id)
		}
	}
	for _, id := range []backup.ID{"", "x", "db", "20261121T074700Z", "db-notatimenotatime"} { // never parsed, must not panic
		_ = id.Service()
		if got := id.Time(); id != "20261121T074700Z" && !got.IsZero() {
			t.Errorf("time of %q: got %v, want none", id, got)
		}
	}
}

func TestRowDigest(t *testing.T) {
	digest := func(rows ...string) string {
		var d backup.RowDigest
		for _, row := range rows {
			d.Add([]byte(row))
		}
		if d.Rows != int64(len(rows)) {
			t.Errorf("rows: got %d, want %d", d.Rows, len(rows))
		}
		return d.String()
	}
	// XXH3-128 of nothing with seed 0 is in the specification's own test vectors: xxHash, tests/sanity_test_vectors.h.
	if got, want := digest(""), "xxh3-rows:99aa06d3014798d86001c324468d497f"; got != want {
		t.Errorf("one empty row: got %s, want %s", got, want)
	}
	if got, want := digest(), "xxh3-rows:"+strings.Repeat("0", 32); got != want {
		t.Errorf("no rows: got %s, want %s", got, want)
	}
	if got, want := digest("1\ta", "2\tb", "3\tc"), digest("3\tc", "1\ta", "2\tb"); got != want {
		t.Errorf("another order: got %s, want %s", got, want)
	}
	seen := map[string]string{}
	for _, rows := range []string{"", "a", "a a", "a b", "b a a", "a b b", "ab"} {
		got := digest(strings.Fields(rows)...)
		if other, twice := seen[got]; twice {
			t.Errorf("rows %q and %q have the same digest", rows, other)
		}
		seen[got] = rows
	}
	var many backup.RowDigest // carries into the high half and past it
	for i := range 1000 {
		many.Add(fmt.Append(nil, i))
	}
	var backwards backup.RowDigest
	for i := range 1000 {
		backwards.Add(fmt.Append(nil, 999-i))
	}
	if got, want := many.String(), backwards.String(); got != want {
		t.Errorf("a thousand rows backwards: got %s, want %s", got, want)
	}
}

func TestDumpDigest(t *testing.T) {
	table := func(schema, name string, rows int64) backup.Table {
		return backup.Table{Schema: schema, Name: name, Content: &backup.Content{Rows: rows, Bytes: 10 * rows, Digest: "xxh3-rows:00"}}
	}
	// sha256 of: "public" "cows" 7 70 xxh3-rows:00 and a newline.
	if got, want := backup.DumpDigest([]backup.Table{table("public", "cows", 7)}), "sha256:66ffd3ce0fa6bc5cb5fdf133638d38b097b4bd8b0cec6c535953aca6a3691f38"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	a := backup.DumpDigest([]backup.Table{table("a b", "c", 1)})
	for _, other := range []backup.Table{table("a", "b c", 1), table("a b", "c", 2), table(`a" "b`, "c", 1)} {
		if backup.DumpDigest([]backup.Table{other}) == a {
			t.Errorf("%q.%q has the digest of another table", other.Schema, other.Name)
		}
	}
}

func TestCheckSchema(t *testing.T) {
	if err := backup.CheckSchema("x", backup.Schema); err != nil {
		t.Errorf("schema %d: got error %v", backup.Schema, err)
	}
	for _, schema := range []int{-1, 0, backup.Schema + 1, 1 << 40} {
		err := backup.CheckSchema("db-20261121T074700Z", schema)
		if want := fmt.Sprintf("the manifest of db-20261121T074700Z has schema %d, this program reads schema 1 to %d", schema, backup.Schema); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("schema %d: got error %v, want %q", schema, err, want)
		}
	}
}

func TestProblem(t *testing.T) {
	p := &backup.Problem{Message: "the key is not here", Hints: []string{"look there", "dokku backup:key"}, Err: fs.ErrNotExist}
	if got, want := p.Error(), "the key is not here"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(p, fs.ErrNotExist) {
		t.Error("the cause is not found by errors.Is")
	}
	if got := p.ExitCode(); got != backup.ExitFailed {
		t.Errorf("exit code: got %d, want %d", got, backup.ExitFailed)
	}
}
