package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// errNotSent is in the errors of what did not leave this host.
var errNotSent = errors.New("cannot be reached")

// post sends a body. Redirects are errors, since most would turn it into a GET without one. It waits for the body of an error alone.
func post(ctx context.Context, u *url.URL, contentType string, body []byte) error {
	connected := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", "dokku-backup")
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil && !connected {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, longestLine)) // the status is enough
		return fmt.Errorf("it answered %s: %s", answer.Status, why)
	}
	return nil
}

// notSent tells whether an error came before a connection was there.
func notSent(err error) bool {
	var failed *net.OpError
	return errors.Is(err, errNotSent) || errors.As(err, &failed) && failed.Op == "dial"
}

func isTimeout(err error) bool {
	var failed net.Error
	return errors.As(err, &failed) && failed.Timeout()
}

// Document is what a receiver of kind json gets, as doc/notifications.md says.
type Document struct {
	Version int       `json:"version"` // 1
	ID      string    `json:"id"`      // of this delivery
	Event   Kind      `json:"event"`
	At      time.Time `json:"at"`
	Host    string    `json:"host"`
	Service string    `json:"service,omitempty"`
	Backup  backup.ID `json:"backup,omitempty"`
	Trigger string    `json:"trigger,omitempty"`
	What    string    `json:"what"`
	Why     string    `json:"why,omitempty"`
	Todo    []string  `json:"todo"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
}

// webhook posts a Document.
type webhook struct{ url *url.URL }

func (w webhook) send(ctx context.Context, e Event) error {
	body, err := json.Marshal(Document{
		Version: 1, ID: rand.Text(), Event: e.Kind, At: e.At.UTC().Truncate(time.Second), Host: e.Host, Service: e.Service, Backup: e.Backup,
		Trigger: e.Trigger, What: clean(e.What, longestLine), Why: clean(e.Why, longestWhy), Todo: e.todo(), Subject: e.subject(), Text: e.text(),
	})
	if err != nil {
		return err
	}
	return post(ctx, w.url, "application/json", body)
}

// pinger pings as healthchecks.io has it: its "Pinging API" page says what the ends of the path, the parameter rid and the body mean.
type pinger struct {
	url *url.URL

	mu   sync.Mutex
	runs map[string]run // service -> the one that was begun
}

// run is a run whose start was pinged.
type run struct {
	id      string
	started chan struct{} // closed when the ping has arrived, or was given up
}

// start pings that a run of service begins. It returns at once, with what to call to send the ping.
func (p *pinger) start(service string) (send func(ctx context.Context) error) {
	r := run{id: uuid(), started: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs == nil {
		p.runs = map[string]run{}
	}
	p.runs[service] = r
	return func(ctx context.Context) error {
		defer close(r.started)
		return p.ping(ctx, "start", r.id, "")
	}
}

// send ends a run that was begun. It waits for its start, since pings that change places would tell of a run that never ends.
func (p *pinger) send(ctx context.Context, e Event) error {
	p.mu.Lock()
	r, begun := p.runs[e.Service]
	p.mu.Unlock()
	if begun {
		select {
		case <-r.started:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	end := map[Kind]string{Failed: "fail", Test: "log"}[e.Kind]
	return p.ping(ctx, end, r.id, e.subject()+"\n\n"+e.text())
}

func (p *pinger) ping(ctx context.Context, end, id, body string) error {
	u := p.url
	if end != "" {
		u = u.JoinPath(end)
	}
	if id != "" {
		query := u.Query()
		query.Set("rid", id)
		clone := *u
		clone.RawQuery = query.Encode()
		u = &clone
	}
	return post(ctx, u, "text/plain; charset=utf-8", []byte(body))
}

// uuid is a random UUID, of version 4 (RFC 9562).
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
