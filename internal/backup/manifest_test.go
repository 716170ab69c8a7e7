package backup_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

var update = flag.Bool("update", false, "write the golden files anew")

const schemaFile = "../../doc/manifest.schema.json"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// full is a manifest with every field set.
func full() *backup.Manifest {
	at := func(second int) time.Time { return time.Date(2026, 11, 21, 7, 47, second, 0, time.UTC) }
	segment := func(digit string) *backup.Segment {
		return &backup.Segment{Name: strings.Repeat(digit, 64), Bytes: 100, Stored: 80}
	}
	text := func(digit string) *backup.Content {
		return &backup.Content{Bytes: 100, Digest: "sha256:" + strings.Repeat(digit, 64), Segments: []*backup.Segment{segment(digit)}}
	}
	delta := segment("2")
	delta.Base = strings.Repeat("1", 64)
	cows := &backup.Content{Bytes: 200, Rows: 7, Digest: "xxh3-rows:" + strings.Repeat("ab", 16), Segments: []*backup.Segment{segment("1"), delta}}
	empty := &backup.Content{Digest: "xxh3-rows:" + strings.Repeat("0", 32), Segments: []*backup.Segment{}}
	tables := []backup.Table{
		{Schema: "public", Name: "cows", DumpID: 215, Content: cows},
		{Schema: `odd "schema"`, Name: "a <b> & c", DumpID: 217, Content: empty},
	}
	return &backup.Manifest{
		Schema: 1, ID: "happycows-db-20261121T074700Z", CreatedAt: at(0), FinishedAt: at(4), State: backup.CompleteWithWarnings,
		Note: "before the spring release", Trigger: "manual",
		Host: backup.Host{Name: "dokku.example.com", Dokku: "0.38.22", Plugin: "0.1.0"},
		Services: []backup.Service{{
			Type: "postgres", Name: "happycows-db", Image: "postgres:15.18", ImageID: "sha256:0123", ServerVersion: "15.18", Roles: text("3"),
			Databases: []backup.Database{
				{
					Name: "happycows_db", Size: 9_000_000, Encoding: "UTF8", Collation: "en_US.utf8", CType: "en_US.utf8", TimeZone: "Etc/UTC",
					Extensions: []backup.Extension{{Name: "plpgsql", Version: "1.0"}},
					Migration:  &backup.Migration{Tool: "rails", Table: "public.schema_migrations", Head: "20261119101500", Applied: []string{"20261119101500"}},
					Dump: backup.Dump{
						Format: "pg_dump custom 1.14", Bytes: 400, Digest: backup.DumpDigest(tables), Head: text("4"),
						Blocks: []backup.Block{{Type: 3, DumpID: 300, Tag: "BLOBS", Content: text("5")}},
					},
					Tables: tables,
				},
				{Name: "from_the_future", Dump: backup.Dump{Format: "opaque", Bytes: 100, Digest: "sha256:" + strings.Repeat("6", 64), Opaque: text("6")}},
			},
		}},
		Apps: []backup.App{
			{
				Name: "happycows", Commit: strings.Repeat("82eeec6f", 5), Short: "82eeec6", Subject: "Show the herd's mood", Certainty: backup.Recorded,
				Evidence: []string{"the running image was built from it"}, State: "running", DeployedAt: at(0), Deploying: strings.Repeat("48db95af", 5),
				ImageID: "sha256:4567", Branch: "main", Source: "git", SourceImage: "registry.example.com/cows:1", Bundle: &backup.Bundle{Commits: 97, Content: text("7")},
				Scale: map[string]int{"web": 1}, Domains: []string{"cows.example.com"}, Ports: []string{"http:80:5000"}, Storage: []string{"/var/lib/cows:/data"},
				ConfigKeys: []string{"SECRET"}, Config: text("8"), Recreatable: []string{"node_modules"},
			},
			{Name: "never-deployed", Certainty: backup.Unknown, State: "never deployed"},
		},
		Tools:    map[string]string{"pg_dump": "15.18"},
		Timings:  backup.Timings{Inspect: 12, Dump: 3300, Code: 40, Total: 4100},
		Warnings: []string{"happycows was deployed while its data was dumped"},
		Stored:   backup.Stored{Raw: 700, New: 500, Reused: 60},
	}
}

// golden compares got with a file below testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		check(t, os.MkdirAll("testdata", 0o755))
		check(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (see what changed with: go test ./internal/backup -update; git diff)\ngot:\n%s", path, got)
	}
}

func TestGolden(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	check(t, err)
	for name, m := range map[string]*backup.Manifest{
		"full.json":  full(),
		"small.json": {Schema: 1, ID: "db-20261121T074700Z", State: backup.Complete, Trigger: "manual"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.MarshalIndent(m, "", "  ")
			check(t, err)
			golden(t, name, append(text, '\n'))
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			check(t, err)
			if err := schema.Validate(value); err != nil {
				t.Errorf("does not fit %s: %v", schemaFile, err)
			}
			var back backup.Manifest
			check(t, json.Unmarshal(text, &back))
			if !reflect.DeepEqual(&back, m) {
				t.Errorf("read back: got %+v, want %+v", back, *m)
			}
		})
	}
}

// TestSchemaRefuses: the schema is able to say no.
func TestSchemaRefuses(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	check(t, err)
	text, err := json.Marshal(full())
	check(t, err)
	for _, change := range [][2]string{
		{`"schema":1`, `"schema":2`},
		{`"id":"happycows-db-2`, `"id":"../2`},
		{`"state":"complete with warnings"`, `"state":"fine"`},
		{`T07:47:04Z`, `T07:47:04+01:00`},
		{`"dump_ms":3300`, `"dump_ms":"3300"`},
		{`"digest":"xxh3-rows:ab`, `"digest":"md5:ab`},
		{`"certainty":"recorded"`, `"certainty":"surely"`},
		{`"commit":"82`, `"commit":"main `},
		{`"raw":700`, `"raw":-1`},
		{`"commits":97`, `"commit_count":97`},
		{`"head":{"bytes"`, `"foot":{"bytes"`},
		{`"dump_id":215,`, ``},
	} {
		changed := strings.Replace(string(text), change[0], change[1], 1)
		if changed == string(text) {
			t.Fatalf("the manifest holds no %s", change[0])
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(changed))
		check(t, err)
		if schema.Validate(value) == nil {
			t.Errorf("with %s: got no error", change[1])
		}
	}
}

// TestFieldsStay: fields of schema 1 are only ever added, in the program and in the published schema alike.
func TestFieldsStay(t *testing.T) {
	got := fields(reflect.TypeFor[backup.Manifest](), "")
	path := filepath.Join("testdata", "fields.txt")
	known, err := os.ReadFile(path)
	check(t, err)
	for field := range strings.Lines(string(known)) {
		if field = strings.TrimSpace(field); !slices.Contains(got, field) {
			t.Errorf("field %q is gone; a schema never loses one", field)
		}
	}
	if *update && !t.Failed() {
		check(t, os.WriteFile(path, []byte(strings.Join(got, "\n")+"\n"), 0o644))
	} else if want := strings.Join(got, "\n") + "\n"; want != string(known) {
		t.Errorf("%s does not list every field; write it anew with -update", path)
	}

	text, err := os.ReadFile(schemaFile)
	check(t, err)
	var schema map[string]any
	check(t, json.Unmarshal(text, &schema))
	published := published(schema, schema, "")
	slices.Sort(published)
	if want := slices.Compact(slices.Clone(published)); !slices.Equal(got, want) {
		t.Errorf("fields of the program and of %s differ:\ngot  %q\nwant %q", schemaFile, got, want)
	}
	if whole, err := json.Marshal(full()); err != nil {
		t.Error(err)
	} else {
		for _, field := range got {
			last := field[strings.LastIndexByte(field, '.')+1:]
			if !bytes.Contains(whole, []byte(fmt.Sprintf("%q:", last))) {
				t.Errorf("the full manifest of this test does not set %s", field)
			}
		}
	}
}

// fields lists the paths of all JSON fields of a type, sorted.
func fields(typ reflect.Type, path string) (found []string) {
	switch {
	case typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice:
		return fields(typ.Elem(), path)
	case typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]():
		return nil
	}
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous {
			continue // its fields are visible themselves
		}
		below := strings.TrimPrefix(path+"."+name, ".")
		found = append(append(found, below), fields(f.Type, below)...)
	}
	slices.Sort(found)
	return found
}

// published lists the paths of all properties that a JSON Schema describes.
func published(root, schema map[string]any, path string) (found []string) {
	if ref, ok := schema["$ref"].(string); ok {
		found = published(root, root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any), path)
	}
	if all, ok := schema["allOf"].([]any); ok {
		for _, part := range all {
			found = append(found, published(root, part.(map[string]any), path)...)
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		found = append(found, published(root, items, path)...)
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		below := strings.TrimPrefix(path+"."+name, ".")
		found = append(append(found, below), published(root, property.(map[string]any), below)...)
	}
	return found
}

// FuzzManifest: what reads as a manifest writes as one, fields of a newer program are tolerated, and nothing panics.
func FuzzManifest(f *testing.F) {
	text, err := json.Marshal(full())
	check(f, err)
	f.Add(text)
	f.Add(bytes.Replace(text, []byte(`"host":{`), []byte(`"from_a_newer_program":{"x":[1]},"host":{"os":"Plan 9",`), 1))
	f.Add([]byte(`{"services":[{"databases":[{"tables":[{}],"dump":{"blocks":[{}]}}]}],"apps":[{"bundle":{}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var m, again backup.Manifest
		if json.Unmarshal(text, &m) != nil {
			return
		}
		first, err := json.Marshal(&m)
		if err != nil {
			return // a year beyond 9999 reads, but does not write
		}
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("what was written does not read: %v\n%s", err, first)
		}
		second, err := json.Marshal(&again)
		check(t, err)
		if !bytes.Equal(first, second) {
			t.Errorf("written again: got\n%s\nwant\n%s", second, first)
		}
		check(t, m.Contents(func(string, *backup.Content) error { return nil }))
	})
}

// TestUnknownFields: a manifest of the same schema from a newer program reads.
func TestUnknownFields(t *testing.T) {
	text, err := json.Marshal(full())
	check(t, err)
	var m backup.Manifest
	check(t, json.Unmarshal(bytes.Replace(text, []byte(`"host":{`), []byte(`"new":{"x":[1]},"host":{"os":"Plan 9",`), 1), &m))
	if !reflect.DeepEqual(&m, full()) {
		t.Errorf("got %+v, want %+v", m, *full())
	}
}

// TestContents: a content that Contents misses is one that Verify does not read and Collect throws away.
func TestContents(t *testing.T) {
	var got []string
	check(t, full().Contents(func(what string, c *backup.Content) error {
		got = append(got, what)
		return nil
	}))
	want := []string{
		"roles of happycows-db", "head of the dump of happycows_db", "table public.cows", `table odd "schema".a <b> & c`,
		"block BLOBS of happycows_db", "dump of from_the_future", "code of happycows", "config of happycows",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	text, err := json.Marshal(full())
	check(t, err)
	if found := bytes.Count(text, []byte(`"segments":`)); found != len(want) {
		t.Errorf("the manifest holds %d contents, Contents visits %d", found, len(want))
	}
	stop := fmt.Errorf("stop")
	for i := range want {
		calls := 0
		err := full().Contents(func(string, *backup.Content) error {
			if calls++; calls > i {
				return stop
			}
			return nil
		})
		if err != stop || calls != i+1 {
			t.Errorf("stopped at %d: got %d calls and error %v", i+1, calls, err)
		}
	}
}
