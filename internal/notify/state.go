package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
)

// When a receiver is told again of what lasts: after it was told, and after it refused. One that could not be reached is tried at the next look.
const (
	remindAfter = 24 * time.Hour
	askAfter    = 6 * time.Hour
)

// claimFor is how long a run has what it began to tell for itself. When it was killed, the next look after that tells.
const claimFor = time.Minute

// state is what was told, as it is kept.
type state struct {
	Version  int                 `json:"version"`
	Troubles []*trouble          `json:"troubles"`
	Attempts map[string]*Attempt `json:"receivers"` // by name
}

// trouble is what is wrong with a service, as long as it is.
type trouble struct {
	Service string               `json:"service"`
	Kind    Kind                 `json:"kind"`
	What    string               `json:"what,omitempty"`
	Since   time.Time            `json:"since"`
	Next    map[string]time.Time `json:"next"` // receivers that were told -> when to tell them again
	Claimed time.Time            `json:"claimed,omitzero"`
}

// Attempt is what came of telling a receiver.
type Attempt struct {
	Sent    time.Time `json:"sent,omitzero"`     // the last time that it was told
	Failed  time.Time `json:"failed,omitzero"`   // the last time that it was not
	Failure string    `json:"failure,omitempty"` // why the last try failed, without secrets; "" when it did not
}

const (
	stateFile    = "state.json"
	stateVersion = 1
)

// readState reads what was told, and its text. What is damaged, or of a newer version, is nothing: people are told again.
func readState(dir string) (*state, []byte) {
	s := &state{}
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil || json.Unmarshal(text, s) != nil || s.Version != stateVersion {
		s, text = &state{Version: stateVersion}, nil
	}
	s.Troubles = slices.DeleteFunc(s.Troubles, func(t *trouble) bool { return t == nil })
	for _, t := range s.Troubles {
		if t.Next == nil {
			t.Next = map[string]time.Time{}
		}
	}
	maps.DeleteFunc(s.Attempts, func(_ string, a *Attempt) bool { return a == nil })
	if s.Attempts == nil {
		s.Attempts = map[string]*Attempt{}
	}
	return s, text
}

// change changes the state, alone. A change that cannot be kept is made all the same, and its error returned.
func change(dir string, f func(*state)) error {
	unlock, err := lock(dir)
	if err == nil {
		defer unlock()
	}
	s, before := readState(dir)
	f(s)
	if err == nil {
		err = s.write(dir, before)
	}
	if err != nil {
		return fmt.Errorf("what was told cannot be remembered: %w", err)
	}
	return nil
}

// patience is how long another run may hold the state, which it does for moments.
const patience = 500 * time.Millisecond

func lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "state.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("lock it: %w", err), f.Close())
		}
	}
}

// write replaces the file, unless the text in it is the same.
func (s *state) write(dir string, before []byte) error {
	s.Troubles = slices.DeleteFunc(s.Troubles, func(t *trouble) bool { return len(t.Next) == 0 && t.Claimed.IsZero() }) // nobody knows of it
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if text = append(text, '\n'); bytes.Equal(text, before) || before == nil && len(s.Troubles)+len(s.Attempts) == 0 {
		return nil
	}
	return atomicfile.Replace(filepath.Join(dir, stateFile), text)
}

// Attempts are what came of telling receivers the last time, by name.
func Attempts(dir string) map[string]Attempt {
	all := map[string]Attempt{}
	s, _ := readState(dir)
	for name, a := range s.Attempts {
		all[name] = *a
	}
	return all
}

// Forget removes what is remembered of a receiver.
func Forget(dir, name string) error {
	if _, err := os.Stat(filepath.Join(dir, stateFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return change(dir, func(s *state) {
		delete(s.Attempts, name)
		for _, t := range s.Troubles {
			delete(t.Next, name)
		}
	})
}

// String is the trouble for people, when it is over.
func (t *trouble) String() string {
	text := fmt.Sprintf("%s since %s", t.Kind, t.Since.UTC().Format("2006-01-02 15:04 UTC"))
	if t.What != "" {
		text += ": " + t.What
	}
	return text
}

// topic is what a trouble is: at any time there is one trouble of a topic.
type topic struct {
	service string
	kind    Kind
	what    string
}

func (t *trouble) topic() topic { return topic{t.Service, t.Kind, t.What} }

func topicOf(e Event) topic {
	if e.Kind == Failed || e.Kind == PracticeFailed {
		return topic{e.Service, e.Kind, ""} // whatever failed, one success ends it
	}
	return topic{e.Service, e.Kind, clean(e.What, longestLine)}
}

// find is the trouble of a topic, nil when there is none.
func (s *state) find(of topic) *trouble {
	for _, t := range s.Troubles {
		if t.topic() == of {
			return t
		}
	}
	return nil
}

// begin is the trouble of an event, a new one when there is none.
func (s *state) begin(e Event) *trouble {
	of := topicOf(e)
	t := s.find(of)
	if t == nil {
		t = &trouble{Service: of.service, Kind: of.kind, What: of.what, Since: e.At, Next: map[string]time.Time{}}
		s.Troubles = append(s.Troubles, t)
	}
	return t
}

// of are the troubles of a service of some kinds.
func (s *state) of(service string, kinds ...Kind) []*trouble {
	var all []*trouble
	for _, t := range s.Troubles {
		if t.Service == service && slices.Contains(kinds, t.Kind) {
			all = append(all, t)
		}
	}
	return all
}

func (s *state) remove(gone *trouble) {
	s.Troubles = slices.DeleteFunc(s.Troubles, func(t *trouble) bool { return t == gone })
}

// due tells whether a receiver is to be told now. A time that is too far off was noted before the clock was set back.
func (t *trouble) due(name string, now time.Time) bool {
	wait := t.Next[name].Sub(now)
	return wait <= 0 || wait > remindAfter+askAfter
}

// claimed tells whether another run is telling of the trouble.
func (t *trouble) claimed(now time.Time) bool {
	age := now.Sub(t.Claimed)
	return age >= 0 && age < claimFor // else the clock was set back
}

// attempt is that of a receiver, a new one when there is none.
func (s *state) attempt(name string) *Attempt {
	if s.Attempts[name] == nil {
		s.Attempts[name] = &Attempt{}
	}
	return s.Attempts[name]
}
