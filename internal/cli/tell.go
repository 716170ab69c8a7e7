package cli

import (
	"context"

	"github.com/dokku-backup/dokku-backup/internal/notify"
)

// pingStart tells ping receivers in the background that a run of service begins.
func (p *program) pingStart(service string) {
	if t := p.openTeller(); t != nil {
		t.Start(service)
	}
}

// tell tells receivers of what happened to one service. It takes notify.Limit a run at most. Whom it could not tell is a warning. A run that was
// interrupted tells too, so no context ends it.
func (p *program) tell(events ...notify.Event) {
	if t := p.openTeller(); t != nil {
		p.warnOf(t.Tell(context.Background(), events...))
	}
}

// conditions tells receivers of what lasts: now is all that holds of a service. What they know, they are not told again, but for once a day.
func (p *program) conditions(service string, now []notify.Event) {
	if t := p.openTeller(); t != nil {
		p.warnOf(t.Conditions(context.Background(), p.event(notify.Recovered, service), now))
	}
}

func (p *program) warnOf(failures []notify.Failure) {
	for _, f := range failures {
		p.ui.Warn("%s", f)
	}
}

// openTeller is what tells the receivers that were added; nil when there are none. It is opened once, so that a run tells of what happens to the
// repository too. Receivers whose URL cannot be read are warned of.
func (p *program) openTeller() *notify.Teller {
	if p.teller != nil {
		return p.teller
	}
	all, err := p.receivers()
	if err != nil {
		p.ui.Warn("not all receivers of notifications can be told: %v", err)
	}
	if len(all) == 0 {
		return nil
	}
	repo, err := p.openRepository(context.Background())
	if err != nil {
		p.ui.Warn("nobody can be told: the URLs are sealed: %v", err)
		return nil
	}
	var receivers []notify.Receiver
	for _, r := range all {
		opened, err := r.open(repo)
		if err != nil {
			p.ui.Warn("%v", err)
			continue
		}
		receivers = append(receivers, opened)
	}
	teller, failures := notify.NewTeller(p.notifyDir(), receivers)
	p.warnOf(failures)
	p.teller = teller
	return teller
}

// receiversFailing are the names of the receivers that could not be told anything the last time.
func (p *program) receiversFailing() []string {
	all, _ := p.receivers() // one that is damaged is warned of when it is to be told
	attempts := notify.Attempts(p.notifyDir())
	var names []string
	for _, r := range all {
		if attempts[r.Name].Failure != "" {
			names = append(names, r.Name)
		}
	}
	return names
}
