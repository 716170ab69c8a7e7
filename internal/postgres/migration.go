package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// migrationTool tells how a tool records in the database which migrations it applied.
type migrationTool struct {
	name    string
	table   string
	columns []string // that mark the table as this tool's
	beside  string   // another table that the tool keeps in the same schema
	applied string   // SQL for a migration's name
	where   string   // SQL
	order   string   // SQL, oldest first
}

// migrationTools are asked in this order: of tools that share a table's name, the more particular one comes first.
// Source: the documentation or source of each tool.
func migrationTools() []migrationTool {
	return []migrationTool{
		{name: "Rails", table: "schema_migrations", columns: []string{"version"}, beside: "ar_internal_metadata", applied: "version", order: "version"},
		{name: "golang-migrate", table: "schema_migrations", columns: []string{"version", "dirty"}, applied: "version", where: "NOT dirty", order: "version"},
		{name: "Ecto", table: "schema_migrations", columns: []string{"version", "inserted_at"}, applied: "version", order: "version"},
		{name: "dbmate", table: "schema_migrations", columns: []string{"version"}, applied: "version", order: "version"},
		{name: "Django", table: "django_migrations", columns: []string{"app", "name"}, applied: "app || '.' || name", order: "id"},
		{name: "Flyway", table: "flyway_schema_history", columns: []string{"script", "success"}, applied: "script", where: "success", order: "installed_rank"},
		{name: "Liquibase", table: "databasechangelog", columns: []string{"author", "filename", "orderexecuted"}, applied: "id || ' ' || author || ' ' || filename", order: "orderexecuted"},
		{name: "Alembic", table: "alembic_version", columns: []string{"version_num"}, applied: "version_num", order: "version_num"},
		{name: "Prisma", table: "_prisma_migrations", columns: []string{"migration_name", "finished_at"}, applied: "migration_name", where: "finished_at IS NOT NULL AND rolled_back_at IS NULL", order: "started_at"},
		{name: "Knex", table: "knex_migrations", columns: []string{"name", "batch"}, applied: "name", order: "id"},
		{name: "Sequelize", table: "SequelizeMeta", columns: []string{"name"}, applied: "name", order: "name"},
		{name: "Laravel", table: "migrations", columns: []string{"migration", "batch"}, applied: "migration", order: "id"},
		{name: "TypeORM", table: "migrations", columns: []string{"timestamp", "name"}, applied: "name", order: "id"},
		{name: "goose", table: "goose_db_version", columns: []string{"version_id", "is_applied"}, applied: "version_id", where: "is_applied", order: "id"},
		{name: "EF Core", table: "__EFMigrationsHistory", columns: []string{"MigrationId"}, applied: `"MigrationId"`, order: `"MigrationId"`},
	}
}

// migrationTable is a table of the database that bears a name that tools use.
type migrationTable struct {
	Schema, Table string
	Columns       []string
}

// migration tells which migrations the database's own table says were applied; nil when there is no such table that is
// known. The tables of extensions and of the system are not asked.
func (d *database) migration(ctx context.Context) (*backup.Migration, error) {
	tools := migrationTools()
	names := make([]string, len(tools))
	for i, t := range tools {
		names[i] = t.table
	}
	rows, err := d.tx.Query(ctx, `
		SELECT n.nspname::text, c.relname::text, array_agg(a.attname::text)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relkind = 'r' AND (c.relname = ANY($1) OR c.relname = 'ar_internal_metadata') AND a.attnum > 0 AND NOT a.attisdropped
		GROUP BY n.nspname, c.relname ORDER BY n.nspname <> 'public', n.nspname, c.relname`, names)
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[migrationTable])
	if err != nil {
		return nil, err
	}
	tool, table := recognize(tools, tables)
	if tool == nil {
		return nil, nil
	}
	return d.applied(ctx, tool, table)
}

// recognize finds the tool whose table is among tables.
func recognize(tools []migrationTool, tables []migrationTable) (*migrationTool, migrationTable) {
	has := func(schema, name string, columns []string) (migrationTable, bool) {
		i := slices.IndexFunc(tables, func(t migrationTable) bool {
			missing := slices.ContainsFunc(columns, func(c string) bool { return !slices.Contains(t.Columns, c) })
			return t.Table == name && (schema == "" || t.Schema == schema) && !missing
		})
		if i < 0 {
			return migrationTable{}, false
		}
		return tables[i], true
	}
	for _, tool := range tools {
		table, ok := has("", tool.table, tool.columns)
		if ok && tool.beside != "" {
			_, ok = has(table.Schema, tool.beside, nil)
		}
		if ok {
			return &tool, table
		}
	}
	return nil, migrationTable{}
}

// applied reads the tool's table. A table that only looks like the tool's is no reason to fail a backup: its query runs
// below a savepoint, and what cannot be read is not known.
func (d *database) applied(ctx context.Context, tool *migrationTool, table migrationTable) (*backup.Migration, error) {
	savepoint, err := d.tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer savepoint.Rollback(ctx)
	name := pgx.Identifier{table.Schema, table.Table}.Sanitize()
	where := tool.where
	if where == "" {
		where = "true"
	}
	rows, err := savepoint.Query(ctx, fmt.Sprintf("SELECT (%s)::text FROM %s WHERE %s ORDER BY %s", tool.applied, name, where, tool.order))
	if err == nil {
		var applied []string
		if applied, err = pgx.CollectRows(rows, pgx.RowTo[string]); err == nil {
			m := &backup.Migration{Tool: tool.name, Table: table.Schema + "." + table.Table, Applied: applied}
			if len(applied) > 0 {
				m.Head = applied[len(applied)-1]
			}
			return m, nil
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	d.warnings = append(d.warnings, fmt.Sprintf("the migrations in %s of %s could not be read: they are not known", name, d.Name))
	return nil, nil
}
