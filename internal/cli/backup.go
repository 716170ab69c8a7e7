package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/stores"
)

// order is a backup that is asked for, by a person, a schedule or a hook.
type order struct {
	service dokku.Service
	note    string
	trigger string            // as the manifest has it
	timeout time.Duration     // 0: as it is set
	tries   int               // how often it is begun, when it fails; 0 means once
	pin     bool              // the backup is never to be removed
	later   bool              // stores are sent to by the next run of schedules, which comes within the hour: somebody waits for this one
	coming  map[string]string // app -> commit that is about to be deployed
}

// made is what came of an order.
type made struct {
	*backup.Manifest
	stores   []stores.Sent
	retained retained
}

// whole tells whether all went well after the backup was complete here.
func (m *made) whole() bool {
	for _, s := range m.stores {
		if !s.OK() {
			return false
		}
	}
	return len(m.Warnings) == 0 && m.retained.failed == nil
}

// backUp makes a backup, sends it to the stores, removes what retention does not keep, and tells of what happened. A store or retention that
// fails is in what it returns; with an error it returns nil, or the backup that is complete when its pin or the sending broke off.
func (p *program) backUp(ctx context.Context, o order) (*made, error) {
	defer p.endLog()
	manifest, err := p.tryCapture(ctx, o)
	if err != nil {
		err = notCreated(err, o.service)
		if !isLocked(err) { // the run that is under way tells
			p.tellFailed(ctx, o, err)
		}
		return nil, err
	}
	m := &made{Manifest: manifest}
	if o.pin {
		if err := p.pin(ctx, m.ID); err != nil {
			p.ui.Warn("%s is complete here; it is neither pinned nor sent to stores: dokku backup:pin %[1]s, dokku backup:sync", m.ID)
			return m, err
		}
	}
	if !o.later {
		if m.stores, err = p.sendNew(ctx, o.service); err != nil {
			p.ui.Warn("%s is complete here; it is not yet at every store: dokku backup:sync", m.ID)
			return m, err
		}
	}
	m.retained = p.retain(ctx, o.service)
	p.tellMade(m)
	p.afterRun(ctx, o.service)
	return m, nil
}

// tryCapture captures, as often as the order says.
func (p *program) tryCapture(ctx context.Context, o order) (*backup.Manifest, error) {
	for try := 1; ; try++ {
		m, err := p.capture(ctx, o)
		if err == nil || try >= o.tries || ctx.Err() != nil || isLocked(err) {
			return m, err
		}
		p.ui.Warn("%s; trying once more", repository.Told(err).Message)
	}
}

// isLocked tells whether another run was under way.
func isLocked(err error) bool {
	var problem *backup.Problem
	return errors.As(err, &problem) && problem.ExitCode() == backup.ExitLocked
}

// minutes is a setting of a service that is a number of minutes.
func (p *program) minutes(service dokku.Service, key string) (time.Duration, error) {
	value, err := p.setting(service.Name, key)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0, fmt.Errorf("setting %s of %s is %q, not a number of minutes; set it again: dokku backup:set %s %[1]s MINUTES", key, service, value, service.Name)
	}
	return time.Duration(n) * time.Minute, nil
}
