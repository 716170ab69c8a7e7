package repository

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

const segmentsPrefix = "segments/"

func segmentObject(name string) string { return segmentsPrefix + name[:2] + "/" + name }

// Writer adds content to the repository. Reading and cutting happen in the caller's goroutine, sealing and storing in
// workers; memory is bounded by the workers' number (about 50 MiB for two). The segments of a content are complete
// only after Close. A Writer whose Close failed, or was not called, leaves segments behind that no manifest refers to:
// Collect removes them.
type Writer struct {
	repository *Repository
	ctx        context.Context
	workers    *errgroup.Group
	jobs       chan job
	free       chan []byte

	present map[string]int64 // segment name -> sealed size, of what the store held when the writer began
	vouched map[string]bool  // of these, the ones that the trusted manifest knows with that size
	filled  []*backup.Segment

	mu     sync.Mutex
	sealed map[string]int64 // segment name -> sealed size, of what this writer brought; 0 while a worker has it
	stored backup.Stored
}

type job struct {
	plain   []byte
	segment *backup.Segment
}

// NewWriter starts a writer. Segments that the store holds already are not written again. One that the trusted manifest
// (the newest of the same service; may be nil) knows is believed when its size is the same, and replaced when it is not;
// any other is read and compared first, so that a backup never rests on what a cut-off copy or an older damage left.
// When the work is given up without Close, ctx must be cancelled to end the workers.
func (r *Repository) NewWriter(ctx context.Context, workers int, trusted *backup.Manifest) (*Writer, error) {
	present, err := r.segments(ctx)
	if err != nil {
		return nil, err
	}
	vouched := map[string]bool{}
	if trusted != nil {
		vouched = r.vouch(present, trusted)
	}
	group, ctx := errgroup.WithContext(ctx)
	w := &Writer{
		repository: r, ctx: ctx, workers: group, present: present, vouched: vouched, sealed: map[string]int64{},
		jobs: make(chan job), free: make(chan []byte, workers+1),
	}
	for range workers + 1 { // one being filled, one in each worker
		w.free <- nil
	}
	for range workers {
		group.Go(w.work)
	}
	return w, nil
}

// segments lists the store's segments with their sealed sizes.
func (r *Repository) segments(ctx context.Context) (map[string]int64, error) {
	present := map[string]int64{}
	err := r.store.List(ctx, segmentsPrefix, func(o backup.Object) error {
		present[o.Name[strings.LastIndexByte(o.Name, '/')+1:]] = o.Size
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	return present, nil
}

// vouch returns the segments that a manifest knows with the size that they have in the store, and forgets those that
// have another size. A delta is neither: this program reads none, and stores the segment in full.
func (r *Repository) vouch(present map[string]int64, trusted *backup.Manifest) map[string]bool {
	vouched := map[string]bool{}
	trusted.Contents(func(_ string, c *backup.Content) error {
		for _, s := range c.Segments {
			switch {
			case !r.Fits(s, present[s.Name]):
				delete(present, s.Name)
			case s.Base == "":
				vouched[s.Name] = true
			}
		}
		return nil
	})
	return vouched
}

// Rows stores COPY text, row by row, and fingerprints it.
func (w *Writer) Rows(src io.Reader) (*backup.Content, error) {
	content := &backup.Content{Segments: []*backup.Segment{}} // in JSON an empty list, not null
	cutter := &rowCutter{src: src}
	for {
		buf, err := w.buffer()
		if err != nil {
			return nil, err
		}
		cutter.begin(buf)
		segment, err := cutter.next()
		if err == nil {
			err = w.add(content, segment)
		} else {
			w.release(cutter.buf)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	content.Rows, content.Digest = cutter.digest.Rows, cutter.digest.String()
	return content, nil
}

// Bytes stores content that has no rows.
func (w *Writer) Bytes(src io.Reader) (*backup.Content, error) {
	content := &backup.Content{Segments: []*backup.Segment{}} // in JSON an empty list, not null
	hash := sha256.New()
	for {
		buf, err := w.buffer()
		if err != nil {
			return nil, err
		}
		buf, err = readSegment(io.TeeReader(src, hash), buf)
		if len(buf) > 0 {
			if err := w.add(content, buf); err != nil {
				return nil, err
			}
		} else {
			w.release(buf)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	content.Digest = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	return content, nil
}

// readSegment fills buf up to the size of a segment; io.EOF says that the source has ended.
func readSegment(src io.Reader, buf []byte) ([]byte, error) {
	for len(buf) < rawSegment {
		if cap(buf)-len(buf) < 64<<10 {
			grown := make([]byte, len(buf), min(2*cap(buf)+(128<<10), rawSegment+(64<<10)))
			copy(grown, buf)
			buf = grown
		}
		n, err := src.Read(buf[len(buf):min(cap(buf), rawSegment)])
		buf = buf[:len(buf)+n]
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// buffer waits for an empty buffer.
func (w *Writer) buffer() ([]byte, error) {
	select {
	case b := <-w.free:
		return b[:0], nil
	case <-w.ctx.Done():
		return nil, context.Cause(w.ctx)
	}
}

func (w *Writer) release(b []byte) { w.free <- b }

// add hands a segment to the workers.
func (w *Writer) add(content *backup.Content, plain []byte) error {
	segment := &backup.Segment{Bytes: int64(len(plain))}
	content.Segments = append(content.Segments, segment)
	content.Bytes += segment.Bytes
	w.filled = append(w.filled, segment)
	w.stored.Raw += segment.Bytes
	select {
	case w.jobs <- job{plain, segment}:
		return nil
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
}

// work seals and stores segments until there are no more.
func (w *Writer) work() error {
	codec, err := w.repository.borrowCodec()
	if err != nil {
		return err
	}
	defer w.repository.codecs.Put(codec)
	for {
		select {
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		case job, more := <-w.jobs:
			if !more {
				return nil
			}
			job.segment.Name = w.repository.keys.segmentName(job.plain)
			if w.claim(job.segment.Name) {
				if err := w.keep(codec, job); err != nil {
					return err
				}
			}
			w.release(job.plain)
		}
	}
}

// claim tells whether the caller is the first to bring this segment, and so has to keep it.
func (w *Writer) claim(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, claimed := w.sealed[name]
	if !claimed {
		w.sealed[name] = 0
	}
	return !claimed
}

// keep makes sure that the store holds the segment.
func (w *Writer) keep(codec *codec, job job) error {
	name := job.segment.Name
	if size, there := w.present[name]; there && (w.vouched[name] || w.intact(codec, job)) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sealed[name] = size
		w.stored.Reused += size
		return nil
	}
	object, err := codec.seal(kindFull, job.plain)
	if err != nil {
		return err
	}
	if err := w.repository.store.Put(w.ctx, segmentObject(name), object); err != nil {
		return fmt.Errorf("store segment: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sealed[name] = int64(len(object))
	w.stored.New += int64(len(object))
	return nil
}

// intact tells whether the store's object is the segment, whole.
func (w *Writer) intact(codec *codec, job job) bool {
	object, err := w.repository.store.Get(w.ctx, segmentObject(job.segment.Name))
	return err == nil && codec.compare(object, kindFull, job.plain) == nil
}

// Close waits for the workers. When it returns nil, every segment of every content is stored and named.
func (w *Writer) Close() (backup.Stored, error) {
	close(w.jobs)
	if err := w.workers.Wait(); err != nil {
		return backup.Stored{}, err
	}
	for _, s := range w.filled {
		s.Stored = w.sealed[s.Name]
	}
	return w.stored, nil
}
