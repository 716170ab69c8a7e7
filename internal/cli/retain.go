package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
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
		p.ui.Detail("retention: %s removed, %s freed", count(done.removed, "backup"), ui.Bytes(done.freed))
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
	if err := p.keepRetention(service.Name, done); err != nil {
		p.ui.Warn("%v", err)
	}
	return done
}

func (p *program) retainAt(ctx context.Context, at string, service dokku.Service, done *retained) error {
	r, err := p.rule(service.Name, at)
	if err != nil || r.none() {
		return err
	}
	if at != here {
		if current, err := p.isCurrent(ctx, at, service); err != nil || !current {
			return err
		}
	}
	g, err := p.pruningAt(ctx, at)
	if err != nil {
		return err
	}
	found, err := g.glance(ctx, service.String())
	if err != nil {
		return err
	}
	if failed, _ := p.retentionFailed(service.Name); failed == "" && !anyRemoved(found) {
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
	result := pruned{}
	err = g.remove(ctx, service.String(), &result)
	done.removed += result.Removed
	done.freed += result.Freed
	return err
}

func anyRemoved(found []judged) bool {
	for _, j := range found {
		if len(j.removed()) > 0 {
			return true
		}
	}
	return false
}

// isCurrent tells whether a store is known to have the newest good backup of a service.
func (p *program) isCurrent(ctx context.Context, at string, service dokku.Service) (bool, error) {
	repo, err := p.openRepository(ctx)
	if err != nil {
		return false, err
	}
	remembered, err := p.stores().Remembered(at)
	if err != nil {
		return false, err
	}
	all, err := p.stores().Summaries(ctx, repo, here, service.String())
	if err != nil {
		return false, err
	}
	for _, s := range all {
		if c := candidate(s); !c.Unreadable && !c.Damaged && !s.ID.Time().After(time.Now()) {
			return !remembered.Confirmed[s.ID].IsZero(), nil
		}
	}
	return false, nil
}

// retentionFailure is what is kept of retention that failed, until it succeeds.
type retentionFailure struct {
	Failed string    `json:"failed"`
	Where  string    `json:"where"`
	At     time.Time `json:"at"`
}

func (p *program) retentionPath(service string) string {
	return filepath.Join(p.host.DataDir(), "retention", bareName(service)+".json")
}

// bareName is a service's name without its type.
func bareName(service string) string { return service[strings.IndexByte(service, ':')+1:] }

// keepRetention keeps how retention ended.
func (p *program) keepRetention(service string, done retained) error {
	path := p.retentionPath(service)
	if done.failed == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear the failure of retention: %w", err)
		}
		return nil
	}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = atomicfile.ReplaceJSON(path, retentionFailure{repository.Told(done.failed).Message, done.at, time.Now().UTC().Truncate(time.Second)})
	}
	if err != nil {
		return fmt.Errorf("keep the failure of retention: %w", err)
	}
	return nil
}

// mended clears the failure of a service's retention in one place.
func (p *program) mended(service, at string) error {
	if f, failed := p.retentionFailure(service); !failed || f.Where != at {
		return nil
	}
	return p.keepRetention(service, retained{})
}

func (p *program) retentionFailure(service string) (f retentionFailure, failed bool) {
	text, err := os.ReadFile(p.retentionPath(service))
	if errors.Is(err, fs.ErrNotExist) {
		return f, false
	}
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		f.Failed = "it is not known why: " + err.Error()
	}
	return f, true
}

// retentionFailed is why retention of a service failed the last time, and when; "" when it did not.
func (p *program) retentionFailed(service string) (string, time.Time) {
	f, _ := p.retentionFailure(service)
	return f.Failed, f.At
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

// unwanted are the backups here that are not to be sent to a store: those whose upload is off, and those that its retention would remove there. It decides on what is here and what is there
// together, so that what is removed there is not sent again, and what is sent is not removed.
func (p *program) unwanted(ctx context.Context, name string, own, there *repository.Repository) (map[backup.ID]bool, error) {
	mine, err := p.stores().Summaries(ctx, own, here, "")
	if err != nil {
		return nil, err
	}
	unwanted := map[backup.ID]bool{}
	keptHere, err := p.keptHere(mine)
	if err != nil {
		return nil, err
	}
	for _, s := range mine {
		if keptHere[s.ID.Service()] {
			unwanted[s.ID] = true
		}
	}
	rules := p.rulesAt(name, mine)
	if len(rules) == 0 {
		return unwanted, nil
	}
	all, err := p.stores().Summaries(ctx, there, name, "")
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
		decisions, err := planRetention(ctx, r, ofService, nil, own, there)
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

// rulesAt are the rules at a store of those services that have one, by their names.
func (p *program) rulesAt(store string, all []repository.Summary) map[string]backup.Retention {
	rules := map[string]backup.Retention{}
	seen := map[string]bool{}
	for _, s := range all {
		service := s.ID.Service()
		if seen[service] {
			continue
		}
		seen[service] = true
		// A rule that cannot be understood keeps nothing from being sent; retention itself tells of it.
		if r, err := p.rule(service, store); err == nil && !r.none() {
			rules[service] = r.Retention
		}
	}
	return rules
}
