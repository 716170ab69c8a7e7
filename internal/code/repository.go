// Package code keeps an app's code: it resolves a commit in the app's bare
// repository ($DOKKU_ROOT/<app>), writes that commit with its whole history
// as a git bundle, and tells what lies between two commits.
//
// Start with [Open], then [Repository.Resolve] and [Repository.Bundle]; or
// with [Unbundle], then [Repository.Fetch] and [Repository.Diff].
//
// A repository is only read, through go-git: neither git's program nor its
// configuration is used, so a repository that belongs to another user is read
// like any other (git itself refuses those, see safe.directory). A repository
// that is repacked by somebody else meanwhile is read correctly.
package code

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

var (
	// ErrNoCommit says that a revision names no commit of the repository.
	ErrNoCommit = errors.New("no such commit")
	// ErrAmbiguous says that a short SHA fits several commits.
	ErrAmbiguous = errors.New("short SHA fits several commits")
	// ErrUnsupported says that the repository is of a kind that cannot be
	// read: SHA-256 objects, reftable, partial clones.
	ErrUnsupported = errors.New("unsupported kind of git repository")
	// ErrDamaged says that an object is missing or is not what its name says.
	ErrDamaged = errors.New("git repository is damaged")
)

const (
	// cacheSize bounds what go-git keeps of unpacked objects; it serves the
	// delta chains of the packs that are read.
	cacheSize = 16 * cache.MiByte
	// largeObject is the size in bytes above which an object is streamed.
	largeObject = 2 << 20
)

// Repository is an app's git repository, open for reading. It is not safe for
// concurrent use.
type Repository struct {
	dir    string
	git    *git.Repository
	store  *filesystem.Storage
	others []*Repository // joined by Fetch
}

// Commit is what a person needs to recognise a commit.
type Commit struct {
	SHA     string    `json:"sha"`     // 40 hex digits
	Short   string    `json:"short"`   // the first 7
	Subject string    `json:"subject"` // first paragraph of the message, on one line
	Author  string    `json:"author"`  // name without address
	When    time.Time `json:"when"`    // committed at, UTC
}

// Open opens the bare repository in dir; close it after use. The error wraps
// os.ErrNotExist when there is none, and ErrUnsupported when it is of a kind
// that this package cannot read.
func Open(dir string) (*Repository, error) {
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); err != nil {
		return nil, fmt.Errorf("open git repository %q: %w", dir, err)
	}
	store := newStorage(dir)
	repo, err := git.Open(store, nil)
	if errors.Is(err, git.ErrUnknownExtension) || errors.Is(err, git.ErrUnsupportedRepositoryFormatVersion) ||
		errors.Is(err, git.ErrUnsupportedExtensionRepositoryFormatVersion) {
		return nil, fmt.Errorf("open git repository %q: %w: %w", dir, ErrUnsupported, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open git repository %q: %w", dir, err)
	}
	return &Repository{dir: dir, git: repo, store: store}, nil
}

func newStorage(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(cacheSize), filesystem.Options{
		KeepDescriptors:      true,
		LargeObjectThreshold: largeObject,
		AlternatesFS:         osfs.New("/"),
	})
}

// Close releases the files of the repository, and of those joined to it.
func (r *Repository) Close() error {
	err := r.store.Close()
	for _, other := range r.others {
		err = errors.Join(err, other.Close())
	}
	return err
}

// all is the repository with those joined to it.
func (r *Repository) all() []*Repository {
	return append([]*Repository{r}, r.others...)
}

// Resolve finds the commit that rev names: a full SHA, a tag, a branch, or a
// short SHA of at least 4 digits, tried in git's own order. The error wraps
// ErrNoCommit, ErrAmbiguous or ErrDamaged.
func (r *Repository) Resolve(rev string) (Commit, error) {
	hash, err := r.lookUp(rev)
	if err != nil {
		return Commit{}, fmt.Errorf("resolve %q: %w", rev, err)
	}
	c, err := r.commit(hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) && plumbing.IsHash(rev) {
		err = ErrNoCommit
	}
	if err != nil {
		return Commit{}, fmt.Errorf("resolve %q: %w", rev, err)
	}
	return describe(c), nil
}

func describe(c *object.Commit) Commit {
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n\n")
	sha := c.Hash.String()
	return Commit{
		SHA:     sha,
		Short:   sha[:7],
		Subject: strings.ToValidUTF8(strings.Join(strings.Fields(subject), " "), "\uFFFD"),
		Author:  strings.ToValidUTF8(c.Author.Name, "\uFFFD"),
		When:    c.Committer.When.UTC(),
	}
}

func (r *Repository) lookUp(rev string) (plumbing.Hash, error) {
	if plumbing.IsHash(rev) {
		return plumbing.NewHash(rev), nil
	}
	for _, repo := range r.all() {
		if ref, err := repo.git.Reference(plumbing.NewTagReferenceName(rev), true); err == nil {
			return r.peel(ref.Hash())
		}
		if ref, err := repo.git.Reference(plumbing.NewBranchReferenceName(rev), true); err == nil {
			return ref.Hash(), nil
		}
	}
	return r.expand(strings.ToLower(rev))
}

// peel follows annotated tags to what they name.
func (r *Repository) peel(hash plumbing.Hash) (plumbing.Hash, error) {
	for {
		obj, err := r.read(hash)
		if err != nil || obj.Type() != plumbing.TagObject {
			return hash, err
		}
		tag, err := object.DecodeTag(r.store, obj)
		if err != nil {
			return hash, fmt.Errorf("%w: tag %s: %w", ErrDamaged, hash, err)
		}
		hash = tag.Target
	}
}

// expand finds the one commit whose SHA begins with prefix.
func (r *Repository) expand(prefix string) (plumbing.Hash, error) {
	whole, err := hex.DecodeString(prefix[:len(prefix)&^1]) // without an odd digit at the end
	if err != nil || len(prefix) < 4 || len(prefix) > 40 {
		return plumbing.ZeroHash, ErrNoCommit
	}
	var hashes []plumbing.Hash
	for _, repo := range r.all() {
		found, err := repo.store.HashesWithPrefix(whole)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		hashes = append(hashes, found...)
	}
	var commits []plumbing.Hash
	for _, hash := range hashes {
		if !strings.HasPrefix(hash.String(), prefix) || slices.Contains(commits, hash) {
			continue
		}
		obj, err := r.read(hash)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if obj.Type() == plumbing.CommitObject {
			commits = append(commits, hash)
		}
	}
	switch len(commits) {
	case 0:
		return plumbing.ZeroHash, ErrNoCommit
	case 1:
		return commits[0], nil
	}
	return plumbing.ZeroHash, fmt.Errorf("%w: %s, %s", ErrAmbiguous, commits[0], commits[1])
}

// commit reads a commit. Another kind of object is ErrNoCommit.
func (r *Repository) commit(hash plumbing.Hash) (*object.Commit, error) {
	obj, err := r.read(hash)
	if err != nil {
		return nil, err
	}
	if obj.Type() != plumbing.CommitObject {
		return nil, fmt.Errorf("%w: %s is a %s", ErrNoCommit, hash, obj.Type())
	}
	c, err := object.DecodeCommit(r.store, obj)
	if err != nil {
		return nil, fmt.Errorf("%w: commit %s: %w", ErrDamaged, hash, err)
	}
	return c, nil
}

// tree reads one folder.
func (r *Repository) tree(hash plumbing.Hash) (*object.Tree, error) {
	obj, err := r.read(hash)
	if err != nil {
		return nil, err
	}
	t, err := object.DecodeTree(r.store, obj)
	if err != nil {
		return nil, fmt.Errorf("%w: tree %s: %w", ErrDamaged, hash, err)
	}
	return t, nil
}

// read finds an object.
func (r *Repository) read(hash plumbing.Hash) (plumbing.EncodedObject, error) {
	obj, content, err := r.open(hash)
	if err != nil {
		return nil, err
	}
	return obj, content.Close()
}

// open finds an object and opens its content; the caller closes it. A failure
// is followed by a second attempt with fresh indexes, because a repack takes
// packs away while they are in use.
func (r *Repository) open(hash plumbing.Hash) (plumbing.EncodedObject, io.ReadCloser, error) {
	obj, content, err := r.openIndexed(hash)
	if err != nil {
		for _, repo := range r.all() {
			repo.store.Reindex()
		}
		obj, content, err = r.openIndexed(hash)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: object %s: %w", ErrDamaged, hash, err)
	}
	return obj, content, nil
}

func (r *Repository) openIndexed(hash plumbing.Hash) (obj plumbing.EncodedObject, content io.ReadCloser, err error) {
	for _, repo := range r.all() {
		if obj, err = repo.store.EncodedObject(plumbing.AnyObject, hash); err != nil {
			continue
		}
		if content, err = obj.Reader(); err == nil {
			return obj, content, nil
		}
	}
	return nil, nil, err
}
