package code

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// found is a file that was recognised as a migration.
type found struct {
	tool   *tool
	keys   [][]string
	before []string // of Alembic
	// repeatable is one of Flyway's that runs again whenever it is changed.
	repeatable bool
}

// recognizer tells which files are migrations.
type recognizer struct {
	repo  *Repository
	tools []*tool
	known map[file]*found
}

type file struct {
	path string
	hash plumbing.Hash
}

// newRecognizer asks the tool first whose table the database has.
func newRecognizer(repo *Repository, applied *backup.Migration) *recognizer {
	all := tools()
	if applied != nil {
		if i := slices.IndexFunc(all, func(t *tool) bool { return t.name == applied.Tool }); i > 0 {
			all = slices.Concat(all[i:i+1], all[:i], all[i+1:])
		}
	}
	return &recognizer{repo: repo, tools: all, known: map[file]*found{}}
}

// recognize looks at a file; nil when it is no migration, undoes one, or lies
// in a folder of other people's code.
func (k *recognizer) recognize(name string, hash plumbing.Hash) (*found, error) {
	at := file{name, hash}
	if f, ok := k.known[at]; ok {
		return f, nil
	}
	f, err := k.look(name, hash)
	if err == nil {
		k.known[at] = f
	}
	return f, err
}

func (k *recognizer) look(name string, hash plumbing.Hash) (*found, error) {
	inside := "/" + name
	if strings.HasSuffix(name, ".down.sql") || strings.Contains(inside, "/node_modules/") || strings.Contains(inside, "/vendor/") {
		return nil, nil
	}
	text, read := "", false
	for _, t := range k.tools {
		groups := t.path.FindStringSubmatch(name)
		if groups == nil {
			continue
		}
		if !read {
			content, err := k.repo.text(hash)
			if err != nil {
				return nil, err
			}
			text, read = string(content), true
		}
		if t.text != nil && !t.text.MatchString(text) {
			continue
		}
		f := &found{tool: t, repeatable: t.name == "Flyway" && strings.HasPrefix(path.Base(name), "R__")}
		if t.keys != nil {
			f.keys = t.keys(groups, text)
		} else {
			f.keys = [][]string{{groups[1]}}
		}
		if t.name == "Alembic" {
			f.before = alembicBefore(text)
		}
		return f, nil
	}
	return nil, nil
}

// all lists the migrations in a commit's tree that are of the tool whose table
// the database has.
func (k *recognizer) all(ctx context.Context, tree plumbing.Hash, of *record) ([]*found, error) {
	var list []*found
	err := k.repo.differences(ctx, plumbing.ZeroHash, tree, "", func(c changed) error {
		if !slices.ContainsFunc(k.tools, func(t *tool) bool { return of.isOf(t) && t.path.MatchString(c.path) }) {
			return nil
		}
		f, err := k.recognize(c.path, c.new)
		if f != nil && of.isOf(f.tool) {
			list = append(list, f)
		}
		return err
	})
	return list, err
}

// record is what the database's own table says was applied.
type record struct {
	migration *backup.Migration
	has       map[string]bool
	head      uint64 // of golang-migrate, whose table holds the newest alone
}

// newRecord returns nil where nothing is known.
func newRecord(m *backup.Migration) *record {
	if m == nil {
		return nil
	}
	r := &record{migration: m, has: map[string]bool{}}
	for _, t := range tools() {
		if t.name != m.Tool {
			continue
		}
		for _, row := range m.Applied {
			if t.row != nil {
				row = t.row(row)
			}
			r.has[row] = true
		}
	}
	if m.Tool == "golang-migrate" {
		head, err := strconv.ParseUint(m.Head, 10, 64)
		if err != nil {
			return nil // no row, or one that is marked dirty
		}
		r.head = head
	}
	return r
}

// isOf tells whether the table is one that the tool writes. The three whose
// table schema_migrations holds plain versions can be told apart by that table
// in part only.
func (r *record) isOf(t *tool) bool {
	plain := []string{"Rails", "Ecto", "dbmate"}
	return r != nil && (t.name == r.migration.Tool || slices.Contains(plain, t.name) && slices.Contains(plain, r.migration.Tool))
}

// follow adds what comes before the heads, for Alembic's table holds heads
// alone. It returns false when scripts are missing in between: then the table
// tells too little.
func (r *record) follow(scripts []*found) bool {
	if r.migration.Tool != "Alembic" {
		return true
	}
	before := map[string][]string{}
	for _, f := range scripts {
		for _, key := range slices.Concat(f.keys...) {
			before[key] = f.before
		}
	}
	todo := slices.Clone(r.migration.Applied)
	for len(todo) > 0 {
		key := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		r.has[key] = true
		earlier, ok := before[key]
		if !ok {
			return false
		}
		for _, k := range earlier {
			if !r.has[k] {
				todo = append(todo, k)
			}
		}
	}
	return true
}

// applied tells whether a migration is in the table; nil when that is not known.
func (r *record) applied(f *found) *bool {
	if !r.isOf(f.tool) {
		return nil
	}
	has := func(key string) bool {
		if f.tool.name == "golang-migrate" {
			n, err := strconv.ParseUint(key, 10, 64)
			return err == nil && n <= r.head
		}
		return r.has[key]
	}
	known := false
	for _, keys := range f.keys {
		if len(keys) == 0 {
			continue
		}
		known = true
		if !slices.ContainsFunc(keys, func(key string) bool { return !has(key) }) {
			return &known
		}
	}
	if !known {
		return nil
	}
	return new(bool)
}

// pending counts the migrations that are not in the table; nil when that is
// not known of each.
func (r *record) pending(list []*found) *int {
	n := 0
	for _, f := range list {
		applied := r.applied(f)
		if applied == nil {
			return nil
		}
		if !*applied {
			n++
		}
	}
	return &n
}
