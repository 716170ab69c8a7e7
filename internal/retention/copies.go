package retention

import (
	"cmp"
	"context"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/stores"
)

// Current tells whether a store is known to have the newest good backup of a service, as own has them.
func Current(ctx context.Context, s stores.Stores, own *repository.Repository, at, service string) (bool, error) {
	remembered, err := s.Remembered(at)
	if err != nil {
		return false, err
	}
	all, err := s.Summaries(ctx, own, stores.Here, service)
	if err != nil {
		return false, err
	}
	for _, b := range all {
		if c := candidate(b); !c.Unreadable && !c.Damaged && !b.ID.Time().After(time.Now()) {
			return !remembered.Confirmed[b.ID].IsZero(), nil
		}
	}
	return false, nil
}

// Unwanted are the backups here, mine, that are not to be sent to the store: those of services whose owner keeps them here, and those that its retention
// would remove there. It decides on what is here and what is there together, so that what is removed there is not sent again, and what is sent is not removed.
func (p *Place) Unwanted(ctx context.Context, mine []repository.Summary, keptHere map[string]bool) (map[backup.ID]bool, error) {
	unwanted := map[backup.ID]bool{}
	for _, s := range mine {
		if keptHere[s.ID.Service()] {
			unwanted[s.ID] = true
		}
	}
	rules := p.rulesFor(mine)
	if len(rules) == 0 {
		return unwanted, nil
	}
	all, err := p.Stores.Summaries(ctx, p.Repo, p.At, "")
	if err != nil {
		return nil, err
	}
	mergeMarks(all, mine, &repository.Copy{}) // a damaged copy is sent again, and is as good then as what is here
	isThere := map[backup.ID]bool{}
	for _, s := range all {
		isThere[s.ID] = true
	}
	isHere := map[backup.ID]bool{}
	for _, s := range mine {
		isHere[s.ID] = true
		if !isThere[s.ID] {
			all = append(all, s)
		}
	}
	for _, ofService := range byService(all) {
		r, ruled := rules[ofService[0].ID.Service()]
		if !ruled {
			continue
		}
		decisions, err := plan(ctx, r, ofService, nil, p.Own, p.Repo)
		if err != nil {
			return nil, err
		}
		for _, d := range decisions {
			if !d.Keep && isHere[d.ID] {
				unwanted[d.ID] = true
			}
		}
	}
	return unwanted, nil
}

// rulesFor are the rules here of those services that have one, by their names.
func (p *Place) rulesFor(all []repository.Summary) map[string]backup.Retention {
	rules := map[string]backup.Retention{}
	seen := map[string]bool{}
	for _, s := range all {
		service := s.ID.Service()
		if seen[service] {
			continue
		}
		seen[service] = true
		// A rule that cannot be understood keeps nothing from being sent; retention itself tells of it.
		if r, err := p.Rules.Of(service, p.At); err == nil && !r.None() {
			rules[service] = r.Retention
		}
	}
	return rules
}

// addMarks adds what this host knows of the backups in a store: a pin that was not sent yet holds, and a copy that was found damaged is no good one.
func (p *Place) addMarks(ctx context.Context, all []repository.Summary) error {
	if p.Own == nil {
		return nil
	}
	remembered, err := p.Stores.Remembered(p.At)
	if err != nil {
		return err
	}
	own, err := p.Stores.Summaries(ctx, p.Own, stores.Here, "")
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
