package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limit is how long all telling of a run of one service takes at most.
const Limit = 10 * time.Second

// A receiver that hangs leaves time for the others to hear of what comes later in the run: it is waited for so long, and not asked again for a while.
const (
	longestRound = 8 * time.Second
	silentFor    = time.Minute
)

// Teller tells receivers. It is safe for concurrent use.
type Teller struct {
	dir     string
	targets []*target
	now     func() time.Time

	mu     sync.Mutex
	spent  map[string]time.Duration // of Limit, by service
	silent map[string]time.Time     // receivers that did not answer, and when that was
}

// Failure is a receiver that could not be told.
type Failure struct {
	Receiver string // its name; "" where it is the state that could not be kept
	Why      string // for people, without secrets
}

func (f Failure) String() string {
	if f.Receiver == "" {
		return f.Why
	}
	return fmt.Sprintf("receiver %q was not told: %s", f.Receiver, f.Why)
}

// NewTeller is a teller that keeps what was told in the folder dir, which is made when needed. Receivers whose URL is not valid are failures.
func NewTeller(dir string, receivers []Receiver) (*Teller, []Failure) {
	t := &Teller{dir: dir, now: time.Now, spent: map[string]time.Duration{}, silent: map[string]time.Time{}}
	var failures []Failure
	for _, r := range receivers {
		u, kind, err := split(r.URL)
		if err != nil {
			failures = append(failures, Failure{r.Name, err.Error()})
			continue
		}
		s, err := newSender(kind, u)
		if err != nil {
			failures = append(failures, Failure{r.Name, redact(err.Error(), kind, u)})
			continue
		}
		t.targets = append(t.targets, &target{Receiver: r, kind: kind, url: u, sender: s})
	}
	return t, failures
}

// Start tells ping receivers, in the background, that a run of service begins.
func (t *Teller) Start(service string) {
	t.mu.Lock()
	delete(t.spent, service)
	t.mu.Unlock()
	for _, to := range t.targets {
		if p, is := to.sender.(*pinger); is && to.isFor(service) {
			send := p.start(service)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), longestRound/2) // leaves time for the end
				defer cancel()
				_ = send(ctx) // what is wrong shows at the end of the run
			}()
		}
	}
}

// message is an event on its way to some receivers.
type message struct {
	Event
	to     []*target
	topics []topic // that it tells of
	over   bool    // they are
}

// Tell tells of what happened: Failed, PracticeFailed, Success, PracticePassed, of one service. It returns within what is left of Limit.
func (t *Teller) Tell(ctx context.Context, events ...Event) []Failure {
	if len(events) == 0 {
		return nil
	}
	return t.round(ctx, events[0].Service, func(s *state) []message {
		var all []message
		for _, e := range events {
			m := message{Event: e, to: t.wanting(e)}
			switch e.Kind {
			case Failed, PracticeFailed:
				trouble := s.begin(e)
				trouble.Claimed = t.now()
				m.topics = []topic{trouble.topic()}
			case Success:
				all = append(all, t.recovered(s, e, s.of(e.Service, Failed, NoGoodBackup))...)
			case PracticePassed:
				all = append(all, t.recovered(s, e, s.of(e.Service, PracticeFailed))...)
			}
			all = append(all, m)
		}
		return all
	})
}

// Conditions tells of what lasts: holding are all conditions of the service that about names which hold at that time. New ones are told, old ones
// again after a day, and that those which do not hold any more are over. It returns within what is left of Limit.
func (t *Teller) Conditions(ctx context.Context, about Event, holding []Event) []Failure {
	return t.round(ctx, about.Service, func(s *state) []message {
		var all []message
		var current, over []*trouble
		for _, e := range holding {
			trouble := s.begin(e)
			current = append(current, trouble)
			due := slices.DeleteFunc(t.wanting(e), func(r *target) bool { return !trouble.due(r.Name, t.now()) })
			if len(due) > 0 && !trouble.claimed(t.now()) {
				trouble.Claimed = t.now()
				all = append(all, message{Event: e, to: due, topics: []topic{trouble.topic()}})
			}
		}
		for _, old := range s.of(about.Service, Warning, RetentionFailed, StoreBehind, NoGoodBackup) {
			switch {
			case slices.Contains(current, old):
			case slices.ContainsFunc(current, func(c *trouble) bool { return c.Kind == old.Kind }):
				s.remove(old) // it changed, which is told
			default:
				over = append(over, old)
			}
		}
		return append(all, t.recovered(s, about, over)...)
	})
}

// Test sends a test message to all receivers, whatever they want to be told of.
func (t *Teller) Test(ctx context.Context, e Event) []Failure {
	return t.round(ctx, e.Service, func(*state) []message { return []message{{Event: e, to: t.targets}} })
}

// wanting are the receivers to tell of an event.
func (t *Teller) wanting(e Event) []*target {
	var all []*target
	for _, r := range t.targets {
		if r.kind == "ping" && r.isFor(e.Service) && (e.Kind == Success || e.Kind == Failed) || r.kind != "ping" && r.wants(e) {
			all = append(all, r)
		}
	}
	return all
}

// recovered is the message that troubles are over, to those who were told of one.
func (t *Teller) recovered(s *state, about Event, over []*trouble) []message {
	e := Event{Kind: Recovered, Service: about.Service, Backup: about.Backup, Host: about.Host, At: about.At, Trigger: about.Trigger, What: "good again"}
	m := message{over: true}
	var ended []string
	for _, trouble := range over {
		if trouble.claimed(t.now()) {
			continue // another run is telling of it
		}
		knowing := slices.DeleteFunc(t.wanting(e), func(r *target) bool { _, told := trouble.Next[r.Name]; return !told })
		if len(knowing) == 0 {
			s.remove(trouble)
			continue
		}
		trouble.Claimed = t.now()
		m.to = append(m.to, knowing...)
		m.topics = append(m.topics, trouble.topic())
		ended = append(ended, trouble.String())
	}
	if len(m.to) == 0 {
		return nil
	}
	e.Why = "over: " + strings.Join(ended, "; ")
	m.Event = e
	return []message{m}
}

// round decides, sends and remembers what came of it.
func (t *Teller) round(ctx context.Context, service string, decide func(*state) []message) []Failure {
	if len(t.targets) == 0 {
		return nil
	}
	begun := time.Now()
	t.mu.Lock()
	left := Limit - t.spent[service]
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.spent[service] += time.Since(begun)
		t.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, min(longestRound, left-2*patience-lastWords))
	defer cancel()
	var all []message
	err := change(t.dir, func(s *state) { all = decide(s) })
	if len(all) == 0 {
		return stateFailure(err)
	}
	done := t.deliver(ctx, all)
	err = errors.Join(err, change(t.dir, func(s *state) { t.settle(s, all, done) }))
	failures := stateFailure(err)
	for i, deliveries := range done {
		for _, d := range deliveries {
			if d.outcome != told && !d.silent {
				failures = append(failures, Failure{t.targets[i].Name, d.why})
				break // one line a receiver
			}
		}
	}
	return failures
}

func stateFailure(err error) []Failure {
	if err == nil {
		return nil
	}
	return []Failure{{Why: "some may be told twice: " + clean(err.Error(), longestWhy)}}
}

// delivery is what came of a message to a receiver.
type delivery struct {
	message
	outcome outcome
	why     string
	silent  bool // it was not asked, since it did not answer before
}

// deliver sends messages, to all receivers at once, those to one in their order. It returns what came of them, by the receiver's index.
func (t *Teller) deliver(ctx context.Context, all []message) [][]delivery {
	done := make([][]delivery, len(t.targets))
	var sending sync.WaitGroup
	for i, r := range t.targets {
		sending.Go(func() {
			for _, m := range all {
				if slices.Contains(m.to, r) {
					done[i] = append(done[i], t.one(ctx, r, m))
				}
			}
		})
	}
	sending.Wait()
	return done
}

func (t *Teller) one(ctx context.Context, r *target, m message) delivery {
	t.mu.Lock()
	since, was := t.silent[r.Name]
	t.mu.Unlock()
	if was && time.Since(since) < silentFor {
		return delivery{message: m, outcome: unreachable, why: "it did not answer a moment ago", silent: true}
	}
	if ctx.Err() != nil {
		return delivery{message: m, outcome: unreachable, why: "no time was left"}
	}
	outcome, why := r.tell(ctx, m.Event)
	if outcome == unknown || ctx.Err() != nil {
		t.mu.Lock()
		t.silent[r.Name] = time.Now()
		t.mu.Unlock()
	}
	return delivery{message: m, outcome: outcome, why: why}
}

// settle remembers what came of messages.
func (t *Teller) settle(s *state, all []message, done [][]delivery) {
	for _, m := range all {
		for _, of := range m.topics {
			if trouble := s.find(of); trouble != nil {
				trouble.Claimed = time.Time{}
			}
		}
	}
	for i, deliveries := range done {
		for _, d := range deliveries {
			a := s.attempt(t.targets[i].Name)
			if a.Failure = d.why; d.outcome == told {
				a.Sent = t.now()
			} else {
				a.Failed = t.now()
			}
			for _, of := range d.topics {
				if trouble := s.find(of); trouble != nil {
					trouble.settle(t.targets[i].Name, d, t.now())
				}
			}
		}
	}
}

// settle remembers that a receiver was told of the trouble, or that it is over. Nothing is remembered of what did not leave this host.
func (t *trouble) settle(name string, d delivery, now time.Time) {
	switch {
	case d.outcome == unreachable:
	case d.over:
		delete(t.Next, name)
	case d.outcome == refused:
		t.Next[name] = now.Add(askAfter)
	default:
		t.Next[name] = now.Add(remindAfter)
	}
}
