package code

import (
	"context"
	"io"
	"path"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// maxText is how many bytes of a file are read to recognise it.
const maxText = 1 << 20

// changed is a file that differs between two trees; a hash is zero on the side
// that lacks the file.
type changed struct {
	path     string
	old, new plumbing.Hash
}

// differences calls fn for each file that differs between two folders. Zero
// stands for an empty folder. Folders that are equal are not read.
func (r *Repository) differences(ctx context.Context, old, new plumbing.Hash, dir string, fn func(changed) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	before, err := r.entries(old)
	if err != nil {
		return err
	}
	after, err := r.entries(new)
	if err != nil {
		return err
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			before[name] = plumbing.ZeroHash
		}
	}
	for name, was := range before {
		is := after[name]
		if was == is {
			continue
		}
		at := path.Join(dir, name.name)
		if name.folder {
			err = r.differences(ctx, was, is, at, fn)
		} else {
			err = fn(changed{at, was, is})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entry names a file or a folder within a folder.
type entry struct {
	name   string
	folder bool
}

// entries are the files and folders in a folder; links and submodules are not
// among them.
func (r *Repository) entries(folder plumbing.Hash) (map[entry]plumbing.Hash, error) {
	found := map[entry]plumbing.Hash{}
	if folder.IsZero() {
		return found, nil
	}
	tree, err := r.tree(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range tree.Entries {
		switch e.Mode {
		case filemode.Dir:
			found[entry{e.Name, true}] = e.Hash
		case filemode.Regular, filemode.Executable, filemode.Deprecated:
			found[entry{e.Name, false}] = e.Hash
		}
	}
	return found, nil
}

// text is the content of a file, or its first maxText bytes.
func (r *Repository) text(hash plumbing.Hash) ([]byte, error) {
	_, content, err := r.open(hash)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(io.LimitReader(content, maxText))
}
