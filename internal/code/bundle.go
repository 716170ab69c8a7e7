package code

import (
	"bufio"
	"compress/zlib"
	"context"
	"crypto/sha1" // git's object names
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

const (
	// maxDelta is the size in bytes up to which an object is held in memory,
	// to be written as a difference to what it was before.
	maxDelta = 2 << 20
	// maxChain bounds the differences that a reader has to follow for one
	// object; it is git's own pack.depth.
	maxChain = 50
)

// BundleInfo says what a bundle holds.
type BundleInfo struct {
	Commits int   // the commit and its ancestors
	Objects int   // commits, trees and files
	Bytes   int64 // size of the bundle
	// Submodules are paths of the commit whose code lies in other
	// repositories and is not in the bundle.
	Submodules []string
	// Missing are the commits that the bundle asks for, because the
	// repository is shallow and lacks them itself. Stock git then cannot
	// clone the bundle, only fetch it into a repository that has them.
	// Without those, the pack (all that follows the first empty line) can be
	// given to git index-pack --stdin, and the children of the missing
	// commits be listed in the new repository's file "shallow".
	Missing []string
}

// Bundle writes the commit sha with its whole history to w, as a git bundle of
// version 2 (git's gitformat-bundle, gitformat-pack) in which refs/heads/branch
// and HEAD are that commit. Every object is checked against its name on the
// way; the error wraps ErrDamaged and names an object that is missing or bad.
//
// A commit gives the same bytes every time, however its repository is packed,
// and what a child adds follows the bytes of its first parent's pack, so that
// bundles of successive commits have most of their content in common.
// go-git's own encoder does neither, and holds all objects in memory.
func (r *Repository) Bundle(ctx context.Context, w io.Writer, sha, branch string) (BundleInfo, error) {
	info, err := r.bundle(ctx, w, plumbing.NewHash(sha), plumbing.NewBranchReferenceName(branch))
	if err != nil {
		return BundleInfo{}, fmt.Errorf("bundle commit %s: %w", sha, err)
	}
	return info, nil
}

func (r *Repository) bundle(ctx context.Context, w io.Writer, tip plumbing.Hash, ref plumbing.ReferenceName) (BundleInfo, error) {
	if err := ref.Validate(); err != nil {
		return BundleInfo{}, fmt.Errorf("branch %q: %w", ref.Short(), err)
	}
	h, err := r.history(ctx, tip)
	if err != nil {
		return BundleInfo{}, err
	}
	info := BundleInfo{Commits: len(h.trees), Objects: len(h.objects)}
	if info.Submodules, err = r.submodules(ctx, h.trees[tip]); err != nil {
		return BundleInfo{}, err
	}
	out := &counter{w: bufio.NewWriterSize(w, 64<<10)}
	fmt.Fprint(out, "# v2 git bundle\n")
	for _, hash := range h.missing {
		info.Missing = append(info.Missing, hash.String())
		fmt.Fprintf(out, "-%s \n", hash)
	}
	fmt.Fprintf(out, "%s %s\n%s HEAD\n\n", tip, ref, tip)
	if err := r.pack(ctx, out, h); err != nil {
		return BundleInfo{}, err
	}
	info.Bytes = out.n
	return info, out.w.Flush()
}

// counter counts what passes through it. Its bufio.Writer keeps an error until
// Flush, so that single writes need no check.
type counter struct {
	w *bufio.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// packer writes the entries of one pack.
type packer struct {
	repo    *Repository
	objects []packed
	out     *counter
	sum     io.Writer // out and the checksum of the pack
	zip     *zlib.Writer
	offsets []int64 // of the entries in the pack's stream
	chain   []uint8 // differences to follow, by entry
}

// pack writes the objects of h as a pack of version 2.
func (r *Repository) pack(ctx context.Context, out *counter, h *history) error {
	checksum := sha1.New()
	p := packer{repo: r, objects: h.objects, out: out, sum: io.MultiWriter(out, checksum)}
	p.zip = zlib.NewWriter(p.sum)
	p.sum.Write(binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(h.objects))))
	for i := range h.objects {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.entry(i); err != nil {
			return err
		}
	}
	_, err := out.Write(checksum.Sum(nil))
	return err
}

// entry writes object i, as a difference where that is less than half of it.
func (p *packer) entry(i int) error {
	p.offsets = append(p.offsets, p.out.n)
	p.chain = append(p.chain, 0)
	obj, content, err := p.repo.open(p.objects[i].hash)
	if err != nil {
		return err
	}
	defer content.Close()
	if obj.Size() > maxDelta {
		return p.whole(i, obj, content)
	}
	data, err := load(p.objects[i].hash, obj, content)
	if err != nil {
		return err
	}
	delta, err := p.delta(i, data)
	if err != nil {
		return err
	}
	if delta == nil {
		return p.write(entryHead(obj.Type(), obj.Size()), data)
	}
	base := p.objects[i].base
	p.chain[i] = p.chain[base] + 1
	head := entryHead(plumbing.OFSDeltaObject, int64(len(delta)))
	return p.write(append(head, deltaOffset(p.offsets[i]-p.offsets[base])...), delta)
}

// delta returns the difference of data to the base of object i, or nil where
// there is no base or no gain.
func (p *packer) delta(i int, data []byte) ([]byte, error) {
	base := p.objects[i].base
	if base < 0 || p.chain[base] == maxChain {
		return nil, nil
	}
	obj, content, err := p.repo.open(p.objects[base].hash)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if obj.Size() > maxDelta {
		return nil, nil
	}
	was, err := load(p.objects[base].hash, obj, content)
	if err != nil {
		return nil, err
	}
	delta := packfile.DiffDelta(was, data)
	if len(delta) > len(data)/2 {
		return nil, nil
	}
	return delta, nil
}

func (p *packer) write(head, body []byte) error {
	p.sum.Write(head)
	p.zip.Reset(p.sum)
	if _, err := p.zip.Write(body); err != nil {
		return err
	}
	return p.zip.Close()
}

// whole streams an object that is too large to be held in memory.
func (p *packer) whole(i int, obj plumbing.EncodedObject, content io.Reader) error {
	p.sum.Write(entryHead(obj.Type(), obj.Size()))
	p.zip.Reset(p.sum)
	name := objectName(obj)
	if _, err := io.Copy(io.MultiWriter(p.zip, name), content); err != nil {
		if err := p.out.w.Flush(); err != nil {
			return err
		}
		return fmt.Errorf("%w: object %s: %w", ErrDamaged, p.objects[i].hash, err)
	}
	if err := checkName(name, p.objects[i].hash); err != nil {
		return err
	}
	return p.zip.Close()
}

// load reads an object's content and checks it against its name.
func load(hash plumbing.Hash, obj plumbing.EncodedObject, content io.Reader) ([]byte, error) {
	data := make([]byte, obj.Size())
	if _, err := io.ReadFull(content, data); err != nil {
		return nil, fmt.Errorf("%w: object %s: %w", ErrDamaged, hash, err)
	}
	name := objectName(obj)
	name.Write(data)
	return data, checkName(name, hash)
}

// objectName starts the hash that names an object; its content is to follow.
func objectName(obj plumbing.EncodedObject) hash.Hash {
	name := sha1.New()
	fmt.Fprintf(name, "%s %d\x00", obj.Type(), obj.Size())
	return name
}

func checkName(name hash.Hash, want plumbing.Hash) error {
	if got := plumbing.Hash(name.Sum(nil)); got != want {
		return fmt.Errorf("%w: the content of object %s is that of %s", ErrDamaged, want, got)
	}
	return nil
}

// entryHead encodes an entry's type and size: three bits of type and four of
// size in the first byte, seven more of size in each that follows.
func entryHead(kind plumbing.ObjectType, size int64) []byte {
	b := byte(kind)<<4 | byte(size&0x0f)
	var head []byte
	for size >>= 4; size > 0; size >>= 7 {
		head = append(head, b|0x80)
		b = byte(size & 0x7f)
	}
	return append(head, b)
}

// deltaOffset encodes the distance back to a base: seven bits a byte, most
// significant first, each continuation adding one.
func deltaOffset(distance int64) []byte {
	b := []byte{byte(distance & 0x7f)}
	for distance >>= 7; distance > 0; distance >>= 7 {
		distance--
		b = append([]byte{0x80 | byte(distance&0x7f)}, b...)
	}
	return b
}
