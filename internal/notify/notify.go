// Package notify tells people what happened to their backups: by mail, chat, push, a JSON document or a ping. Start at Teller.
//
// It promises to be no trouble to what it tells of: receivers are told side by side, all of it together takes Limit at most, and what fails is
// returned as a line to print, nothing else. What happens is told each time. What lasts is told once to each receiver, and again after a
// day while it lasts; when it ends, those who were told hear of that. What was told is kept in a file, so that this holds for any number of runs.
// When that cannot be read or written people are told all the same: twice is better than never.
package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Kind is what an event is. A receiver is told of those that it was added for.
type Kind string

// What happened. Failed is over with the next Success, PracticeFailed with the next PracticePassed; both are told each time.
const (
	Failed         Kind = "failed"
	PracticeFailed Kind = "practice-failed"
	Success        Kind = "success"
	PracticePassed Kind = "practice-passed"
	Recovered      Kind = "recovered" // is told by this package, when something is over
	Test           Kind = "test"      // goes to one receiver, when a person asks for it
)

// Conditions: what lasts.
const (
	Warning         Kind = "warning"
	RetentionFailed Kind = "retention-failed"
	StoreBehind     Kind = "store-behind"
	NoGoodBackup    Kind = "no-good-backup"
)

// Kinds are all that a receiver can be added for, in the order of the help.
func Kinds() []Kind {
	return []Kind{Failed, Warning, Recovered, PracticeFailed, RetentionFailed, StoreBehind, NoGoodBackup, Success, PracticePassed}
}

// title is what a subject begins with.
func (k Kind) title() string {
	switch k {
	case Failed:
		return "Backup FAILED"
	case PracticeFailed:
		return "Practice FAILED"
	case RetentionFailed:
		return "Retention FAILED"
	case NoGoodBackup:
		return "NO GOOD BACKUP"
	case StoreBehind:
		return "Store behind"
	case Success:
		return "Backup made"
	case PracticePassed:
		return "Practice passed"
	case Warning:
		return "Warning"
	case Recovered:
		return "Recovered"
	case Test:
		return "Test message"
	}
	return string(k)
}

// Event is something to tell. Its texts may come from anywhere: a message never shows more of them than fits, nor their control characters.
type Event struct {
	Kind    Kind
	Service string    // type:name; "" for the host
	Backup  backup.ID // "" for none
	Host    string
	At      time.Time
	What    string   // a line. A condition whose line differs is another one, so it holds no ages
	Why     string   // more of it, such as the error
	Todo    []string // what to do, the last ideally a command to paste
	Trigger string   // of the run
}

// Longest texts, in bytes. A whole message fits what every receiver takes: the least is Discord's 2000 characters.
const (
	longestLine = 200
	longestWhy  = 700
	mostTodo    = 3
)

// subject is the event in a line.
func (e Event) subject() string {
	about := e.Host
	if e.Service != "" {
		about = fmt.Sprintf("%s on %s", e.Service, e.Host)
	}
	return clean(e.Kind.title()+": "+about, longestLine)
}

// text is the message without the subject.
func (e Event) text() string {
	var lines []string
	add := func(label, value string, most int) {
		if value = clean(value, most); value != "" {
			lines = append(lines, label+value)
		}
	}
	add("", e.What, longestLine)
	add("", e.Why, longestWhy)
	lines = append(lines, "")
	add("Service: ", e.Service, longestLine)
	add("Backup:  ", string(e.Backup), longestLine)
	add("Host:    ", e.Host, longestLine)
	add("Run by:  ", e.Trigger, longestLine)
	add("Time:    ", e.At.UTC().Format("2006-01-02 15:04:05 UTC"), longestLine)
	if len(e.Todo) > 0 {
		lines = append(lines, "", "What to do:")
	}
	for _, todo := range e.todo() {
		lines = append(lines, "  "+todo)
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// todo are the last ones of what to do, cleaned.
func (e Event) todo() []string {
	todo := []string{}
	for _, text := range e.Todo[max(0, len(e.Todo)-mostTodo):] {
		todo = append(todo, clean(text, longestLine))
	}
	return todo
}

// clean is text as one line of at most so many bytes, without anything that drives a terminal, hides or reverses letters, or begins a header.
func clean(text string, most int) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-len("...")], "") + "..."
	}
	return text
}

// ParseEvents are the kinds that a list such as "failed,warning" names; "all" are all, and "" is all that is wrong or over.
func ParseEvents(list string) ([]Kind, error) {
	switch list {
	case "all":
		return Kinds(), nil
	case "":
		return slices.DeleteFunc(Kinds(), func(k Kind) bool { return k == Success || k == PracticePassed }), nil
	}
	var kinds []Kind
	for word := range strings.SplitSeq(list, ",") {
		kind := Kind(strings.TrimSpace(word))
		if !slices.Contains(Kinds(), kind) {
			return nil, fmt.Errorf("there is no event %q; events are all, or of %s", kind, words(Kinds()))
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

func words(kinds []Kind) string {
	text := make([]string, len(kinds))
	for i, k := range kinds {
		text[i] = string(k)
	}
	return strings.Join(text, ", ")
}
