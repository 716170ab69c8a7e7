package code

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
)

// Create makes a repository without a commit in the empty folder dir; close
// it after use.
func Create(dir string) (*Repository, error) {
	store := newStorage(dir)
	_, err := git.Init(store, nil)
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, fmt.Errorf("create git repository %q: %w", dir, err)
	}
	return Open(dir)
}

// Unbundle makes a repository in the empty folder dir of a bundle as
// [Repository.Bundle] writes it; close it after use. Its HEAD is the bundle's
// commit. The branch of the bundle is not taken over: where that branch is
// now, a bundle does not know. An error about the bundle wraps ErrDamaged.
func Unbundle(ctx context.Context, bundle io.Reader, dir string) (*Repository, error) {
	r, err := Create(dir)
	if err != nil {
		return nil, err
	}
	if err := r.unbundle(ctx, bufio.NewReader(bundle)); err != nil {
		return nil, errors.Join(fmt.Errorf("unpack the bundle: %w", err), r.Close())
	}
	return r, nil
}

func (r *Repository) unbundle(ctx context.Context, bundle *bufio.Reader) error {
	head, missing, err := bundleHead(bundle)
	if err != nil {
		return err
	}
	pack, err := r.store.PackfileWriter()
	if err != nil {
		return err
	}
	_, copied := io.Copy(pack, readerWithContext{ctx, bundle})
	if err := pack.Close(); copied == nil && err != nil {
		copied = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if copied != nil {
		return copied
	}
	r.store.Reindex()
	if _, err := r.commit(head); err != nil {
		return err
	}
	if len(missing) > 0 {
		// HEAD stays unborn: a remote is not told that its history is here.
		return r.cutBefore(ctx, head, missing)
	}
	return r.store.SetReference(plumbing.NewHashReference(plumbing.HEAD, head))
}

// bundleHead reads what stands before a bundle's pack: the commit, and those
// that the pack lacks. Source: git's gitformat-bundle, version 2.
func bundleHead(bundle *bufio.Reader) (head plumbing.Hash, missing map[plumbing.Hash]bool, err error) {
	line, err := bundle.ReadString('\n')
	if err == nil && line != "# v2 git bundle\n" {
		err = errors.New("it is no git bundle of version 2")
	}
	missing = map[plumbing.Hash]bool{}
	for err == nil {
		if line, err = bundle.ReadString('\n'); err != nil || line == "\n" {
			break
		}
		text, cut := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-")
		sha, _, _ := strings.Cut(text, " ")
		switch {
		case !plumbing.IsHash(sha):
			err = fmt.Errorf("line %q of its head is not understood", text)
		case cut:
			missing[plumbing.NewHash(sha)] = true
		default:
			head = plumbing.NewHash(sha)
		}
	}
	if err == nil && head.IsZero() {
		err = errors.New("it names no commit")
	}
	if err != nil {
		return plumbing.ZeroHash, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return head, missing, nil
}

// cutBefore notes, as git does in the file shallow, the commits from which on
// the history up to head is there.
func (r *Repository) cutBefore(ctx context.Context, head plumbing.Hash, missing map[plumbing.Hash]bool) error {
	var cut []plumbing.Hash
	seen := map[plumbing.Hash]bool{head: true}
	for todo := []plumbing.Hash{head}; len(todo) > 0; {
		hash := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := r.commit(hash)
		if err != nil {
			return err
		}
		lacks := false
		for _, parent := range c.ParentHashes {
			lacks = lacks || missing[parent]
			if !missing[parent] && !seen[parent] {
				seen[parent] = true
				todo = append(todo, parent)
			}
		}
		if lacks {
			cut = append(cut, hash)
		}
	}
	return r.store.SetShallow(cut)
}

// readerWithContext ends with the context's error once that is done.
type readerWithContext struct {
	ctx context.Context
	io.Reader
}

func (r readerWithContext) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
