package code

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Branches names the branches that contain the commit sha, sorted.
func (r *Repository) Branches(ctx context.Context, sha string) ([]string, error) {
	refs, err := r.git.Branches()
	if err != nil {
		return nil, fmt.Errorf("branches of %s: %w", sha, err)
	}
	without := map[plumbing.Hash]bool{}
	var names []string
	err = refs.ForEach(func(ref *plumbing.Reference) error {
		found, err := r.contains(ctx, ref.Hash(), plumbing.NewHash(sha), without)
		if found {
			names = append(names, ref.Name().Short())
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("branches of %s: %w", sha, err)
	}
	slices.Sort(names)
	return names, nil
}

// Branch names the one branch by which a manifest knows the commit sha: the
// deploy branch if that contains it, else the first that does, else "".
func (r *Repository) Branch(ctx context.Context, sha, deploy string) (string, error) {
	names, err := r.Branches(ctx, sha)
	switch {
	case err != nil:
		return "", err
	case slices.Contains(names, deploy):
		return deploy, nil
	case len(names) > 0:
		return names[0], nil
	}
	return "", nil
}

// contains tells whether want is head or an ancestor of it. Commits in without
// are known not to descend from want; a walk that fails to find it adds to them.
func (r *Repository) contains(ctx context.Context, head, want plumbing.Hash, without map[plumbing.Hash]bool) (bool, error) {
	cut, err := r.shallow()
	if err != nil {
		return false, err
	}
	seen := map[plumbing.Hash]bool{}
	for todo := []plumbing.Hash{head}; len(todo) > 0; {
		hash := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if hash == want {
			return true, nil
		}
		if seen[hash] || without[hash] {
			continue
		}
		seen[hash] = true
		if err := ctx.Err(); err != nil {
			return false, err
		}
		c, err := r.commit(hash)
		if err != nil {
			return false, err
		}
		if !cut[hash] {
			todo = append(todo, c.ParentHashes...)
		}
	}
	for hash := range seen {
		without[hash] = true
	}
	return false, nil
}

// shallow is the set of commits at which a shallow repository's history ends.
func (r *Repository) shallow() (map[plumbing.Hash]bool, error) {
	cut := map[plumbing.Hash]bool{}
	for _, repo := range r.all() {
		hashes, err := repo.store.Shallow()
		if err != nil {
			return nil, fmt.Errorf("read the shallow file: %w", err)
		}
		for _, hash := range hashes {
			cut[hash] = true
		}
	}
	return cut, nil
}

// history is what a bundle holds, in the order in which it is written.
type history struct {
	objects []packed
	index   map[plumbing.Hash]int           // position in objects
	trees   map[plumbing.Hash]plumbing.Hash // root folder by commit
	missing []plumbing.Hash                 // parents that a shallow repository lacks
}

// packed is one object of a history.
type packed struct {
	hash plumbing.Hash
	base int // position of what the object was in the first parent, or -1
}

// add appends an object; base, if it is there, is what the object was before.
func (h *history) add(hash, base plumbing.Hash) {
	at := -1
	if i, ok := h.index[base]; ok {
		at = i
	}
	h.index[hash] = len(h.objects)
	h.objects = append(h.objects, packed{hash, at})
}

func (h *history) has(hash plumbing.Hash) bool {
	_, ok := h.index[hash]
	return ok
}

// step is a commit whose parents are being visited.
type step struct {
	hash, tree plumbing.Hash
	parents    []plumbing.Hash
	next       int
}

// history lists the commit tip, its ancestors, and all that they hold, parents
// before children. The order depends on the commits alone, and the history of
// a first parent is a prefix of its child's.
func (r *Repository) history(ctx context.Context, tip plumbing.Hash) (*history, error) {
	h := &history{index: map[plumbing.Hash]int{}, trees: map[plumbing.Hash]plumbing.Hash{}}
	cut, err := r.shallow()
	if err != nil {
		return nil, err
	}
	first, err := r.step(h, tip, cut)
	if err != nil {
		return nil, err
	}
	for stack := []step{first}; len(stack) > 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at := &stack[len(stack)-1]
		if at.next < len(at.parents) {
			parent := at.parents[at.next]
			at.next++
			if h.has(parent) {
				continue
			}
			s, err := r.step(h, parent, cut)
			if err != nil {
				return nil, err
			}
			stack = append(stack, s)
			continue
		}
		if err := r.addCommit(h, *at); err != nil {
			return nil, fmt.Errorf("commit %s: %w", at.hash, err)
		}
		stack = stack[:len(stack)-1]
	}
	slices.SortFunc(h.missing, func(a, b plumbing.Hash) int { return slices.Compare(a[:], b[:]) })
	h.missing = slices.Compact(h.missing)
	return h, nil
}

// step reads a commit; one at which the history is cut gets no parents.
func (r *Repository) step(h *history, hash plumbing.Hash, cut map[plumbing.Hash]bool) (step, error) {
	c, err := r.commit(hash)
	if err != nil {
		return step{}, err
	}
	if cut[hash] {
		h.missing = append(h.missing, c.ParentHashes...)
		return step{hash: hash, tree: c.TreeHash}, nil
	}
	return step{hash: hash, tree: c.TreeHash, parents: c.ParentHashes}, nil
}

// addCommit adds a commit whose parents are there already.
func (r *Repository) addCommit(h *history, s step) error {
	before := plumbing.ZeroHash
	if len(s.parents) > 0 {
		before = h.trees[s.parents[0]]
	}
	if err := r.addTree(h, s.tree, before); err != nil {
		return err
	}
	h.trees[s.hash] = s.tree
	h.add(s.hash, plumbing.ZeroHash)
	return nil
}

// addTree adds a folder and what is new in it; before is the same folder in
// the first parent, or zero. An object that a parent has is there already, so
// that only what a commit changed is read.
func (r *Repository) addTree(h *history, hash, before plumbing.Hash) error {
	if h.has(hash) {
		return nil
	}
	tree, err := r.tree(hash)
	if err != nil {
		return err
	}
	old := map[string]plumbing.Hash{}
	if !before.IsZero() {
		t, err := r.tree(before)
		if err != nil {
			return err
		}
		for _, e := range t.Entries {
			old[kindOf(e)+e.Name] = e.Hash
		}
	}
	h.add(hash, before)
	for _, e := range tree.Entries {
		switch was := old[kindOf(e)+e.Name]; {
		case e.Mode == filemode.Submodule || h.has(e.Hash):
		case e.Mode == filemode.Dir:
			if err := r.addTree(h, e.Hash, was); err != nil {
				return err
			}
		default:
			h.add(e.Hash, was)
		}
	}
	return nil
}

// kindOf keeps a folder from being compared with a file of the same name.
func kindOf(e object.TreeEntry) string {
	switch e.Mode {
	case filemode.Dir:
		return "tree "
	case filemode.Submodule:
		return "commit "
	}
	return "blob "
}

// submodules lists the paths in a commit's tree that stand for a commit of
// another repository.
func (r *Repository) submodules(ctx context.Context, tree plumbing.Hash) ([]string, error) {
	root, err := r.tree(tree)
	if err != nil {
		return nil, err
	}
	walk := object.NewTreeWalker(root, true, nil)
	walk.SkipPathValidation()
	defer walk.Close()
	var paths []string
	for {
		path, entry, err := walk.Next()
		switch {
		case errors.Is(err, io.EOF):
			return paths, nil
		case err != nil:
			return nil, fmt.Errorf("list submodules: %w", err)
		case entry.Mode == filemode.Submodule:
			paths = append(paths, path)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}
