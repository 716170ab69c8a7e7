package code_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Each tool's own files, as its generator writes them, and its own table as postgres reads it. Of each the first migration is
// applied, the second is not, and the third file is none.
func TestDiffTools(t *testing.T) {
	tests := []struct {
		tool    string
		applied []string
		old     string // path, then content
		new     string
		none    string
	}{
		{"Rails", []string{"7", "20261101000000"},
			"db/migrate/20261101000000_create_cows.rb\nclass CreateCows < ActiveRecord::Migration[8.0]\nend",
			"db/migrate/20261119101500_add_mood_to_cows.herd.rb\nclass AddMood < ActiveRecord::Migration[8.0]\nend",
			"db/schema.rb\nActiveRecord::Schema[8.0].define(version: 2026_11_19_101500) do\nend"},
		{"Django", []string{"herd.0001_initial", "auth.0001_initial"},
			"cows/herd/migrations/0001_initial.py\nfrom django.db import migrations\n\n\nclass Migration(migrations.Migration):\n    initial = True",
			"cows/herd/migrations/0002_cow_mood.py\nfrom django.db import migrations\n\n\nclass Migration(migrations.Migration):\n    dependencies = [('herd', '0001_initial')]",
			"cows/herd/migrations/__init__.py\n"},
		{"Django", []string{"herd.0001_initial", "herd.0002_cow_mood"},
			"herd/migrations/0001_squashed_0002_cow_mood.py\nclass Migration(migrations.Migration):\n\n    replaces = [('herd', '0001_initial'),\n        (\"herd\", \"0002_cow_mood\")]\n",
			"herd/migrations/0003_squashed.py\nclass Migration(migrations.Migration):\n\n    replaces = [('herd', '0002_cow_mood'), ('herd', '0003_x')]\n",
			"herd/models.py\nclass Migration(models.Model):"},
		{"Flyway", []string{"V1__create_cows.sql", "db.migration.V1_1__Fill", "2026/R__views.sql"},
			"src/main/resources/db/migration/2026/R__views.sql\nCREATE OR REPLACE VIEW v AS SELECT 1;",
			"src/main/resources/db/migration/V2.1__add_mood.sql\nALTER TABLE cows ADD mood text;",
			"src/main/java/Village__x.txt\n"},
		{"Flyway", []string{"db.migration.V1_1__Fill"},
			"src/main/java/db/migration/V1_1__Fill.java\nclass V1_1__Fill extends BaseJavaMigration {}",
			"src/main/kotlin/db/migration/V2__Empty.kt\nclass V2__Empty : BaseJavaMigration()",
			"src/main/java/db/Fill.java\n"},
		{"Liquibase", []string{"1 bob db/changelog/001.xml", "2 Ann Lee classpath:db/changelog/001.xml"},
			"src/main/resources/db/changelog/001.xml\n<databaseChangeLog>\n<changeSet id=\"1\" author=\"bob\">\n</changeSet>\n<changeSet author=\"Ann Lee\" id=\"2\">\n</changeSet></databaseChangeLog>",
			"src/main/resources/db/changelog/002.xml\n<databaseChangeLog><changeSet id=\"1\" author=\"bob\"/></databaseChangeLog>",
			"src/main/resources/db/changelog/master.xml\n<databaseChangeLog><includeAll path=\"db/changelog\"/></databaseChangeLog>"},
		{"Liquibase", []string{"create-cows bob changelog/cows.yaml", "7 bob changelog/x.sql"},
			"changelog/cows.yaml\ndatabaseChangeLog:\n  - changeSet:\n      id: create-cows\n      author: bob\n      changes: []\n",
			"changelog/x.sql\n--liquibase formatted sql\n\n--changeset bob:7\nSELECT 1;\n--changeset bob:8 splitStatements:false\nSELECT 2;\n",
			"changelog/values.json\n{\"id\": 1}"},
		{"Liquibase", []string{"3 bob logical.json"},
			"changelog/a.json\n{\"databaseChangeLog\": [{\"logicalFilePath\": \"logical.json\"}, {\"changeSet\": {\"id\": \"3\", \"author\": \"bob\"}}]}",
			"changelog/b.json\n{\"databaseChangeLog\": [{\"changeSet\": {\"id\": \"3\", \"author\": \"bob\"}}]}",
			"changelog/README.md\n"},
		{"Alembic", []string{"1975ea83b712"},
			"alembic/versions/1975ea83b712_create_cows.py\nrevision = '1975ea83b712'\ndown_revision = None\n",
			"alembic/versions/ae1027a6acf_add_mood.py\nrevision: str = \"ae1027a6acf\"\ndown_revision: Union[str, None] = \"1975ea83b712\"\n",
			"alembic/env.py\nfrom alembic import context"},
		{"Prisma", []string{"20261101000000_init"},
			"prisma/migrations/20261101000000_init/migration.sql\nCREATE TABLE cows ();",
			"prisma/migrations/20261119101500_mood/migration.sql\nALTER TABLE cows ADD mood text;",
			"prisma/migrations/migration_lock.toml\nprovider = \"postgresql\""},
		{"Knex", []string{"20261101000000_cows.js", "20261102000000_milk.js"},
			"migrations/20261102000000_milk.ts\nimport type { Knex } from \"knex\";\nexport async function up(knex: Knex): Promise<void> {}",
			"migrations/20261119101500_mood.js\nexports.up = function(knex) { return knex.schema.table('cows'); };",
			"src/knex.js\nmodule.exports = require('knex')({});"},
		{"Sequelize", []string{"20261101000000-cows.js"},
			"migrations/20261101000000-cows.js\nmodule.exports = { async up(queryInterface, Sequelize) {} };",
			"migrations/20261119101500-mood.js\nmodule.exports = { up: (queryInterface) => queryInterface.addColumn('cows', 'mood') };",
			"models/cow.js\nmodule.exports = (sequelize) => {}"},
		{"TypeORM", []string{"CreateCows1761955200000"},
			"src/migrations/1761955200000-CreateCows.ts\nimport { MigrationInterface, QueryRunner } from \"typeorm\";\n\nexport class CreateCows1761955200000 implements MigrationInterface {}",
			"src/migration/1763500500000-AddMood.ts\nimport { MigrationInterface } from \"typeorm\";\nexport class AddMood1 implements MigrationInterface {\n    name = 'AddMood1763500500000'\n}",
			"src/migrations/index.ts\nexport {};"},
		{"Laravel", []string{"2026_11_01_000000_create_cows_table"},
			"database/migrations/2026_11_01_000000_create_cows_table.php\n<?php return new class extends Migration {};",
			"database/migrations/2026_11_19_101500_add_mood_to_cows.php\n<?php return new class extends Migration {};",
			"database/seeders/CowSeeder.php\n<?php"},
		{"Ecto", []string{"20261101000000"},
			"priv/repo/migrations/20261101000000_create_cows.exs\ndefmodule Herd.Repo.Migrations.CreateCows do\nend",
			"apps/herd/priv/repo/migrations/20261119101500_add_mood.exs\ndefmodule Herd.Repo.Migrations.AddMood do\nend",
			"priv/repo/seeds.exs\n"},
		{"golang-migrate", []string{"9"},
			"migrations/000008_cows.up.sql\nCREATE TABLE cows ();",
			"migrations/000010_mood.up.sql\nALTER TABLE cows ADD mood text;",
			"migrations/000010_mood.down.sql\nALTER TABLE cows DROP mood;"},
		{"goose", []string{"0", "1"},
			"db/00001_cows.sql\n-- +goose Up\nCREATE TABLE cows ();",
			"db/20261119101500_mood.go\npackage db\n\nfunc init() { goose.AddMigrationContext(up, nil) }",
			"db/00003_plain.sql\nSELECT 1;"},
		{"dbmate", []string{"20261101000000"},
			"db/migrations/20261101000000_cows.sql\n-- migrate:up\nCREATE TABLE cows ();\n-- migrate:down\n",
			"db/migrations/20261119101500_mood.sql\n-- migrate:up transaction:false\nALTER TABLE cows ADD mood text;\n-- migrate:down\n",
			"db/schema.sql\nCREATE TABLE cows ();"},
		{"EF Core", []string{"20261101000000_CreateCows"},
			"Herd/Migrations/20261101000000_CreateCows.cs\npublic partial class CreateCows : Migration {}",
			"Herd/Migrations/20261119101500_AddMood.cs\npublic partial class AddMood : Migration {}",
			"Herd/Migrations/20261119101500_AddMood.Designer.cs\n[Migration(\"20261119101500_AddMood\")]"},
	}
	for _, tt := range tests {
		t.Run(tt.tool+" "+tt.applied[0], func(t *testing.T) {
			h := newHistory(t)
			var paths []string
			files := map[string]string{}
			for _, file := range []string{tt.old, tt.new, tt.none} {
				path, content, _ := strings.Cut(file, "\n")
				paths, files[path] = append(paths, path), content
			}
			from := h.commit(1, "before", map[string]string{"README": ""})
			to := h.commit(2, "after", files, from)
			applied := &backup.Migration{Tool: tt.tool, Table: "public.t", Head: tt.applied[len(tt.applied)-1], Applied: tt.applied}
			d, err := open(t, h.dir).Diff(t.Context(), from, to, applied)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{
				fmt.Sprintf("added %s (%s) applied", paths[0], tt.tool),
				fmt.Sprintf("added %s (%s) not applied", paths[1], tt.tool),
			}
			if paths[0] > paths[1] {
				want[0], want[1] = want[1], want[0]
			}
			if got := lines(d); got != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
			if got, want := pending(d.FromPending)+" "+pending(d.ToPending), "0 1"; got != want {
				t.Errorf("pending: got %s, want %s", got, want)
			}
		})
	}
}

// What a table says of files that are not plainly its tool's, or that it tells little of.
func TestDiffApplied(t *testing.T) {
	script := func(revision, before string) string {
		return fmt.Sprintf("revision = %q\ndown_revision = %s\n", revision, before)
	}
	const dir = "alembic/versions/"
	scripts := map[string]string{
		dir + "a.py": script("a", "None"), dir + "b.py": script("b", `"a"`), dir + "c.py": script("c", `"a"`),
		dir + "d.py": script("d", "(\n    'b',\n    'c',\n)"), dir + "e.py": script("e", `'d'`),
	}
	alembic := func(applied ...string) *backup.Migration { return &backup.Migration{Tool: "Alembic", Applied: applied} }
	tests := []struct {
		name    string
		applied *backup.Migration
		files   map[string]string
		want    string // of each file, by path
		pending string
	}{
		{"Alembic, nothing", alembic(), scripts, "no no no no no", "5"},
		{"Alembic, one branch", alembic("c"), scripts, "yes no yes no no", "3"},
		{"Alembic, two heads", alembic("b", "c"), scripts, "yes yes yes no no", "2"},
		{"Alembic, merged", alembic("d"), scripts, "yes yes yes yes no", "1"},
		{"Alembic, a head that the code lacks", alembic("f"), scripts, "? ? ? ? ?", "?"},
		{"golang-migrate, dirty", &backup.Migration{Tool: "golang-migrate"}, map[string]string{"migrations/1_a.up.sql": ""}, "?", "?"},
		{"Rails without its other table", &backup.Migration{Tool: "dbmate", Applied: []string{"1"}},
			map[string]string{"db/migrate/001_a.rb": "", "db/migrate/002_b.rb": ""}, "yes no", "1"},
		{"versions with zeros", &backup.Migration{Tool: "dbmate", Applied: []string{"001", "000"}},
			map[string]string{"db/000_a.sql": "-- migrate:up", "db/001_b.sql": "-- migrate:up", "db/010_c.sql": "-- migrate:up"}, "yes yes no", "1"},
		{"plain SQL", &backup.Migration{Tool: "dbmate", Applied: []string{"1"}}, map[string]string{"sql/migrations/1.sql": "", "sql/queries/1.sql": ""}, "?", "?"},
		{"goose beside dbmate", &backup.Migration{Tool: "goose", Applied: []string{"1"}}, map[string]string{"db/1_a.sql": "-- +goose Up", "db/2_b.sql": "-- migrate:up"}, "yes ?", "?"},
		{"a file that fits two", &backup.Migration{Tool: "dbmate", Applied: []string{"1"}}, map[string]string{"db/migrations/1_a.up.sql": "-- migrate:up"}, "yes", "0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHistory(t)
			from := h.commit(1, "before", nil)
			to := h.commit(2, "after", tt.files, from)
			d, err := open(t, h.dir).Diff(t.Context(), from, to, tt.applied)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range d.Migrations {
				word := "?"
				if m.Applied != nil {
					word = map[bool]string{true: "yes", false: "no"}[*m.Applied]
				}
				got = append(got, word)
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := pending(d.ToPending); got != tt.pending {
				t.Errorf("pending: got %s, want %s", got, tt.pending)
			}
		})
	}
}

// One of Flyway's repeatable migrations runs again when it is changed.
func TestDiffRepeatable(t *testing.T) {
	h := newHistory(t)
	from := h.commit(1, "before", map[string]string{"sql/R__views.sql": "a", "sql/V1__cows.sql": "a"})
	to := h.commit(2, "after", map[string]string{"sql/R__views.sql": "b", "sql/V1__cows.sql": "b"}, from)
	d, err := open(t, h.dir).Diff(t.Context(), from, to, &backup.Migration{Tool: "Flyway", Applied: []string{"V1__cows.sql", "R__views.sql"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lines(d), "changed sql/R__views.sql (Flyway) applied\nchanged sql/V1__cows.sql (Flyway) applied"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := pending(d.FromPending)+" "+pending(d.ToPending), "0 1"; got != want {
		t.Errorf("pending: got %s, want %s", got, want)
	}
	if !d.Migrations[0].Repeatable || d.Migrations[1].Repeatable {
		t.Errorf("repeatable: got %t, %t, want the first alone", d.Migrations[0].Repeatable, d.Migrations[1].Repeatable)
	}
}
