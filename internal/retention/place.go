// Package retention applies the rules by which backups go: here, and in each store. Start at Place; which rule holds where says Rules, what a rule
// means backup.Retention. It promises that nothing goes that the rule keeps or that is in use, that what it decides for removal was read from the backups
// themselves, not from an index, and that what a store's rule lets go is not sent there again (Unwanted).
package retention

import (
	"context"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/stores"
)

// Pruned is what came of a prune, or would.
type Pruned struct {
	Where    string   `json:"where"`
	DryRun   bool     `json:"dry_run"`
	Services []Judged `json:"services"`
	Removed  int      `json:"removed"`
	Freed    int64    `json:"freed_bytes"`
}

// Judged is what the rule of a service decides on its backups in one place.
type Judged struct {
	Service   string            `json:"service"` // type:name
	Rule      *backup.Retention `json:"rule"`    // null: everything is kept
	Decisions []backup.Decision `json:"backups"` // newest first
}

// Removed are the backups that go.
func (j Judged) Removed() []backup.ID {
	var ids []backup.ID
	for _, d := range j.Decisions {
		if !d.Keep {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// Place is where retention is applied: this host's own repository, or the copy of it in a store.
type Place struct {
	At     string                 // stores.Here or a store's name
	Repo   *repository.Repository // of that place
	Own    *repository.Repository // this host's, where the place is a store; else nil
	Rules  Rules
	Stores stores.Stores
	InUse  func() (map[backup.ID]bool, error) // the backups that something still needs which has not ended
}

// Glance decides on the backups of a service ("" for all) by the index of backups, which is for looking only.
func (p *Place) Glance(ctx context.Context, service string) ([]Judged, error) {
	all, err := p.Stores.Summaries(ctx, p.Repo, p.At, service)
	if err != nil {
		return nil, err
	}
	return p.decide(ctx, all)
}

// Look decides by the manifests and marks themselves.
func (p *Place) Look(ctx context.Context, service string) ([]Judged, error) {
	entries, err := p.Repo.ListService(ctx, service)
	if err != nil {
		return nil, err
	}
	all := make([]repository.Summary, len(entries))
	for i, e := range entries {
		all[i] = e.Summary()
	}
	return p.decide(ctx, all)
}

// decide decides on backups, each service by its own rule.
func (p *Place) decide(ctx context.Context, all []repository.Summary) ([]Judged, error) {
	if err := p.addMarks(ctx, all); err != nil {
		return nil, err
	}
	inUse, err := p.InUse()
	if err != nil {
		return nil, err
	}
	found := []Judged{}
	for _, ofService := range byService(all) {
		first := ofService[0]
		r, err := p.Rules.Of(first.ID.Service(), p.At)
		if err != nil {
			return nil, err
		}
		j := Judged{Service: first.Service()}
		if !r.None() {
			j.Rule = &r.Retention
		}
		if j.Decisions, err = plan(ctx, r.Retention, ofService, inUse, p.Repo); err != nil {
			return nil, err
		}
		found = append(found, j)
	}
	return found, nil
}

// Foretell says what Remove would do, as far as it can be known before.
func (p *Place) Foretell(ctx context.Context, service string, result *Pruned) error {
	var err error
	if result.Services, err = p.Look(ctx, service); err != nil {
		return err
	}
	gone := map[backup.ID]bool{}
	for _, j := range result.Services {
		for _, id := range j.Removed() {
			gone[id] = true
		}
	}
	result.Removed = len(gone)
	if len(gone) == 0 {
		return nil
	}
	// What other services' backups share stays.
	entries, err := p.Repo.List(ctx, "")
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

// Remove removes what no rule keeps of a service ("" for all), and frees its space. The caller keeps all other runs out of the repository (runs.Exclude).
func (p *Place) Remove(ctx context.Context, service string, result *Pruned) error {
	if p.At != stores.Here {
		release, err := p.Stores.Hold(ctx, p.At)
		if err != nil {
			return err
		}
		defer release()
	}
	var err error
	if result.Services, err = p.Look(ctx, service); err != nil {
		return err
	}
	var gone []backup.ID
	for _, j := range result.Services {
		gone = append(gone, j.Removed()...)
	}
	if err := p.forgetCopies(gone); err != nil { // before they go: what is remembered is never more than what is there
		return err
	}
	if err := p.Repo.Delete(ctx, gone...); err != nil {
		return err
	}
	result.Removed = len(gone)
	collected, err := p.Repo.Collect(ctx) // what a run that was cut off left, too
	result.Freed = collected.Bytes
	return err
}

// forgetCopies forgets what was remembered of copies that a store is about to lose, and that it lacks them on purpose.
func (p *Place) forgetCopies(gone []backup.ID) error {
	if p.At == stores.Here || len(gone) == 0 {
		return nil
	}
	remembered, err := p.Stores.Remembered(p.At)
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
	return p.Stores.Remember(p.At, remembered)
}
