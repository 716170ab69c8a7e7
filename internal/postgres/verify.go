package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/postgres/archive"
)

// maxDifferences is how many differences a person reads.
const maxDifferences = 10

// verifier compares one database with its backup.
type verifier struct {
	server *Server
	source Source
	backup backup.Database
	name   string // of the database now
	exact  bool   // if that can be
	head   *archive.Head
	conn   *pgx.Conn
	backup.Proof
}

// Verify compares a server that Load has filled with the backup: the objects of each database and their owners and grants,
// the number of rows of each table, sequences, large objects, and applied migrations. With exact it dumps all databases
// again, and compares the digest of every table. What differs is in the proof; an error says that it was not possible to compare.
func (s *Server) Verify(ctx context.Context, service backup.Service, source Source, exact bool) (backup.Proof, error) {
	proof := backup.Proof{Exact: exact}
	for i, d := range service.Databases {
		v := &verifier{server: s, source: source, backup: d, name: d.Name, exact: exact}
		if i == 0 {
			v.name = s.Database
		}
		if err := v.verify(ctx); err != nil {
			return backup.Proof{}, fmt.Errorf("verify database %q: %w", v.name, err)
		}
		proof.Tables += v.Tables
		proof.Rows += v.Rows
		proof.Exact = proof.Exact && v.Exact
		proof.Unknown = append(proof.Unknown, v.Unknown...)
		for _, difference := range v.Differences {
			if len(service.Databases) > 1 {
				difference = fmt.Sprintf("database %q: %s", v.name, difference)
			}
			proof.Differences = append(proof.Differences, difference)
		}
	}
	if more := len(proof.Differences) - maxDifferences; more > 0 {
		proof.Differences = append(proof.Differences[:maxDifferences], fmt.Sprintf("and %s more", humanize.Comma(int64(more))))
	}
	return proof, nil
}

func (v *verifier) verify(ctx context.Context) (err error) {
	if v.conn, err = v.server.connect(ctx, v.name); err != nil {
		return err
	}
	defer v.conn.Close(context.WithoutCancel(ctx))
	if v.backup.Dump.Opaque != nil {
		v.note("pg_restore loaded %s without an error, but its rows are not known: its dump could not be read when the backup was made", v.name)
		return v.migration(ctx)
	}
	if v.head, err = readHead(ctx, v.source, v.backup.Dump.Head); err != nil {
		return err
	}
	again, err := v.dump(ctx)
	if err != nil {
		return err
	}
	if again.head == nil {
		v.note("the objects of %s were not compared: this program does not know the format of the new server's dumps", v.name)
	} else {
		v.Differences = append(v.Differences, compareHeads(v.head, again.head)...)
	}
	if v.Exact = v.exact && again.head != nil; v.Exact {
		v.digests(again)
	} else if err := v.counts(ctx); err != nil {
		return err
	}
	if err := v.sequences(ctx); err != nil {
		return err
	}
	if err := v.largeObjects(ctx); err != nil {
		return err
	}
	return v.migration(ctx)
}

func (v *verifier) differs(format string, args ...any) {
	v.Differences = append(v.Differences, fmt.Sprintf(format, args...))
}

func (v *verifier) note(format string, args ...any) {
	v.Unknown = append(v.Unknown, fmt.Sprintf(format, args...))
}

// redump is what a new dump of the database tells.
type redump struct {
	database               // its tables and blocks
	head     *archive.Head // nil when its format is not known
}

// dump dumps the database with the new server's own pg_dump: all of it for an exact proof, otherwise the schema.
func (v *verifier) dump(ctx context.Context) (*redump, error) {
	appName := "dokku-backup-" + rand.Text()
	var options []string
	if !v.exact {
		options = []string{"--schema-only"}
	}
	argv := func(out string) []string { return dumpArgv(v.server.User, v.name, out, options...) }
	again := &redump{}
	if err := v.server.Tools.Run(ctx, argv, v.server.env(appName), again.read); err != nil {
		v.server.terminate(v.name, appName)
		return nil, fmt.Errorf("dump for comparison: %w", err)
	}
	return again, nil
}

func (r *redump) read(out io.Reader) error {
	in, err := archive.NewReader(out)
	var unknown *archive.VersionError
	if errors.As(err, &unknown) {
		_, err := io.Copy(io.Discard, in.Raw())
		return err
	}
	if err != nil {
		return err
	}
	for {
		block, err := in.Next()
		if err == io.EOF {
			r.head = in.Head()
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.storeBlock(in, block, fingerprints{}); err != nil {
			return err
		}
	}
}

// digests compares the rows of all tables, and the large objects, with those of the new dump.
func (v *verifier) digests(again *redump) {
	now := map[string]*backup.Content{}
	for _, t := range again.Tables {
		now[tableKey(t.Schema, t.Name)] = t.Content
	}
	for _, g := range v.groups() {
		v.Tables += len(g.tables)
		v.Rows += g.rows
		var rows int64
		var is, was []string
		for _, t := range g.tables {
			was = append(was, t.Digest)
			if c := now[tableKey(t.Schema, t.Name)]; c != nil {
				rows += c.Rows
				is = append(is, c.Digest)
			}
		}
		switch {
		case rows != g.rows:
			v.differs("table %s has %s, the backup has %s", g.name, plural(int(rows), "row"), humanize.Comma(g.rows))
		case sum(is).Cmp(sum(was)) != 0:
			v.differs("table %s has the %s of the backup, but other content in them", g.name, plural(int(rows), "row"))
		}
	}
	v.blocks(again)
}

// sum adds digests of rows, and so is the digest of all these rows together: see backup.RowDigest.
func sum(digests []string) *big.Int {
	total := new(big.Int)
	for _, d := range digests {
		if n, ok := new(big.Int).SetString(strings.TrimPrefix(d, backup.RowDigestPrefix), 16); ok {
			total.Add(total, n)
		}
	}
	return total.Mod(total, new(big.Int).Lsh(big.NewInt(1), 128))
}

// blocks compares what is not rows. Another major version may cut it into other blocks.
func (v *verifier) blocks(again *redump) {
	if !sameMajor(v.head, again.head) {
		if len(v.backup.Dump.Blocks) > 0 {
			v.note("the content of the large objects of %s was not compared: the new server is of another major version", v.name)
		}
		return
	}
	digests := func(blocks []backup.Block) (all []string) {
		for _, b := range blocks {
			all = append(all, b.Content.Digest)
		}
		slices.Sort(all)
		return all
	}
	if !slices.Equal(digests(again.Dump.Blocks), digests(v.backup.Dump.Blocks)) {
		v.differs("the large objects of %s are not those of the backup", v.name)
	}
}

// group is a table, or all partitions that were loaded through their root.
type group struct {
	name   string // for messages
	from   string // SQL
	shared bool   // with rows that are not from the backup: an extension's own table
	tables []backup.Table
	rows   int64
}

// groups are the tables in the backup's order.
func (v *verifier) groups() []*group {
	entries := rowEntries(v.head)
	var groups []*group
	byRoot := map[string]*group{}
	for _, t := range v.backup.Tables {
		e := entries[t.DumpID]
		g := byRoot[e.root]
		if g == nil {
			g = &group{name: t.Schema + "." + t.Name, from: "ONLY " + pgx.Identifier{t.Schema, t.Name}.Sanitize(), shared: !e.made}
			if e.root != "" {
				g.name, g.from, g.shared = e.root, e.root, false
				byRoot[e.root] = g
			}
			groups = append(groups, g)
		}
		g.tables = append(g.tables, t)
		g.rows += t.Rows
	}
	return groups
}

// counts compares the number of rows of each table.
func (v *verifier) counts(ctx context.Context) error {
	for _, g := range v.groups() {
		var rows int64
		if err := v.conn.QueryRow(ctx, "SELECT count(*) FROM "+g.from).Scan(&rows); err != nil {
			return fmt.Errorf("count rows of table %s: %w", g.name, v.server.explain(ctx, v.conn, err))
		}
		v.Tables += len(g.tables)
		v.Rows += g.rows
		if rows != g.rows && !(g.shared && rows > g.rows) {
			v.differs("table %s has %s, the backup has %s", g.name, plural(int(rows), "row"), humanize.Comma(g.rows))
		}
	}
	return nil
}

// setval is the end of what dumpSequenceData in src/bin/pg_dump/pg_dump.c writes.
const setval = `, (-?\d+), (true|false)\);\n?$`

// sequences compares each sequence with the statement that set it.
func (v *verifier) sequences(ctx context.Context) error {
	form := regexp.MustCompile(setval)
	for _, e := range v.head.Entries {
		if e.Desc != "SEQUENCE SET" {
			continue
		}
		name := e.Namespace + "." + e.Tag
		m := form.FindStringSubmatch(e.Defn)
		if m == nil {
			v.note("sequence %s was not compared: the backup sets it in a way that is not known", name)
			continue
		}
		var value int64
		var called bool
		err := v.conn.QueryRow(ctx, "SELECT last_value, is_called FROM "+pgx.Identifier{e.Namespace, e.Tag}.Sanitize()).Scan(&value, &called)
		if err != nil {
			return fmt.Errorf("read sequence %s: %w", name, v.server.explain(ctx, v.conn, err))
		}
		if got := []string{strconv.FormatInt(value, 10), strconv.FormatBool(called)}; !slices.Equal(got, m[1:]) {
			v.differs("sequence %s is at %s, in the backup at %s", name, position(got), position(m[1:]))
		}
	}
	return nil
}

func position(state []string) string {
	if state[1] == "false" {
		return state[0] + ", not yet used"
	}
	return state[0]
}

// largeObjects compares the number of large objects. Their entries: dumpLO in src/bin/pg_dump/pg_dump.c; since PostgreSQL 17 one
// entry makes several, with an oid a line.
func (v *verifier) largeObjects(ctx context.Context) error {
	var want, got int
	for _, e := range v.head.Entries {
		switch e.Desc {
		case "BLOB":
			want++
		case "BLOB METADATA":
			want += strings.Count(e.Defn, "\n")
		}
	}
	if err := v.conn.QueryRow(ctx, "SELECT count(*) FROM pg_largeobject_metadata").Scan(&got); err != nil {
		return fmt.Errorf("count large objects: %w", v.server.explain(ctx, v.conn, err))
	}
	if got != want {
		v.differs("%s has %s, the backup has %d", v.name, plural(got, "large object"), want)
	}
	return nil
}

// migration compares the newest applied migration.
func (v *verifier) migration(ctx context.Context) error {
	want := v.backup.Migration
	if want == nil {
		return nil
	}
	got, err := migrationOf(ctx, v.conn)
	if err != nil {
		return fmt.Errorf("read migrations: %w", v.server.explain(ctx, v.conn, err))
	}
	switch {
	case got == nil:
		v.differs("the table of migrations, %s, is missing or cannot be read", want.Table)
	case got.Head != want.Head || len(got.Applied) != len(want.Applied):
		v.differs("%s applied, the newest %q; the backup has %d, the newest %q",
			plural(len(got.Applied), "migration"), got.Head, len(want.Applied), want.Head)
	}
	return nil
}
