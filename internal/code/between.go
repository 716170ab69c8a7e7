package code

import (
	"container/heap"
	"context"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// slack is how many commits are still looked at when all that wait are known
// to be common: with wrong clocks a common one may hide behind those. git's
// own limit_list goes on for 5; this many take a fraction of a second.
const slack = 5_000

// side tells from which of two commits another one is reached.
type side uint8

const (
	fromSide side = 1 << iota
	toSide
	bothSides = fromSide | toSide
)

// reached is a commit on the way back from two.
type reached struct {
	hash    plumbing.Hash
	when    int64 // committed at, Unix time
	order   int   // of being reached
	parents []plumbing.Hash
	sides   side
	waiting bool
	lacks   bool // parents, because the history is shallow
}

// newest is a heap of commits, the newest at its top.
type newest []*reached

func (n newest) Len() int { return len(n) }
func (n newest) Less(i, j int) bool {
	if n[i].when != n[j].when {
		return n[i].when > n[j].when
	}
	return n[i].order < n[j].order
}
func (n newest) Swap(i, j int) { n[i], n[j] = n[j], n[i] }
func (n *newest) Push(x any)   { *n = append(*n, x.(*reached)) }
func (n *newest) Pop() any {
	old := *n
	last := old[len(old)-1]
	*n = old[:len(old)-1]
	return last
}

// walk goes back from two commits at once, newest first, until only commits
// wait that both have.
type walk struct {
	repo   *Repository
	cut    map[plumbing.Hash]bool
	seen   map[plumbing.Hash]*reached
	heap   newest
	single int // of those that wait, how many only one side has
}

// between lists the commits that only one of two has, newest first and
// children before parents. shallow says that the history of one of them ends
// before a common ancestor is found, so that commits may be missing.
func (r *Repository) between(ctx context.Context, from, to plumbing.Hash) (only []*reached, shallow bool, err error) {
	cut, err := r.shallow()
	if err != nil {
		return nil, false, err
	}
	w := &walk{repo: r, cut: cut, seen: map[plumbing.Hash]*reached{}}
	if err := w.reach(from, fromSide); err != nil {
		return nil, false, err
	}
	if err := w.reach(to, toSide); err != nil {
		return nil, false, err
	}
	for left := slack; len(w.heap) > 0 && left > 0; {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if w.single == 0 {
			left--
		}
		c := heap.Pop(&w.heap).(*reached)
		c.waiting = false
		if c.sides != bothSides {
			w.single--
		}
		for _, parent := range c.parents {
			if err := w.reach(parent, c.sides); err != nil {
				return nil, false, err
			}
		}
	}
	only = w.only()
	return only, slices.ContainsFunc(only, func(c *reached) bool { return c.lacks }), nil
}

// reach notes that a commit is reached from sides. One that was passed already
// waits again when a side is new to it.
func (w *walk) reach(hash plumbing.Hash, sides side) error {
	c, known := w.seen[hash]
	if !known {
		commit, err := w.repo.commit(hash)
		if err != nil {
			return err
		}
		c = &reached{hash: hash, when: commit.Committer.When.Unix(), order: len(w.seen), parents: slices.Clone(commit.ParentHashes)}
		if w.cut[hash] {
			c.parents = slices.DeleteFunc(c.parents, func(parent plumbing.Hash) bool { return !w.has(parent) })
			c.lacks = len(c.parents) < len(commit.ParentHashes)
		}
		w.seen[hash] = c
	}
	now := c.sides | sides
	if now == c.sides {
		return nil
	}
	if c.waiting && now == bothSides {
		w.single--
	}
	c.sides = now
	if !c.waiting {
		c.waiting = true
		if now != bothSides {
			w.single++
		}
		heap.Push(&w.heap, c)
	}
	return nil
}

// has tells whether a parent of a shallow commit came from elsewhere.
func (w *walk) has(hash plumbing.Hash) bool {
	_, err := w.repo.commit(hash)
	return err == nil
}

// only sorts the commits of one side alone: newest first, but never a parent
// before its child, whatever the clocks were.
func (w *walk) only() []*reached {
	children := map[plumbing.Hash]int{}
	for _, c := range w.seen {
		if c.sides != bothSides {
			for _, parent := range c.parents {
				children[parent]++
			}
		}
	}
	var ready newest
	for _, c := range w.seen {
		if c.sides != bothSides && children[c.hash] == 0 {
			ready = append(ready, c)
		}
	}
	heap.Init(&ready)
	var sorted []*reached
	for len(ready) > 0 {
		c := heap.Pop(&ready).(*reached)
		sorted = append(sorted, c)
		for _, hash := range c.parents {
			parent := w.seen[hash]
			children[hash]--
			if children[hash] == 0 && parent.sides != bothSides {
				heap.Push(&ready, parent)
			}
		}
	}
	return sorted
}
