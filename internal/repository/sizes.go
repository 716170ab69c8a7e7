package repository

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Sizes knows which segments backups hold and what each takes, so that what several share is counted once.
type Sizes struct {
	mu     sync.Mutex
	number map[string]int // segment name -> index of its bytes
	bytes  []int64        // sealed
	of     map[backup.ID][]int
}

// NewSizes knows no backup yet.
func NewSizes() *Sizes { return &Sizes{number: map[string]int{}, of: map[backup.ID][]int{}} }

// Add reads the manifests of these backups in r, except those that it knows; what r has not may be in another copy. A manifest is dropped when
// its segments are noted: it may be large.
func (s *Sizes) Add(ctx context.Context, r *Repository, ids []backup.ID) error {
	unknown := slices.DeleteFunc(slices.Clone(ids), func(id backup.ID) bool { return s.of[id] != nil })
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(listWorkers)
	for _, id := range unknown {
		group.Go(func() error {
			m, err := r.Manifest(groupCtx, id)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				s.Note(m)
			}
			return err
		})
	}
	return group.Wait()
}

// Note notes the segments of a backup.
func (s *Sizes) Note(m *backup.Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	segments := distinct(m)
	numbers := make([]int, len(segments))
	for i, segment := range segments {
		n, known := s.number[segment.Name]
		if !known {
			n = len(s.bytes)
			s.number[segment.Name] = n
			s.bytes = append(s.bytes, segment.Stored)
		}
		numbers[i] = n
	}
	s.of[m.ID] = numbers
}

// Of is how many bytes the segments of these backups take, each counted once. A backup that was not added takes nothing.
func (s *Sizes) Of(ids []backup.ID) int64 {
	counted := make([]bool, len(s.bytes))
	var total int64
	for _, id := range ids {
		for _, n := range s.of[id] {
			if !counted[n] {
				counted[n] = true
				total += s.bytes[n]
			}
		}
	}
	return total
}
