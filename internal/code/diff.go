package code

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Direction tells where a commit lies as seen from another one.
type Direction string

// The directions.
const (
	Same     Direction = "same"
	Ahead    Direction = "ahead"    // a descendant
	Behind   Direction = "behind"   // an ancestor
	Diverged Direction = "diverged" // neither
)

// Diff is what lies between two commits.
type Diff struct {
	From      Commit    `json:"from"`
	To        Commit    `json:"to"`
	Direction Direction `json:"direction"` // of To
	// Shallow says that the history of one of them ends before a common
	// ancestor: commits may be missing, and what looks diverged may not be.
	Shallow    bool        `json:"shallow,omitempty"`
	Commits    []Between   `json:"commits"`    // newest first
	Migrations []Migration `json:"migrations"` // added, changed or renamed, removed; by path
	// Applied is the tool whose table may say what is applied, "" for none.
	Applied string `json:"applied_by,omitempty"`
	Table   string `json:"table,omitempty"` // schema-qualified
	// FromPending and ToPending count the migrations that the code of the
	// commit has and the table does not; nil when that is not known.
	FromPending *int `json:"from_pending"`
	ToPending   *int `json:"to_pending"`
}

// Between is a commit that only one of the two commits has in its history.
type Between struct {
	Commit
	In string `json:"in"` // "from" or "to"
}

// Change tells what happened to a file.
type Change string

// The changes. A file that was renamed and changed at once is added and removed.
const (
	Added   Change = "added"
	Changed Change = "changed"
	Renamed Change = "renamed" // its content is the same
	Removed Change = "removed"
)

// Migration is a migration file that differs.
type Migration struct {
	Tool        string `json:"tool"` // as backup.Migration names it, or "plain SQL"
	Path        string `json:"path"`
	RenamedFrom string `json:"renamed_from,omitempty"`
	Change      Change `json:"change"`
	// Applied says whether the table has it (all of it, where a file holds
	// several); nil when that is not known.
	Applied *bool `json:"applied"`
	// Repeatable is a migration that runs again whenever its file is changed.
	Repeatable bool `json:"repeatable,omitempty"`

	hash plumbing.Hash // of the content
}

// Diff tells what lies between the commits that from and to name, and which
// of the migrations the database's own table has, if applied is that table.
// The error wraps ErrNoCommit, ErrAmbiguous or ErrDamaged.
func (r *Repository) Diff(ctx context.Context, from, to string, applied *backup.Migration) (*Diff, error) {
	d := &Diff{Commits: []Between{}, Migrations: []Migration{}}
	var err error
	if d.From, err = r.Resolve(from); err != nil {
		return nil, err
	}
	if d.To, err = r.Resolve(to); err != nil {
		return nil, err
	}
	if err := r.addCommits(ctx, d); err != nil {
		return nil, fmt.Errorf("commits from %s to %s: %w", d.From.Short, d.To.Short, err)
	}
	if err := r.addMigrations(ctx, d, applied); err != nil {
		return nil, fmt.Errorf("migrations from %s to %s: %w", d.From.Short, d.To.Short, err)
	}
	return d, nil
}

func (r *Repository) addCommits(ctx context.Context, d *Diff) error {
	only, shallow, err := r.between(ctx, plumbing.NewHash(d.From.SHA), plumbing.NewHash(d.To.SHA))
	if err != nil {
		return err
	}
	d.Shallow = shallow
	in := map[side]int{}
	for _, c := range only {
		commit, err := r.commit(c.hash)
		if err != nil {
			return err
		}
		in[c.sides]++
		d.Commits = append(d.Commits, Between{describe(commit), map[side]string{fromSide: "from", toSide: "to"}[c.sides]})
	}
	switch {
	case in[fromSide] > 0 && in[toSide] > 0:
		d.Direction = Diverged
	case in[fromSide] > 0:
		d.Direction = Behind
	case in[toSide] > 0:
		d.Direction = Ahead
	default:
		d.Direction = Same
	}
	return nil
}

func (r *Repository) addMigrations(ctx context.Context, d *Diff, applied *backup.Migration) error {
	from, err := r.commit(plumbing.NewHash(d.From.SHA))
	if err != nil {
		return err
	}
	to, err := r.commit(plumbing.NewHash(d.To.SHA))
	if err != nil {
		return err
	}
	k := newRecognizer(r, applied)
	table := newRecord(applied)
	if applied != nil {
		d.Applied, d.Table = applied.Tool, applied.Table
	}
	if table != nil {
		before, err := k.all(ctx, from.TreeHash, table)
		if err != nil {
			return err
		}
		after, err := k.all(ctx, to.TreeHash, table)
		if err != nil {
			return err
		}
		switch {
		case !table.follow(slices.Concat(before, after)):
			table = nil
		case len(before)+len(after) > 0: // else the code keeps its migrations where they are not looked for
			d.FromPending, d.ToPending = table.pending(before), table.pending(after)
		}
	}
	err = r.differences(ctx, from.TreeHash, to.TreeHash, "", func(c changed) error {
		return d.add(k, table, c)
	})
	if err != nil {
		return err
	}
	d.pairRenamed()
	order := map[Change]int{Added: 0, Changed: 1, Renamed: 1, Removed: 2}
	slices.SortFunc(d.Migrations, func(a, b Migration) int {
		return cmp.Or(order[a.Change]-order[b.Change], cmp.Compare(a.Path, b.Path))
	})
	return nil
}

// add notes a file that differs, if it is a migration on either side.
func (d *Diff) add(k *recognizer, table *record, c changed) error {
	m := Migration{Path: c.path, Change: Changed, hash: c.new}
	switch {
	case c.old.IsZero():
		m.Change = Added
	case c.new.IsZero():
		m.Change, m.hash = Removed, c.old
	}
	f, err := k.recognize(c.path, m.hash)
	if err != nil {
		return err
	}
	if f == nil && m.Change == Changed { // no longer
		m.Change, m.hash = Removed, c.old
		if f, err = k.recognize(c.path, c.old); err != nil {
			return err
		}
	}
	if f == nil {
		return nil
	}
	m.Tool, m.Applied, m.Repeatable = f.tool.name, table.applied(f), f.repeatable
	switch {
	case m.Change == Removed:
	case m.Applied == nil:
		d.ToPending = nil
	case d.ToPending != nil && *m.Applied && m.Repeatable && m.Change == Changed:
		*d.ToPending++
	}
	d.Migrations = append(d.Migrations, m)
	return nil
}

// pairRenamed makes one of a removed and an added file of the same content.
func (d *Diff) pairRenamed() {
	removed := map[plumbing.Hash]string{}
	for _, m := range d.Migrations {
		if m.Change == Removed {
			removed[m.hash] = m.Path
		}
	}
	gone := map[string]bool{}
	for i := range d.Migrations {
		m := &d.Migrations[i]
		if was, ok := removed[m.hash]; ok && m.Change == Added {
			m.Change, m.RenamedFrom = Renamed, was
			delete(removed, m.hash)
			gone[was] = true
		}
	}
	d.Migrations = slices.DeleteFunc(d.Migrations, func(m Migration) bool { return m.Change == Removed && gone[m.Path] })
}
