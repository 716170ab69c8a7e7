package code_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/code"
)

// history makes commits without a work tree, whatever their clocks say.
type history struct {
	t     *testing.T
	dir   string
	store *filesystem.Storage
	begun time.Time
}

func newHistory(t *testing.T) *history {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "app")
	r, err := code.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	store := filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRUDefault())
	return &history{t: t, dir: dir, store: store, begun: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
}

func (h *history) put(encode func(plumbing.EncodedObject) error) plumbing.Hash {
	h.t.Helper()
	obj := h.store.NewEncodedObject()
	if err := encode(obj); err != nil {
		h.t.Fatal(err)
	}
	hash, err := h.store.SetEncodedObject(obj)
	if err != nil {
		h.t.Fatal(err)
	}
	return hash
}

func (h *history) file(content string) plumbing.Hash {
	h.t.Helper()
	return h.put(func(obj plumbing.EncodedObject) error {
		obj.SetType(plumbing.BlobObject)
		w, err := obj.Writer()
		if err != nil {
			return err
		}
		_, err = w.Write([]byte(content))
		return errors.Join(err, w.Close())
	})
}

// folder stores a folder of the files whose paths begin with prefix.
func (h *history) folder(files map[string]string, prefix string) plumbing.Hash {
	h.t.Helper()
	tree := &object.Tree{}
	seen := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		rest, inside := strings.CutPrefix(path, prefix)
		name, _, deeper := strings.Cut(rest, "/")
		if !inside || seen[name] {
			continue
		}
		seen[name] = true
		e := object.TreeEntry{Name: name, Mode: filemode.Regular}
		if deeper {
			e.Mode, e.Hash = filemode.Dir, h.folder(files, prefix+name+"/")
		} else {
			e.Hash = h.file(files[path])
		}
		tree.Entries = append(tree.Entries, e)
	}
	slices.SortFunc(tree.Entries, func(a, b object.TreeEntry) int { // as git sorts: a folder's name ends in a slash
		return strings.Compare(a.Name+map[bool]string{true: "/"}[a.Mode == filemode.Dir], b.Name+map[bool]string{true: "/"}[b.Mode == filemode.Dir])
	})
	return h.put(tree.Encode)
}

// commit makes one so many minutes after the first.
func (h *history) commit(minute int, subject string, files map[string]string, parents ...string) string {
	h.t.Helper()
	who := object.Signature{Name: "Ada", Email: "ada@example.com", When: h.begun.Add(time.Duration(minute) * time.Minute)}
	c := &object.Commit{Author: who, Committer: who, Message: subject + "\n", TreeHash: h.folder(files, "")}
	for _, parent := range parents {
		c.ParentHashes = append(c.ParentHashes, plumbing.NewHash(parent))
	}
	return h.put(c.Encode).String()
}

func (h *history) branch(name, sha string) {
	h.t.Helper()
	if err := h.store.SetReference(plumbing.NewHashReference(plumbing.NewBranchReferenceName(name), plumbing.NewHash(sha))); err != nil {
		h.t.Fatal(err)
	}
}

// subjects are those of a diff's commits, each with the side that it is on.
func subjects(d *code.Diff) string {
	var s []string
	for _, c := range d.Commits {
		s = append(s, c.In+":"+c.Subject)
	}
	return strings.Join(s, " ")
}

// lines are a diff's migrations, one a line.
func lines(d *code.Diff) string {
	var s []string
	for _, m := range d.Migrations {
		applied := "?"
		if m.Applied != nil {
			applied = map[bool]string{true: "applied", false: "not applied"}[*m.Applied]
		}
		line := fmt.Sprintf("%s %s (%s) %s", m.Change, m.Path, m.Tool, applied)
		if m.RenamedFrom != "" {
			line += ", was " + m.RenamedFrom
		}
		s = append(s, line)
	}
	return strings.Join(s, "\n")
}

func TestDiffCommits(t *testing.T) {
	h := newHistory(t)
	a := h.commit(1, "a", nil)
	b := h.commit(2, "b", nil, a)
	side := h.commit(3, "side", nil, a)
	merge := h.commit(4, "merge", nil, b, side)
	top := h.commit(5, "top", nil, merge)
	// A criss-cross: each of two merges has both b and side.
	left := h.commit(6, "left", nil, b, side)
	right := h.commit(7, "right", nil, side, b)
	leftTop := h.commit(8, "leftTop", nil, left)
	// Wrong clocks: children older than their parents.
	late := h.commit(900, "late", nil, b)
	early := h.commit(-900, "early", nil, late)
	earlier := h.commit(-950, "earlier", nil, early)
	// All at once.
	one := h.commit(20, "one", nil, top)
	two := h.commit(20, "two", nil, one)
	three := h.commit(20, "three", nil, one, two)
	other := h.commit(1, "other", nil)
	r := open(t, h.dir)
	tests := []struct {
		name, from, to string
		direction      code.Direction
		commits        string
	}{
		{"same", top, top, code.Same, ""},
		{"ahead", a, b, code.Ahead, "to:b"},
		{"behind", b, a, code.Behind, "from:b"},
		{"over a merge", a, top, code.Ahead, "to:top to:merge to:side to:b"},
		{"from within a merge", b, top, code.Ahead, "to:top to:merge to:side"},
		{"diverged", b, side, code.Diverged, "to:side from:b"},
		{"criss-cross", left, right, code.Diverged, "to:right from:left"},
		{"criss-cross, further", right, leftTop, code.Diverged, "to:leftTop from:right to:left"},
		{"wrong clocks", b, earlier, code.Ahead, "to:earlier to:early to:late"},
		{"wrong clocks, diverged", late, early, code.Ahead, "to:early"},
		{"wrong clocks, back", earlier, top, code.Diverged, "to:top to:merge to:side from:earlier from:early from:late"},
		{"at once", top, three, code.Ahead, "to:three to:two to:one"},
		{"unrelated", b, other, code.Diverged, "from:b to:other from:a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := r.Diff(t.Context(), tt.from, tt.to, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d.Direction != tt.direction {
				t.Errorf("got %s, want %s", d.Direction, tt.direction)
			}
			if got := subjects(d); got != tt.commits {
				t.Errorf("got  %q\nwant %q", got, tt.commits)
			}
		})
	}
	if _, err := r.Diff(t.Context(), a, "nowhere", nil); !errors.Is(err, code.ErrNoCommit) {
		t.Errorf("unknown commit: got %v, want ErrNoCommit", err)
	}
}

// A common ancestor that a wrong clock dates after its own children is still found behind many others.
func TestDiffHiddenAncestor(t *testing.T) {
	h := newHistory(t)
	hidden := h.commit(100_000, "hidden", nil)
	common := h.commit(1, "common", nil, hidden)
	for i := range 300 {
		common = h.commit(2+i, "common", nil, common)
	}
	from := h.commit(1000, "from", nil, common)
	to := h.commit(1001, "to", nil, common, hidden)
	d, err := open(t, h.dir).Diff(t.Context(), from, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := subjects(d), "to:to from:from"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDiffChanges(t *testing.T) {
	rails := func(version string) *backup.Migration {
		return &backup.Migration{Tool: "Rails", Table: "public.schema_migrations", Head: version, Applied: []string{"1", "2", version}}
	}
	const dir = "db/migrate/"
	tests := []struct {
		name     string
		from, to map[string]string
		applied  *backup.Migration
		want     string
		pending  string
	}{
		{"none", map[string]string{"README": "a"}, map[string]string{"README": "b"}, rails("3"), "", "? ?"},
		{"none, but there are some", map[string]string{"README": "a", dir + "1_a.rb": ""}, map[string]string{"README": "b", dir + "1_a.rb": ""}, rails("3"), "", "0 0"},
		{"added", nil, map[string]string{dir + "4_add.rb": "x"}, rails("3"), "added db/migrate/4_add.rb (Rails) not applied", "0 1"},
		{"added, in the data already", nil, map[string]string{dir + "3_add.rb": "x"}, rails("3"), "added db/migrate/3_add.rb (Rails) applied", "0 0"},
		{"changed after it was applied", map[string]string{dir + "1_a.rb": "x"}, map[string]string{dir + "1_a.rb": "y"}, rails("3"),
			"changed db/migrate/1_a.rb (Rails) applied", "0 0"},
		{"removed", map[string]string{dir + "1_a.rb": "x"}, nil, rails("3"), "removed db/migrate/1_a.rb (Rails) applied", "0 0"},
		{"renamed", map[string]string{dir + "1_a.rb": "x"}, map[string]string{dir + "5_a.rb": "x"}, rails("3"),
			"renamed db/migrate/5_a.rb (Rails) not applied, was db/migrate/1_a.rb", "0 1"},
		{"renamed and changed", map[string]string{dir + "1_a.rb": "x"}, map[string]string{dir + "1_b.rb": "y"}, rails("3"),
			"added db/migrate/1_b.rb (Rails) applied\nremoved db/migrate/1_a.rb (Rails) applied", "0 0"},
		{"equal files swapped", map[string]string{dir + "1_a.rb": "", dir + "2_b.rb": ""}, map[string]string{dir + "3_c.rb": "", dir + "1_a.rb": ""}, rails("3"),
			"renamed db/migrate/3_c.rb (Rails) applied, was db/migrate/2_b.rb", "0 0"},
		{"order", map[string]string{dir + "1_a.rb": "x", dir + "2_b.rb": "b"},
			map[string]string{dir + "1_a.rb": "y", dir + "6_f.rb": "f", dir + "5_e.rb": "e"}, rails("3"),
			"added db/migrate/5_e.rb (Rails) not applied\nadded db/migrate/6_f.rb (Rails) not applied\n" +
				"changed db/migrate/1_a.rb (Rails) applied\nremoved db/migrate/2_b.rb (Rails) applied", "0 2"},
		{"the data is behind its own code", map[string]string{dir + "7_g.rb": "x"}, map[string]string{dir + "7_g.rb": "x", dir + "8_h.rb": "y"}, rails("3"),
			"added db/migrate/8_h.rb (Rails) not applied", "1 2"},
		{"no table", nil, map[string]string{dir + "4_add.rb": "x"}, nil, "added db/migrate/4_add.rb (Rails) ?", "? ?"},
		{"another tool's table", nil, map[string]string{dir + "4_add.rb": "x"}, &backup.Migration{Tool: "Django", Applied: []string{"a.b"}},
			"added db/migrate/4_add.rb (Rails) ?", "? ?"},
		{"a folder becomes a file", map[string]string{"db/migrate/1_a.rb/x": "x"}, map[string]string{"db/migrate/1_a.rb": "x"}, nil,
			"added db/migrate/1_a.rb (Rails) ?", "? ?"},
		{"other people's code", nil, map[string]string{"vendor/gems/db/migrate/1_a.rb": "x", "web/node_modules/x/migrations/1.sql": ""}, nil, "", "? ?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHistory(t)
			from := h.commit(1, "from", tt.from)
			to := h.commit(2, "to", tt.to, from)
			d, err := open(t, h.dir).Diff(t.Context(), from, to, tt.applied)
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(d); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if got := pending(d.FromPending) + " " + pending(d.ToPending); got != tt.pending {
				t.Errorf("pending: got %s, want %s", got, tt.pending)
			}
		})
	}
}

func pending(n *int) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}

func TestUnbundle(t *testing.T) {
	h := newHistory(t)
	a := h.commit(1, "a", map[string]string{"db/migrate/1_a.rb": "x"})
	b := h.commit(2, "b", map[string]string{"db/migrate/1_a.rb": "x", "db/migrate/2_b.rb": "y"}, a)
	h.branch("main", b)
	app := open(t, h.dir)
	path, _, _ := bundle(t, app, b)

	content, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	dir := t.TempDir()
	r, err := code.Unbundle(t.Context(), content, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := git(t, dir, "rev-parse", "HEAD"); got != b {
		t.Errorf("HEAD: got %s, want %s", got, b)
	}
	d, err := r.Diff(t.Context(), b, a, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := subjects(d)+" "+lines(d), "from:b removed db/migrate/2_b.rb (Rails) ?"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := r.Resolve("main"); !errors.Is(err, code.ErrNoCommit) {
		t.Errorf("the bundle's branch: got %v, want ErrNoCommit", err)
	}

	// The app was force-pushed: what the backup is of, only the bundle has.
	c := newHistory(t)
	c.branch("main", c.commit(9, "forced", nil, c.commit(1, "a", map[string]string{"db/migrate/1_a.rb": "x"})))
	for _, from := range []string{c.dir, "file://" + c.dir} {
		r := unbundle(t, path)
		if err := r.Fetch(t.Context(), from); err != nil {
			t.Fatal(err)
		}
		d, err := r.Diff(t.Context(), b, "main", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := subjects(d), "to:forced from:b"; got != want || d.Direction != code.Diverged {
			t.Errorf("%s: got %s %q, want diverged %q", from, d.Direction, got, want)
		}
	}
}

func unbundle(t *testing.T, path string) *code.Repository {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := code.Unbundle(t.Context(), f, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}
