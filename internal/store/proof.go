package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Step is one thing that a store was tried for.
type Step struct {
	Name    string   `json:"name"`
	OK      bool     `json:"ok"`
	Found   string   `json:"found,omitempty"`   // what was seen, when it is worth saying
	Warning string   `json:"warning,omitempty"` // what is not as it should be, though backups work
	Reason  string   `json:"reason,omitempty"`  // why it failed or was not tried
	Meaning string   `json:"meaning,omitempty"` // what this failure means for backups; empty when it was not tried
	Hints   []string `json:"hints,omitempty"`
	Took    int64    `json:"took_ms"`
}

// Proof is what was found out about a store.
type Proof struct {
	Steps     []Step   `json:"steps"`
	WriteRate int64    `json:"write_bytes_per_second,omitempty"` // of one object of 8 MiB; 0 when it is not known
	ReadRate  int64    `json:"read_bytes_per_second,omitempty"`
	Skew      int64    `json:"clock_skew_seconds"` // by how much the store's clock is ahead of this host's; 0 when it is not known
	Left      []string `json:"left,omitempty"`     // objects that could not be removed again
}

// Err is nil for a store that backups can be trusted to, and otherwise a *backup.Problem of the first step that failed.
func (p Proof) Err() error {
	for _, s := range p.Steps {
		if !s.OK && s.Meaning != "" {
			return &backup.Problem{Message: s.Name + ": " + s.Reason + "; " + s.Meaning, Hints: s.Hints}
		}
	}
	return nil
}

// largeSize is half of what a sealed segment comes to at most: enough to measure a rate.
const largeSize = 8 << 20

// Bounds of the listing past one page, and of cleaning up.
const (
	mostObjects  = 1100
	writingTime  = 2 * time.Minute
	cleaningTime = 2 * time.Minute
)

// Prove tries a kind of store in a folder of its own, which it removes at the end whatever happens. It hands each step to report as it
// ends; a step that failed does not end the proof, but those that need it are then not tried. Failures that pass are tried again, so
// that one bad second does not refuse a store. Prove sweeps what its cut-off upload left: nobody may be writing to the store meanwhile.
// The error is only of a context that ended.
func Prove(ctx context.Context, kind Kind, report func(Step)) (Proof, error) {
	var random [8]byte
	rand.Read(random[:])
	p := &prover{
		kind: kind, store: New(kind, Options{Tries: 3, Parallel: 8}), report: report,
		folder: "proof-" + hex.EncodeToString(random[:]), stored: map[string][]byte{},
	}
	for _, step := range p.steps() {
		p.try(ctx, step)
		if ctx.Err() != nil {
			break
		}
	}
	p.cleanUp(context.WithoutCancel(ctx))
	return p.proof, context.Cause(ctx)
}

// prover is one run of the proof.
type prover struct {
	kind   Kind
	store  *Store // kind in its wrappers
	report func(Step)
	folder string
	proof  Proof

	silent       bool      // the store does not answer at all
	unswept      bool      // an upload was cut off, and what it left may still be there
	began, ended time.Time // of writing the small object

	mu       sync.Mutex
	stored   map[string][]byte // objects that are there
	doubtful []string          // objects that may be there
}

// notTried says that a step was left out, since an earlier one failed.
type notTried string

func (n notTried) Error() string { return "not tried: " + string(n) }

func (p *prover) try(ctx context.Context, step step) {
	s := Step{Name: step.name}
	began := time.Now()
	err := p.lacks(step.needs)
	if err == nil {
		err = step.run(ctx, &s)
	}
	if ctx.Err() != nil {
		return
	}
	s.Took = time.Since(began).Milliseconds()
	s.OK = err == nil
	if err != nil {
		s.Reason = err.Error()
		if !errors.As(err, new(notTried)) {
			s.Meaning = step.meaning
		}
		if problem := new(backup.Problem); errors.As(err, &problem) {
			s.Reason, s.Hints = problem.Message, problem.Hints // without the names of the proof's objects
		}
	}
	p.proof.Steps = append(p.proof.Steps, s)
	p.report(s)
}

// lacks tells which of the steps that are needed did not succeed.
func (p *prover) lacks(needs []string) error {
	if p.silent {
		return notTried("the store does not answer")
	}
	for _, s := range p.proof.Steps {
		if !s.OK && slices.Contains(needs, s.Name) {
			return notTried(fmt.Sprintf("it needs %q", s.Name))
		}
	}
	return nil
}

// put stores an object below the folder of the proof.
func (p *prover) put(ctx context.Context, name string, data []byte) error {
	name = p.folder + "/" + name
	err := p.store.Put(ctx, name, data)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.stored[name] = data
	} else if !isProblem(err) {
		p.doubtful = append(p.doubtful, name)
	}
	return err
}

// listed is what a listing of the proof's folder shows.
func (p *prover) listed(ctx context.Context) (map[string]backup.Object, error) {
	objects := map[string]backup.Object{}
	err := p.store.List(ctx, p.folder+"/", func(o backup.Object) error {
		if _, twice := objects[o.Name]; twice {
			return &backup.Problem{Message: fmt.Sprintf("one listing shows %q twice", o.Name)}
		}
		objects[o.Name] = o
		return nil
	})
	return objects, err
}

// cleanUp removes every object that may be there, those that no listing shows too.
func (p *prover) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(ctx, cleaningTime, errors.New("cleaning up took too long"))
	defer cancel()
	listed, listErr := p.listed(ctx)
	names := slices.Concat(slices.Collect(maps.Keys(listed)), slices.Collect(maps.Keys(p.stored)), p.doubtful)
	slices.Sort(names)
	var group errgroup.Group
	group.SetLimit(8)
	for _, name := range slices.Compact(names) {
		group.Go(func() error {
			_, there := listed[name]
			if p.store.Delete(ctx, name) != nil && (there || listErr != nil) {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.proof.Left = append(p.proof.Left, name)
			}
			return nil
		})
	}
	group.Wait()
	slices.Sort(p.proof.Left)
	if p.unswept {
		p.store.Sweep() // after a step that failed anyway; what it left is no object
	}
	// Where folders are real, an empty one would be left. It is no object and in nobody's way: an error is not told.
	if f, ok := p.kind.(interface {
		RemoveFolder(ctx context.Context, name string) error
	}); ok {
		f.RemoveFolder(ctx, p.folder)
	}
}
