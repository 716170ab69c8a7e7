package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Names of the proof's objects, below its folder.
const (
	smallObject = "small"
	emptyObject = "empty"
	largeObject = "large"
	cutObject   = "cut"
)

// A listing may lag behind what was written for so long, which is warned of; what lags longer counts as lost.
const (
	longestLag = 10 * time.Second
	lookAgain  = 250 * time.Millisecond
)

// largestSkew is how far the clocks may be apart: times of backups and of their objects are compared.
const largestSkew = time.Minute

// step is one step of the proof.
type step struct {
	name    string
	needs   []string // steps without which this one would only repeat their failure
	run     func(context.Context, *Step) error
	meaning string
}

// steps are in the order to try them. Many objects come last, since only a store that deletes can be rid of them.
func (p *prover) steps() []step {
	return []step{
		{"write", nil, p.write, "nothing, or not everything, can be stored there"},
		{"read back", nil, p.readBack, "what is stored there does not come back as it was sent: it could not be restored"},
		{"read a part", []string{"read back"}, p.readPart, "what comes back is not what was asked for: something on the way changes it"},
		{"list", nil, p.list, "what is stored there is not found again: backups would not be seen, or be sent again each time"},
		{"overwrite", []string{"read back", "list"}, p.overwrite, "an object that is damaged there could not be healed"},
		{"final name", []string{"write"}, p.finish, ""},
		{"cut off", []string{"write", "read back", "list"}, p.cutOff, "half an object could count as a whole one: a backup could look complete and not be"},
		{"delete", nil, p.delete, "objects cannot be deleted: retention could not free space there, and prune would fail"},
		{"list many", []string{"write", "list", "delete"}, p.listMany, "a large repository is not seen whole: its backups would be missed, or be sent again each time"},
	}
}

// some gives size bytes that nobody else wrote and that do not compress.
func some(size int) []byte {
	data := make([]byte, size)
	rand.Read(data)
	return data
}

func (p *prover) write(ctx context.Context, s *Step) error {
	for _, o := range []struct {
		name string
		size int
	}{{smallObject, 1000}, {emptyObject, 0}, {largeObject, largeSize}} {
		began := time.Now()
		if err := p.put(ctx, o.name, some(o.size)); err != nil {
			p.silent = len(p.stored) == 0 && !isProblem(err)
			return fmt.Errorf("an object of %d bytes: %w", o.size, err)
		}
		ended := time.Now()
		switch o.name {
		case smallObject:
			p.began, p.ended = began, ended
		case largeObject:
			p.proof.WriteRate = bytesPerSecond(largeSize, ended.Sub(began))
		}
	}
	s.Found = "8 MiB at " + perSecond(p.proof.WriteRate)
	return nil
}

func (p *prover) readBack(ctx context.Context, s *Step) error {
	if len(p.stored) == 0 {
		return notTried("nothing could be written")
	}
	for name, want := range p.stored {
		began := time.Now()
		got, err := p.store.Get(ctx, name)
		took := time.Since(began)
		if err != nil {
			return err
		}
		if err := same(got, want); err != nil {
			return err
		}
		if len(want) == largeSize {
			p.proof.ReadRate = bytesPerSecond(largeSize, took)
			s.Found = "8 MiB at " + perSecond(p.proof.ReadRate)
		}
	}
	if _, err := p.store.Get(ctx, p.folder+"/absent"); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("an object that is not there is not told as such, but as: %v", err)
	}
	return nil
}

func (p *prover) readPart(ctx context.Context, _ *Step) error {
	name := p.folder + "/" + largeObject
	want, ok := p.stored[name]
	if !ok {
		return notTried("there is nothing to read a part of")
	}
	const offset, length = 3<<20 + 17, 1<<20 + 5
	got, err := p.kind.ReadRange(ctx, name, offset, length)
	if err != nil {
		return err
	}
	return same(got, want[offset:offset+length])
}

// list sees that the objects are listed in their sizes, and reads the store's clock from one of them.
func (p *prover) list(ctx context.Context, s *Step) error {
	objects, err := p.awaitListing(ctx, s, p.allListed)
	if err != nil {
		return err
	}
	written, ok := objects[p.folder+"/"+smallObject]
	if !ok || written.ModTime.IsZero() {
		return nil
	}
	skew, direction := time.Duration(0), "ahead of"
	if written.ModTime.After(p.ended) {
		skew = written.ModTime.Sub(p.ended)
	} else if written.ModTime.Before(p.began) {
		skew, direction = written.ModTime.Sub(p.began), "behind"
	}
	p.proof.Skew = int64(skew / time.Second)
	if skew.Abs() >= largestSkew {
		s.Warning = fmt.Sprintf("its clock is %v %s this host's; see which one is wrong: timedatectl", skew.Abs().Truncate(time.Second), direction)
	}
	return nil
}

func (p *prover) overwrite(ctx context.Context, s *Step) error {
	for _, size := range []int{300, 3000} { // smaller than it was, then larger
		want := some(size)
		if err := p.put(ctx, smallObject, want); err != nil {
			return err
		}
		got, err := p.store.Get(ctx, p.folder+"/"+smallObject)
		if err != nil {
			return err
		}
		if same(got, want) != nil {
			return errors.New("the object that was there is still there, whole or in part")
		}
	}
	_, err := p.awaitListing(ctx, s, p.allListed)
	return err
}

func (p *prover) finish(_ context.Context, s *Step) error {
	s.Found = p.kind.Finish()
	return nil
}

func (p *prover) cutOff(ctx context.Context, s *Step) error {
	name, data := p.folder+"/"+cutObject, some(2<<20)
	p.doubtful, p.unswept = append(p.doubtful, name), true
	if err := p.kind.CutOff(ctx, name, data); err == nil {
		return errors.New("an upload that was cut off half-way was accepted")
	}
	if got, err := p.store.Get(ctx, name); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return fmt.Errorf("an upload of %d bytes that was cut off half-way left an object of %d bytes", len(data), len(got))
	}
	if _, err := p.awaitListing(ctx, s, p.noneMoreListed); err != nil {
		return err
	}
	p.unswept = false
	if err := p.store.Sweep(); err != nil {
		s.Warning = fmt.Sprintf("what the upload left is not seen, but it cannot be removed: %v", err)
	}
	if err := p.put(ctx, cutObject, data); err != nil {
		return fmt.Errorf("sent again, whole: %w", err)
	}
	got, err := p.store.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("sent again, whole: %w", err)
	}
	s.Found = "nothing is seen of it, and it can be sent again"
	return same(got, data)
}

func (p *prover) delete(ctx context.Context, s *Step) error {
	if len(p.stored) == 0 {
		return notTried("nothing could be written")
	}
	deleted := maps.Clone(p.stored)
	for name := range deleted {
		for range 2 { // what is not there can be deleted too
			if err := p.store.Delete(ctx, name); err != nil {
				return err
			}
			if _, err := p.store.Get(ctx, name); err == nil {
				return errors.New("an object that was deleted can still be read")
			}
		}
		delete(p.stored, name)
	}
	if p.lacks([]string{"list"}) != nil {
		return nil
	}
	_, err := p.awaitListing(ctx, s, func(objects map[string]backup.Object) error {
		for name := range objects {
			if _, ok := deleted[name]; ok {
				return errors.New("an object that was deleted is still listed")
			}
		}
		return nil
	})
	return err
}

func (p *prover) listMany(ctx context.Context, s *Step) error {
	page := p.kind.Page()
	most := min(max(page+1, 20), mostObjects)
	var group errgroup.Group
	group.SetLimit(8)
	until := time.Now().Add(writingTime)
	for i := 0; i < most && time.Now().Before(until) && ctx.Err() == nil; i++ {
		group.Go(func() error { return p.put(ctx, fmt.Sprintf("many-%04d", i), []byte{byte(i)}) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if _, err := p.awaitListing(ctx, s, p.allListed); err != nil {
		return err
	}
	s.Found = fmt.Sprintf("%d objects", len(p.stored))
	switch {
	case page > 0 && len(p.stored) > page:
		s.Found += fmt.Sprintf(", of which a page holds %d", page)
	case page > 0:
		s.Found += fmt.Sprintf("; more than the %d of a page were not tried", page)
	}
	return nil
}

// awaitListing lists the folder of the proof until the listing is right, for a bounded time. A listing that lags is warned of.
func (p *prover) awaitListing(ctx context.Context, s *Step, right func(map[string]backup.Object) error) (map[string]backup.Object, error) {
	began := time.Now()
	for looks := 1; ; looks++ {
		objects, err := p.listed(ctx)
		if err != nil {
			return nil, err
		}
		err = right(objects)
		switch lag := time.Since(began); {
		case err == nil && looks > 1:
			s.Warning = fmt.Sprintf("its listing shows only after %.1f s what was changed", lag.Seconds())
			return objects, nil
		case err == nil:
			return objects, nil
		case lag >= longestLag:
			return nil, err
		}
		if err := sleep(ctx, lookAgain); err != nil {
			return nil, err
		}
	}
}

// allListed sees that all that was stored is listed, in its size.
func (p *prover) allListed(objects map[string]backup.Object) error {
	missing := 0
	for _, name := range slices.Sorted(maps.Keys(p.stored)) {
		o, ok := objects[name]
		if want := int64(len(p.stored[name])); ok && o.Size != want {
			return fmt.Errorf("an object of %d bytes is listed with %d", want, o.Size)
		}
		if !ok {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d objects that are there are not listed", missing, len(p.stored))
	}
	return nil
}

// noneMoreListed sees that nothing is listed but what was stored.
func (p *prover) noneMoreListed(objects map[string]backup.Object) error {
	for name := range objects {
		if _, ok := p.stored[name]; !ok {
			return errors.New("an upload that was cut off half-way is listed as an object")
		}
	}
	return nil
}

func same(got, want []byte) error {
	switch {
	case len(got) != len(want):
		return fmt.Errorf("%d bytes were written and %d came back", len(want), len(got))
	case !bytes.Equal(got, want):
		return fmt.Errorf("%d bytes were written and came back changed", len(want))
	}
	return nil
}

func bytesPerSecond(size int, took time.Duration) int64 {
	return int64(float64(size) / max(took, time.Millisecond).Seconds())
}

func perSecond(rate int64) string { return fmt.Sprintf("%.1f MB/s", float64(rate)/1e6) }
