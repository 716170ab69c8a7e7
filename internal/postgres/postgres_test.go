package postgres

import (
	"slices"
	"testing"
)

func TestArgv(t *testing.T) {
	tests := []struct {
		name      string
		got, want []string
	}{
		{"dump into a file", dumpArgv("postgres", "happycows_db", "/out/fifo", "--snapshot=00000003-1B-1"), []string{
			"pg_dump", "--format=custom", "--compress=0", "--no-password",
			"--host=127.0.0.1", "--username=postgres", "--dbname=dbname='happycows_db'", "--snapshot=00000003-1B-1", "--no-sync", "--file=/out/fifo"}},
		{"dump to standard output", dumpArgv("postgres", `it's a\db`, "", "--schema-only"), []string{
			"pg_dump", "--format=custom", "--compress=0", "--no-password",
			"--host=127.0.0.1", "--username=postgres", `--dbname=dbname='it\'s a\\db'`, "--schema-only"}},
		{"roles", rolesArgv("postgres", "happycows_db", "/out/fifo"), []string{
			"pg_dumpall", "--globals-only", "--no-password",
			"--host=127.0.0.1", "--username=postgres", "--database=happycows_db", "--no-sync", "--file=/out/fifo"}},
	}
	for _, test := range tests {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, test.got, test.want)
		}
	}
}

func TestRecognize(t *testing.T) {
	table := func(schema, name string, columns ...string) migrationTable {
		return migrationTable{schema, name, columns}
	}
	tests := []struct {
		want   string
		tables []migrationTable
	}{
		{"", nil},
		{"", []migrationTable{table("public", "migrations", "id", "when")}},
		{"Rails", []migrationTable{table("public", "schema_migrations", "version"), table("public", "ar_internal_metadata", "key", "value")}},
		{"dbmate", []migrationTable{table("public", "schema_migrations", "version"), table("other", "ar_internal_metadata", "key")}},
		{"golang-migrate", []migrationTable{table("public", "schema_migrations", "version", "dirty")}},
		{"Ecto", []migrationTable{table("public", "schema_migrations", "version", "inserted_at")}},
		{"Django", []migrationTable{table("public", "django_migrations", "id", "app", "name", "applied")}},
		{"Flyway", []migrationTable{table("app", "flyway_schema_history", "installed_rank", "script", "success")}},
		{"Liquibase", []migrationTable{table("public", "databasechangelog", "id", "author", "filename", "orderexecuted")}},
		{"Laravel", []migrationTable{table("public", "migrations", "id", "migration", "batch")}},
		{"TypeORM", []migrationTable{table("public", "migrations", "id", "timestamp", "name")}},
		{"EF Core", []migrationTable{table("public", "__EFMigrationsHistory", "MigrationId", "ProductVersion")}},
	}
	for _, test := range tests {
		got := ""
		if tool, _ := recognize(migrationTools(), test.tables); tool != nil {
			got = tool.name
		}
		if got != test.want {
			t.Errorf("%v: got %q, want %q", test.tables, got, test.want)
		}
	}
}
