package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/retention"
	"github.com/dokku-backup/dokku-backup/internal/stores"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// retainTimeout is how long retention may take in one place after a backup: other backups wait for it. The next one goes on.
const retainTimeout = 5 * time.Minute

// retained is what retention did after a backup.
type retained struct {
	removed int
	freed   int64
	failed  error  // of a place, the first one
	at      string // that place
	left    bool   // to the next backup, since another run was under way
}

// retain applies the retention of a service after a backup of it: here, and at each store that has its newest good one. Where another run is
// under way it is left to the next backup. A failure is told, and kept until the next success; it is no failure of the backup.
func (p *program) retain(ctx context.Context, service dokku.Service) retained {
	var done retained
	places := []string{here}
	to, err := p.stores().Addressed()
	if err != nil {
		done.failed, done.at = err, here
	}
	for _, r := range to {
		places = append(places, r.Name)
	}
	for _, at := range places {
		limited, cancel := context.WithTimeout(ctx, retainTimeout)
		err := p.retainAt(limited, at, service, &done)
		if err != nil && limited.Err() != nil {
			err = fmt.Errorf("it took longer than %s; the next backup goes on", retainTimeout)
		}
		cancel()
		if ctx.Err() != nil {
			return done // interrupted, which the caller tells
		}
		if err != nil && done.failed == nil {
			done.failed, done.at = err, at
			if at != here {
				done.failed = stores.ErrorOf(at, err)
			}
		}
	}
	if done.removed > 0 {
		p.ui.Detail("retention: %s removed, %s freed", ui.Plural(done.removed, "backup"), ui.Bytes(done.freed))
	}
	if done.failed != nil {
		p.ui.Warn("retention failed: %s", repository.Told(done.failed).Message)
		for _, hint := range repository.Told(done.failed).Hints {
			p.ui.Warn("%s", hint)
		}
	}
	if done.failed == nil && done.left {
		return done // nothing is known of how it would have ended
	}
	if err := p.keepRetention(service, done); err != nil {
		p.ui.Warn("%v", err)
	}
	return done
}

func (p *program) retainAt(ctx context.Context, at string, service dokku.Service, done *retained) error {
	r, err := p.rules().Of(service.Name, at)
	if err != nil || r.None() {
		return err
	}
	if at != here {
		own, err := p.openRepository(ctx)
		if err != nil {
			return err
		}
		if current, err := retention.Current(ctx, p.stores(), own, at, service.String()); err != nil || !current {
			return err
		}
	}
	place, err := p.placeAt(ctx, at)
	if err != nil {
		return err
	}
	found, err := place.Glance(ctx, service.String())
	if err != nil {
		return err
	}
	if failed, _ := p.retentionFailures().Last(service.Name); failed == "" && !slices.ContainsFunc(found, func(j retention.Judged) bool { return len(j.Removed()) > 0 }) {
		return nil
	}
	release, ok, err := p.runs().Exclude()
	if err != nil {
		return err
	}
	if !ok {
		done.left = true
		return nil
	}
	defer release()
	result := retention.Pruned{}
	err = place.Remove(ctx, service.String(), &result)
	done.removed += result.Removed
	done.freed += result.Freed
	return err
}

func (p *program) retentionFailures() retention.Failures {
	return retention.Failures{Dir: filepath.Join(p.host.DataDir(), "retention")}
}

// keepRetention keeps how retention ended.
func (p *program) keepRetention(service dokku.Service, done retained) error {
	if done.failed == nil {
		return p.retentionFailures().Clear(service.Name)
	}
	return p.retentionFailures().Keep(service.Name, done.at, done.failed)
}

// keptHere are the services whose backups their owner wants on this host alone.
func (p *program) keptHere(all []repository.Summary) (map[string]bool, error) {
	here := map[string]bool{}
	for _, s := range all {
		service := s.ID.Service()
		if _, known := here[service]; known {
			continue
		}
		upload, err := p.isOn(service, "upload")
		if err != nil {
			return nil, err
		}
		here[service] = !upload
	}
	return here, nil
}

// unwanted are the backups here that are not to be sent to a store.
func (p *program) unwanted(ctx context.Context, store string, own, there *repository.Repository) (map[backup.ID]bool, error) {
	mine, err := p.stores().Summaries(ctx, own, here, "")
	if err != nil {
		return nil, err
	}
	keptHere, err := p.keptHere(mine)
	if err != nil {
		return nil, err
	}
	return p.place(store, there, own).Unwanted(ctx, mine, keptHere)
}

// placeAt opens the place. Without a repository here the error matches fs.ErrNotExist.
func (p *program) placeAt(ctx context.Context, at string) (*retention.Place, error) {
	repo, err := p.repositoryAt(ctx, at)
	if err != nil || at == here {
		return p.place(at, repo, nil), err
	}
	if err := p.stores().MayWrite(ctx, repo, at); err != nil {
		return nil, err
	}
	own, err := p.openRepository(ctx)
	return p.place(at, repo, own), err
}

func (p *program) place(at string, repo, own *repository.Repository) *retention.Place {
	return &retention.Place{At: at, Repo: repo, Own: own, Rules: p.rules(), Stores: p.stores(), InUse: p.inUse}
}

// inUse are the backups that restores which have not finished still need.
func (p *program) inUse() (map[backup.ID]bool, error) {
	records, _, err := p.journals().Unfinished()
	ids := map[backup.ID]bool{}
	for _, r := range records {
		if !r.Request.Practice { // which nobody resumes
			ids[r.Request.Backup] = true
		}
	}
	return ids, err
}
