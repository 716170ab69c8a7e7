package retention

import (
	"context"
	"slices"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
)

// plan decides on the backups of one service, whose manifests are in one of the repositories.
func plan(ctx context.Context, r backup.Retention, all []repository.Summary, inUse map[backup.ID]bool, from ...*repository.Repository) ([]backup.Decision, error) {
	candidates := make([]backup.Candidate, len(all))
	ids := make([]backup.ID, 0, len(all))
	for i, s := range all {
		candidates[i] = candidate(s)
		candidates[i].InUse = inUse[s.ID]
		if s.Err == nil {
			ids = append(ids, s.ID)
		}
	}
	sizes := repository.NewSizes()
	if r.MaxTotal > 0 {
		for _, repo := range from {
			if err := sizes.Add(ctx, repo, ids); err != nil {
				return nil, err
			}
		}
	}
	return r.Plan(candidates, time.Now(), sizes.Of), nil
}

// candidate is a backup as retention sees it.
func candidate(s repository.Summary) backup.Candidate {
	v, practised := s.Marks.Verified, s.Marks.Practised
	return backup.Candidate{
		ID: s.ID, Unreadable: s.Err != nil, Warnings: len(s.Warnings) > 0 || s.State != backup.Complete, Damaged: v != nil && !v.OK(),
		Pinned: s.Marks.Pinned != nil, Practised: practised != nil && practised.Passed, PracticeFailed: practised != nil && !practised.Passed,
	}
}

// byService are the backups of each service, in the order of their names.
func byService(all []repository.Summary) [][]repository.Summary {
	groups := map[string][]repository.Summary{}
	var names []string
	for _, s := range all {
		name := s.Service()
		if groups[name] == nil {
			names = append(names, name)
		}
		groups[name] = append(groups[name], s)
	}
	slices.Sort(names)
	sorted := make([][]repository.Summary, len(names))
	for i, name := range names {
		sorted[i] = groups[name]
	}
	return sorted
}
