package cli

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
)

// pruning applies retention in one place.
type pruning struct {
	*program
	at   string
	repo *repository.Repository // of that place
	own  *repository.Repository // this host's, where the place is a store
}

// pruningAt opens the place. Without a repository here the error matches fs.ErrNotExist.
func (p *program) pruningAt(ctx context.Context, at string) (*pruning, error) {
	g := &pruning{program: p, at: at}
	var err error
	if g.repo, err = p.repositoryAt(ctx, at); err != nil || at == here {
		return g, err
	}
	if err := p.stores().MayWrite(ctx, g.repo, at); err != nil {
		return nil, err
	}
	g.own, err = p.openRepository(ctx)
	return g, err
}

// glance decides by the index of backups, which is for looking only.
func (g *pruning) glance(ctx context.Context, service string) ([]judged, error) {
	all, err := g.stores().Summaries(ctx, g.repo, g.at, service)
	if err != nil {
		return nil, err
	}
	return g.decide(ctx, all)
}

// look decides by the manifests and marks themselves.
func (g *pruning) look(ctx context.Context, service string) ([]judged, error) {
	entries, err := g.repo.ListService(ctx, service)
	if err != nil {
		return nil, err
	}
	all := make([]repository.Summary, len(entries))
	for i, e := range entries {
		all[i] = e.Summary()
	}
	return g.decide(ctx, all)
}

// decide decides on backups, each service by its own rule.
func (g *pruning) decide(ctx context.Context, all []repository.Summary) ([]judged, error) {
	if err := g.addMarks(ctx, all); err != nil {
		return nil, err
	}
	inUse, err := g.inUse()
	if err != nil {
		return nil, err
	}
	found := []judged{}
	for _, ofService := range byService(all) {
		first := ofService[0]
		r, err := g.rule(first.ID.Service(), g.at)
		if err != nil {
			return nil, err
		}
		j := judged{Service: serviceOf(first)}
		if !r.none() {
			j.Rule = &r.Retention
		}
		if j.Decisions, err = planRetention(ctx, r.Retention, ofService, inUse, g.repo); err != nil {
			return nil, err
		}
		found = append(found, j)
	}
	return found, nil
}

// addMarks adds what this host knows of the backups in a store: a pin that was not sent yet holds, and a copy that was found damaged is no good one.
func (g *pruning) addMarks(ctx context.Context, all []repository.Summary) error {
	if g.own == nil {
		return nil
	}
	remembered, err := g.stores().Remembered(g.at)
	if err != nil {
		return err
	}
	own, err := g.stores().Summaries(ctx, g.own, here, "")
	if err != nil {
		return err
	}
	mergeMarks(all, own, remembered)
	return nil
}

// mergeMarks adds to backups in a store the marks of those that are here, and what is remembered of the copies.
func mergeMarks(there, own []repository.Summary, remembered *repository.Copy) {
	byID := map[backup.ID]repository.Summary{}
	for _, s := range own {
		byID[s.ID] = s
	}
	for i := range there {
		s := &there[i]
		if mine, is := byID[s.ID]; is {
			pinned := s.Marks.Pinned
			s.Marks = mine.Marks
			s.Marks.Pinned = cmp.Or(s.Marks.Pinned, pinned)
			s.Err = cmp.Or(s.Err, mine.Err)
		}
		if v, is := remembered.Verified[s.ID]; is && !v.OK() {
			s.Marks.Verified = &v
		}
	}
}

// inUse are the backups that restores which have not finished still need.
func (g *pruning) inUse() (map[backup.ID]bool, error) {
	records, _, err := g.journals().Unfinished()
	ids := map[backup.ID]bool{}
	for _, r := range records {
		if !r.Request.Practice { // which nobody resumes
			ids[r.Request.Backup] = true
		}
	}
	return ids, err
}

// planRetention decides on the backups of one service, whose manifests are in one of the repositories.
func planRetention(ctx context.Context, r backup.Retention, all []repository.Summary, inUse map[backup.ID]bool, from ...*repository.Repository) ([]backup.Decision, error) {
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

// serviceOf is type:name; of a backup whose manifest cannot be read the name alone.
func serviceOf(s repository.Summary) string {
	if s.Unreadable {
		return s.ID.Service()
	}
	return s.Type + ":" + s.Name
}

// byService are the backups of each service, in the order of their names.
func byService(all []repository.Summary) [][]repository.Summary {
	groups := map[string][]repository.Summary{}
	var names []string
	for _, s := range all {
		name := serviceOf(s)
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

// foretell says what apply would do.
func (g *pruning) foretell(ctx context.Context, service string, result *pruned) error {
	var err error
	if result.Services, err = g.look(ctx, service); err != nil {
		return err
	}
	gone := map[backup.ID]bool{}
	for _, j := range result.Services {
		for _, id := range j.removed() {
			gone[id] = true
		}
	}
	result.Removed = len(gone)
	if len(gone) == 0 {
		return nil
	}
	// What other services' backups share stays.
	entries, err := g.repo.List(ctx, "")
	if err != nil {
		return err
	}
	sizes := repository.NewSizes()
	var all, rest []backup.ID
	for _, e := range entries {
		if e.Manifest == nil {
			continue
		}
		sizes.Note(e.Manifest)
		all = append(all, e.ID)
		if !gone[e.ID] {
			rest = append(rest, e.ID)
		}
	}
	result.Freed = sizes.Of(all) - sizes.Of(rest)
	return nil
}

// apply removes what no rule keeps, and frees its space. It holds the repository, and the store, alone.
func (g *pruning) apply(ctx context.Context, service string, result *pruned) error {
	release, err := g.alone("removed")
	if err != nil {
		return err
	}
	defer release()
	if err := g.remove(ctx, service, result); err != nil {
		return err
	}
	for _, j := range result.Services {
		if err := g.mended(j.Service, g.at); err != nil {
			return err
		}
	}
	return nil
}

// remove does that while the caller holds the repository.
func (g *pruning) remove(ctx context.Context, service string, result *pruned) error {
	if g.at != here {
		release, err := g.stores().Hold(ctx, g.at)
		if err != nil {
			return err
		}
		defer release()
	}
	var err error
	if result.Services, err = g.look(ctx, service); err != nil {
		return err
	}
	var gone []backup.ID
	for _, j := range result.Services {
		gone = append(gone, j.removed()...)
	}
	if err := g.forgetCopies(gone); err != nil { // before they go: what is remembered is never more than what is there
		return err
	}
	if err := g.repo.Delete(ctx, gone...); err != nil {
		return err
	}
	result.Removed = len(gone)
	collected, err := g.repo.Collect(ctx) // what a run that was cut off left, too
	result.Freed = collected.Bytes
	return err
}

// forgetCopies forgets what was remembered of copies that a store is about to lose, and that it lacks them on purpose.
func (g *pruning) forgetCopies(gone []backup.ID) error {
	if g.at == here || len(gone) == 0 {
		return nil
	}
	remembered, err := g.stores().Remembered(g.at)
	if err != nil {
		return err
	}
	if remembered.Unwanted == nil {
		remembered.Unwanted = map[backup.ID]bool{}
	}
	for _, id := range gone {
		remembered.Forget(id)
		remembered.Unwanted[id] = true
	}
	return g.stores().Remember(g.at, remembered)
}
