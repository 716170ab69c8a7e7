package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Receiver is somebody to tell.
type Receiver struct {
	Name     string
	URL      string   // as Parse takes it; it holds secrets, and is never shown
	Events   []Kind   // to be told of; a ping receiver is told when a backup begins, succeeds and fails, and nothing else
	Services []string // bare, or type:name; none for all
}

var receiverName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// ValidName tells whether a receiver may be called so: of a-z, 0-9 and inner hyphens, at most 32 characters.
func ValidName(name string) bool { return receiverName.MatchString(name) }

// Address is what is known of a URL without its secrets.
type Address struct {
	Kind string // json, ping, or one of the library's: smtp, slack, ...
	Text string // masked, for people
}

// Parse checks a URL, without asking whoever is behind it. The error holds no secrets.
func Parse(rawURL string) (Address, error) {
	u, kind, err := split(rawURL)
	if err != nil {
		return Address{}, err
	}
	if _, err := newSender(kind, u); err != nil {
		return Address{}, fmt.Errorf("the URL is not one of kind %s: %s", kind, redact(err.Error(), kind, u))
	}
	return Address{Kind: kind, Text: mask(kind, u)}, nil
}

// split parses a URL and finds its kind: json+https://... is one of kind json.
func split(rawURL string) (*url.URL, string, error) {
	u, err := url.Parse(strings.TrimSpace(rawURL))
	if err != nil {
		return nil, "", errors.New("that is not a URL") // err would hold it
	}
	kind, inner, custom := strings.Cut(u.Scheme, "+")
	switch {
	case kind == "":
		return nil, "", errors.New("that is not a URL: it begins with a kind, such as smtp://")
	case kind == "http" || kind == "https":
		return nil, "", fmt.Errorf("say what to send there: json+%s://... for a JSON document, ping+%[1]s://... for a ping", kind)
	case kind != "json" && kind != "ping":
		return u, kind, nil
	case !custom || inner != "http" && inner != "https" || u.Host == "":
		return nil, "", fmt.Errorf("an address of kind %s is %[1]s+https://host/path", kind)
	}
	u.Scheme = inner
	return u, kind, nil
}

// sender sends events to one receiver. Errors may hold secrets.
type sender interface {
	// send returns when the receiver has taken the event, or refused it. What it sends before ctx ends may have arrived.
	send(ctx context.Context, e Event) error
}

func newSender(kind string, u *url.URL) (sender, error) {
	switch kind {
	case "json":
		return webhook{u}, nil
	case "ping":
		return &pinger{url: u}, nil
	case "telegram":
		return newTelegram(u)
	}
	return newService(kind, u)
}

// wants tells whether the receiver is to be told of an event.
func (r Receiver) wants(e Event) bool { return r.isFor(e.Service) && slices.Contains(r.Events, e.Kind) }

// isFor tells whether the receiver is one of a service.
func (r Receiver) isFor(service string) bool {
	_, bare, _ := strings.Cut(service, ":")
	return len(r.Services) == 0 || service == "" || slices.Contains(r.Services, service) || slices.Contains(r.Services, bare)
}

// outcome is what came of telling a receiver.
type outcome int

const (
	told    outcome = iota
	unknown         // it did not answer in time; it may have arrived
	refused
	unreachable // nothing was sent
)

// target is a receiver with its sender.
type target struct {
	Receiver
	kind   string
	url    *url.URL
	sender sender
}

// retryAfter is the pause before the one retry. A refused connection is refused at once.
const retryAfter = 500 * time.Millisecond

// lastWords is the time for a sender to say how far it came when its time is over.
const lastWords = 100 * time.Millisecond

// tell sends e until ctx ends. The reason is for people, "" when it was told.
func (t *target) tell(ctx context.Context, e Event) (outcome, string) {
	done := make(chan error, 1)
	go func() { done <- t.try(ctx, e) }() // a service of the library knows no context, and goes on
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case err = <-done:
		case <-time.After(lastWords):
			err = ctx.Err()
		}
	}
	switch {
	case err == nil:
		return told, ""
	case notSent(err):
		return unreachable, redact(err.Error(), t.kind, t.url)
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return unknown, "no answer in time; it may have arrived"
	}
	return refused, redact(err.Error(), t.kind, t.url)
}

// try sends e, and once more when nothing can have arrived.
func (t *target) try(ctx context.Context, e Event) (err error) {
	defer func() {
		if r := recover(); r != nil { // a backup does not end for want of a library's care
			err = fmt.Errorf("the sender broke off: %v", r)
		}
	}()
	err = t.sender.send(ctx, e)
	if err == nil || !notSent(err) || !onceConnected(t.kind) {
		return err
	}
	select {
	case <-ctx.Done():
		return err
	case <-time.After(retryAfter):
		return t.sender.send(ctx, e)
	}
}
