package code

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// tool tells how the migration files of a tool are recognised, and by which
// name the tool's own table knows one. backup.Migration has that table's rows.
type tool struct {
	name string
	path *regexp.Regexp
	text *regexp.Regexp // that the content matches as well; nil where the path suffices
	// keys names the migrations of a file, which is applied when all of one
	// list are. groups are those of path. nil: its first group.
	keys func(groups []string, text string) [][]string
	// row is the key in a row of the tool's table. nil: all of the row.
	row func(string) string
}

// tools are asked in this order: of those that a file fits, the more
// particular one comes first. Each has the source of its convention.
func tools() []*tool {
	return slices.Concat(frameworkTools(), scriptTools(), sqlTools())
}

// frameworkTools are recognised by the folder that their framework prescribes.
func frameworkTools() []*tool {
	return []*tool{
		{ // activerecord/lib/active_record/migration.rb: MigrationFilenameRegexp; versions are numbers
			name: "Rails", path: regexp.MustCompile(`(?:^|/)db/(?:\w+_)?migrate/(?:.*/)?0*([0-9]+)_[_a-z0-9]*(?:\.[_a-z0-9]*)?\.rb$`), row: number,
		},
		{ // django/db/migrations/loader.py: modules whose names do not begin with _ or ~
			name: "Django", path: regexp.MustCompile(`(?:^|/)([^/]+)/migrations/([^/_~][^/]*)\.py$`),
			text: regexp.MustCompile(`(?m)^class Migration\(`), keys: djangoKeys,
		},
		{ // Laravel's Illuminate/Database/Migrations/Migrator.php: getMigrationFiles, getMigrationName
			name: "Laravel", path: regexp.MustCompile(`(?:^|/)database/migrations/(?:.*/)?([^/]+_[^/]+)\.php$`),
		},
		{ // ecto_sql's lib/ecto/migrator.ex: extract_migration_info
			name: "Ecto", path: regexp.MustCompile(`(?:^|/)priv/[^/]+/migrations/(?:.*/)?0*([0-9]+)_[^/]*\.exs$`), row: number,
		},
		{ // EF Core's docs, Managing Migrations: beside each lies a .Designer.cs
			name: "EF Core", path: regexp.MustCompile(`(?:^|/)Migrations/(?:.*/)?([0-9]{14}_[^/.]+)\.cs$`),
		},
		{ // Prisma's docs, Prisma Migrate: migration histories
			name: "Prisma", path: regexp.MustCompile(`(?:^|/)migrations/([^/]+)/migration\.sql$`),
		},
	}
}

// scriptTools are recognised by what a program in a folder of migrations uses.
func scriptTools() []*tool {
	inMigrations := regexp.MustCompile(`(?i)(?:^|/)migrations?/(?:.*/)?([^/]+\.[cm]?[jt]s)$`)
	return []*tool{
		{ // Alembic's docs, Tutorial: the revision identifiers of a script
			name: "Alembic", path: regexp.MustCompile(`(?:^|/)versions/(?:.*/)?[^/]+\.py$`),
			text: regexp.MustCompile(`(?m)^down_revision\b`), keys: alembicKeys,
		},
		{ // TypeORM's MigrationExecutor.ts: getMigrations
			name: "TypeORM", path: inMigrations, text: regexp.MustCompile(`\bMigrationInterface\b|\bqueryRunner\b`), keys: typeormKeys,
		},
		{ // umzug's storage/sequelize.ts keeps the file's name
			name: "Sequelize", path: inMigrations, text: regexp.MustCompile(`\bqueryInterface\b`), keys: scriptKeys,
		},
		{ // knex's lib/migrations/common/MigrationsLoader.js; the name is the file's
			name: "Knex", path: inMigrations, text: regexp.MustCompile(`\b[kK]nex\b`), keys: scriptKeys,
		},
	}
}

// sqlTools are recognised by a marker within the file, or by its name.
func sqlTools() []*tool {
	return []*tool{
		{ // Flyway's docs, Versioned and Repeatable migrations; the table has a path or a class
			name: "Flyway", path: regexp.MustCompile(`(?:^|/)((?:[VB][0-9][0-9._]*|R)__[^/]*\.(?:sql|java|kt|groovy))$`),
			keys: func(groups []string, _ string) [][]string { return [][]string{{flywayScript(groups[1])}} }, row: flywayScript,
		},
		{ // Liquibase's docs, Changeset: id, author and the changelog's path; the formats' own pages
			name: "Liquibase", path: regexp.MustCompile(`(?i)(?:changelog|changes|liquibase|migration).*\.(?:xml|ya?ml|json|sql)$`),
			text: regexp.MustCompile(`(?i)<changeSet\b|\bchangeSet"?\s*:|--\s*changeset\s`), keys: liquibaseKeys, row: liquibaseRow,
		},
		{ // golang-migrate's source/parse.go: Regex
			name: "golang-migrate", path: regexp.MustCompile(`(?:^|/)0*([0-9]+)_[^/]*\.up\.[^/]+$`), row: number,
		},
		{ // goose's NumericComponent and its annotations
			name: "goose", path: regexp.MustCompile(`(?:^|/)0*([0-9]+)_[^/]*\.(?:sql|go)$`),
			text: regexp.MustCompile(`(?im)^\s*--\s*\+goose\s+up\b|\bgoose\.Add(?:Named)?Migration`), row: number,
		},
		{ // dbmate's pkg/dbmate/db.go: migrationFileRegexp; migration.go: upRegExp
			name: "dbmate", path: regexp.MustCompile(`(?:^|/)0*([0-9]+)[^/]*\.sql$`), text: regexp.MustCompile(`(?m)^--\s*migrate:up\b`), row: number,
		},
		{name: plainSQL, path: regexp.MustCompile(`(?i)(?:^|/)(?:migrations?|migrate)/(?:.*/)?[^/]+\.sql$`),
			keys: func([]string, string) [][]string { return nil }},
	}
}

// plainSQL stands for files of a tool that is not known.
const plainSQL = "plain SQL"

// number is a row that is a number, without leading zeros as in the patterns.
func number(row string) string {
	if short := strings.TrimLeft(row, "0"); short != "" {
		return short
	}
	return "0"
}

// djangoKeys are app and name; a squashed migration also stands for those that
// it replaces (django/db/migrations/loader.py: build_graph).
func djangoKeys(groups []string, text string) [][]string {
	keys := [][]string{{groups[1] + "." + groups[2]}}
	if list := regexp.MustCompile(`(?m)^\s+replaces\s*=\s*\[([^\]]*)\]`).FindStringSubmatch(text); list != nil {
		var replaced []string
		for _, pair := range regexp.MustCompile(`["'](\w+)["']\s*,\s*["'](\w+)["']`).FindAllStringSubmatch(list[1], -1) {
			replaced = append(replaced, pair[1]+"."+pair[2])
		}
		keys = append(keys, replaced)
	}
	return keys
}

// alembicKeys is the script's own revision.
func alembicKeys(_ []string, text string) [][]string {
	if m := regexp.MustCompile(`(?m)^revision\b[^=\n]*=\s*["']([^"'\n]+)["']`).FindStringSubmatch(text); m != nil {
		return [][]string{{m[1]}}
	}
	return nil
}

// alembicBefore are the revisions that come before the script's own one.
func alembicBefore(text string) []string {
	var before []string
	if m := regexp.MustCompile(`(?m)^down_revision\b[^=\n]*=\s*(\([^)]*\)|\[[^\]]*\]|[^\n]*)`).FindStringSubmatch(text); m != nil {
		for _, quoted := range regexp.MustCompile(`["']([^"'\n]+)["']`).FindAllStringSubmatch(m[1], -1) {
			before = append(before, quoted[1])
		}
	}
	return before
}

// typeormKeys is the migration's name, or else that of its class.
func typeormKeys(_ []string, text string) [][]string {
	for _, pattern := range []string{`(?m)^\s*(?:(?:public|readonly|this\.)\s*)*name\s*(?::\s*string\s*)?=\s*["'](\w+)["']`, `\bclass\s+(\w+)`} {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(text); m != nil {
			return [][]string{{m[1]}}
		}
	}
	return nil
}

// scriptKeys is the file's name; a TypeScript one may have run compiled.
func scriptKeys(groups []string, _ string) [][]string {
	keys := [][]string{{groups[1]}}
	if name, ok := strings.CutSuffix(groups[1], ".ts"); ok {
		keys = append(keys, []string{name + ".js"})
	}
	return keys
}

// flywayScript is the name of a script's file, or of its class.
func flywayScript(script string) string {
	script = path.Base(script)
	if strings.HasSuffix(script, ".sql") {
		return script
	}
	for _, ext := range []string{".java", ".kt", ".groovy"} {
		script = strings.TrimSuffix(script, ext)
	}
	return script[strings.LastIndexByte(script, '.')+1:]
}

// liquibaseKeys are the changesets of a changelog: id, author, the file's name.
func liquibaseKeys(groups []string, text string) [][]string {
	file := path.Base(groups[0])
	if m := regexp.MustCompile(`\blogicalFilePath"?\s*[=:]\s*["']?([^\s"',>]+)`).FindStringSubmatch(text); m != nil {
		file = path.Base(m[1])
	}
	var keys []string
	for _, m := range regexp.MustCompile(`(?im)^\s*--\s*changeset\s+([^:\n]+):(\S+)`).FindAllStringSubmatch(text, -1) {
		keys = append(keys, m[2]+" "+m[1]+" "+file)
	}
	id := regexp.MustCompile(`\bid["']?\s*[=:]\s*(?:"([^"]*)"|'([^']*)'|([^\s,>"']+))`)
	author := regexp.MustCompile(`\bauthor["']?\s*[=:]\s*(?:"([^"]*)"|'([^']*)'|([^\n,>"']+))`)
	for _, part := range regexp.MustCompile(`<changeSet\b|\bchangeSet"?\s*:`).Split(text, -1)[1:] {
		if i, a := id.FindStringSubmatch(part), author.FindStringSubmatch(part); i != nil && a != nil {
			keys = append(keys, strings.Join(i[1:], "")+" "+strings.TrimSpace(strings.Join(a[1:], ""))+" "+file)
		}
	}
	return [][]string{keys}
}

// liquibaseRow leaves the folder off a row's file: whether it begins at the
// classpath or elsewhere is the app's affair.
func liquibaseRow(row string) string {
	at := strings.LastIndexByte(row, ' ') + 1
	return row[:at] + path.Base(row[at:])
}
