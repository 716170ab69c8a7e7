package notify

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const herd = "postgres:herd"

// posted is what a receiver was sent.
type posted struct {
	path, body string
}

// listener is an HTTP server that keeps what it is sent, and answers as answer says; with 200 where that is nil.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	posts  []posted
	answer func(w http.ResponseWriter, r *http.Request)
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		l.posts = append(l.posts, posted{r.URL.Path, string(body)})
		answer := l.answer
		l.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(func() {
		l.CloseClientConnections()
		l.Close()
	})
	return l
}

// url is the server's with another scheme, such as json.
func (l *listener) url(kind string) string { return kind + "+" + l.URL + "/hook/canary-of-the-path" }

// got are the documents since the last call, a line each: kind and what, or why of a recovery.
func (l *listener) got(t *testing.T) []string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := []string{}
	for _, p := range l.posts {
		var d Document
		if err := json.Unmarshal([]byte(p.body), &d); err != nil {
			t.Fatalf("%q: %v", p.body, err)
		}
		lines = append(lines, strings.TrimSpace(string(d.Event)+" "+d.What))
		if d.Event == Recovered {
			lines[len(lines)-1] = "recovered " + d.Why
		}
	}
	l.posts = nil
	return lines
}

// does sets the answer.
func (l *listener) does(answer func(w http.ResponseWriter, r *http.Request)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

// receiver is one that wants events, as ParseEvents reads them.
func receiver(t *testing.T, name, url, events string, services ...string) Receiver {
	t.Helper()
	kinds, err := ParseEvents(events)
	if err != nil {
		t.Fatal(err)
	}
	return Receiver{Name: name, URL: url, Events: kinds, Services: services}
}

func teller(t *testing.T, dir string, receivers ...Receiver) *Teller {
	t.Helper()
	tell, failures := NewTeller(dir, receivers)
	if len(failures) > 0 {
		t.Fatalf("got failures %v", failures)
	}
	return tell
}

func event(kind Kind, what string, at time.Time) Event {
	return Event{Kind: kind, Service: herd, Host: "farm", At: at, What: what}
}

// step is one look at a service, or one event, at a time.
type step struct {
	after   time.Duration // after noon
	event   Event         // that happened
	holding []string      // or conditions that hold: kind what
	status  int           // that the receiver answers with from now on
	want    []string
}

// TestTold: what happens is told each time; what lasts once, and again after a day; what is over once.
func TestTold(t *testing.T) {
	const over = "recovered over: "
	since := func(kind, what string) string { return kind + " since 2026-11-21 12:00 UTC: " + what }
	for name, tt := range map[string]struct {
		events string
		steps  []step
	}{
		"failures are told each time, and the success that ends them": {steps: []step{
			{event: event(Failed, "no backup was made", noon), want: []string{"failed no backup was made"}},
			{event: event(Failed, "the disk is full", noon), want: []string{"failed the disk is full"}},
			{event: event(Success, "made", noon), want: []string{over + "failed since 2026-11-21 12:00 UTC"}},
			{event: event(Success, "made", noon)},
		}},
		"practice": {steps: []step{
			{event: event(PracticeFailed, "it did not come back", noon), want: []string{"practice-failed it did not come back"}},
			{event: event(Success, "made", noon)},
			{event: event(PracticePassed, "passed", noon), want: []string{over + "practice-failed since 2026-11-21 12:00 UTC"}},
		}},
		"successes for who asks": {events: "all", steps: []step{
			{event: event(Success, "made", noon), want: []string{"success made"}},
			{event: event(PracticePassed, "passed", noon), want: []string{"practice-passed passed"}},
		}},
		"what lasts": {steps: []step{
			{holding: []string{"warning w"}, want: []string{"warning w"}},
			{after: time.Hour, holding: []string{"warning w"}},
			{after: 25 * time.Hour, holding: []string{"warning w"}, want: []string{"warning w"}},
			{after: 26 * time.Hour, holding: []string{"warning w"}},
			{after: 27 * time.Hour, want: []string{over + since("warning", "w")}},
			{after: 28 * time.Hour},
			{after: 29 * time.Hour, holding: []string{"warning w"}, want: []string{"warning w"}},
		}},
		"what changes is told, and is not over": {steps: []step{
			{holding: []string{"store-behind not at a", "store-behind not at b"}, want: []string{"store-behind not at a", "store-behind not at b"}},
			{holding: []string{"store-behind not at b"}},
			{holding: []string{"store-behind not at b", "store-behind not at c"}, want: []string{"store-behind not at c"}},
			{want: []string{over + since("store-behind", "not at b") + "; " + since("store-behind", "not at c")}},
		}},
		"one of two is over": {steps: []step{
			{holding: []string{"warning w", "retention-failed r"}, want: []string{"warning w", "retention-failed r"}},
			{holding: []string{"warning w"}, want: []string{over + since("retention-failed", "r")}},
		}},
		"a success ends the want of a good backup, once": {steps: []step{
			{holding: []string{"no-good-backup none since noon"}, want: []string{"no-good-backup none since noon"}},
			{event: event(Success, "made", noon), want: []string{over + since("no-good-backup", "none since noon")}},
			{},
		}},
		"who does not want to hear of it hears of neither": {events: "failed,recovered", steps: []step{
			{holding: []string{"warning w"}},
			{},
			{event: event(Failed, "f", noon), want: []string{"failed f"}},
			{event: event(Success, "made", noon), want: []string{over + "failed since 2026-11-21 12:00 UTC"}},
		}},
		"who hears of no end hears of the next beginning": {events: "warning", steps: []step{
			{holding: []string{"warning w"}, want: []string{"warning w"}},
			{},
			{after: time.Hour, holding: []string{"warning w"}, want: []string{"warning w"}},
		}},
		"who refused is asked again later": {steps: []step{
			{status: 503, holding: []string{"warning w"}, want: []string{"warning w"}},
			{after: time.Hour, holding: []string{"warning w"}},
			{after: 7 * time.Hour, status: 204, holding: []string{"warning w"}, want: []string{"warning w"}},
			{after: 8 * time.Hour, holding: []string{"warning w"}},
		}},
		"a clock that was set back": {steps: []step{
			{after: time.Hour, holding: []string{"warning w"}, want: []string{"warning w"}},
			{holding: []string{"warning w"}},
			{after: -48 * time.Hour, holding: []string{"warning w"}, want: []string{"warning w"}},
			{after: -47 * time.Hour, holding: []string{"warning w"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, l := t.TempDir(), listen(t)
			for i, s := range tt.steps {
				tell := teller(t, dir, receiver(t, "ops", l.url("json"), tt.events)) // as in a run of its own
				tell.now = func() time.Time { return noon.Add(s.after) }
				if s.status != 0 {
					l.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(s.status) })
				}
				if s.event.Kind != "" {
					tell.Tell(t.Context(), s.event)
				} else {
					tell.Conditions(t.Context(), event("", "", noon), conditions(s.holding))
				}
				got := l.got(t)
				if !slices.Equal(got, append([]string{}, s.want...)) {
					t.Errorf("step %d: got %q, want %q", i+1, got, s.want)
				}
			}
		})
	}
}

func conditions(lines []string) []Event {
	var events []Event
	for _, line := range lines {
		kind, what, _ := strings.Cut(line, " ")
		events = append(events, event(Kind(kind), what, noon))
	}
	return events
}

// TestUnreachable: nobody is taken to know what never left this host.
func TestUnreachable(t *testing.T) {
	dir, l := t.TempDir(), listen(t)
	there, gone := receiver(t, "there", l.url("json"), ""), receiver(t, "gone", "json+http://127.0.0.1:1/x", "")
	tell := teller(t, dir, there, gone)
	failures := tell.Conditions(t.Context(), event("", "", noon), conditions([]string{"warning w"}))
	if len(failures) != 1 || failures[0].Receiver != "gone" {
		t.Errorf("got failures %q, want one of gone", failures)
	}
	gone.URL = l.url("json") // it is back
	tell = teller(t, dir, there, gone)
	tell.Conditions(t.Context(), event("", "", noon), conditions([]string{"warning w"}))
	if got, want := l.got(t), []string{"warning w", "warning w"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: one each", got, want)
	}
	if got := Attempts(dir); got["gone"].Failure != "" || got["gone"].Sent.IsZero() || got["gone"].Failed.IsZero() {
		t.Errorf("got attempt %+v, want the failure before and the success after", got["gone"])
	}
}

// TestServices: a receiver of one service hears of no other, by its bare name or with its type.
func TestServices(t *testing.T) {
	l := listen(t)
	for service, want := range map[string]int{"herd": 1, herd: 1, "other": 0, "mysql:herd": 0} {
		tell := teller(t, t.TempDir(), receiver(t, "ops", l.url("json"), "", service))
		tell.Tell(t.Context(), event(Failed, "f", noon))
		if got := len(l.got(t)); got != want {
			t.Errorf("receiver of %s: got %d messages, want %d", service, got, want)
		}
	}
}

// TestPing: a run is a start and an end under one id, in this order, whatever the receiver's events are; conditions are none of its business.
func TestPing(t *testing.T) {
	dir, l := t.TempDir(), listen(t)
	var rids []string
	l.does(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/start") {
			time.Sleep(200 * time.Millisecond) // slower than the run
		}
		l.mu.Lock()
		rids = append(rids, r.URL.Query().Get("rid")+" "+r.URL.Query().Get("keep"))
		l.mu.Unlock()
	})
	r := Receiver{Name: "check", URL: l.url("ping") + "?keep=1"}
	for _, end := range []Kind{Success, Failed} {
		tell := teller(t, dir, r)
		tell.Start(herd)
		tell.Conditions(t.Context(), event("", "", noon), conditions([]string{"warning w"}))
		tell.Tell(t.Context(), event(end, "e", noon))
	}
	teller(t, dir, r).Test(t.Context(), event(Test, "", noon))
	var got []string
	for _, p := range l.posts {
		got = append(got, strings.TrimPrefix(p.path, "/hook/canary-of-the-path"))
	}
	if want := []string{"/start", "", "/start", "/fail", "/log"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if rids[0] != rids[1] || rids[2] != rids[3] || rids[0] == rids[2] || rids[4] != " 1" || len(rids[0]) != 36+len(" 1") {
		t.Errorf("got run ids %q, want two pairs and none", rids)
	}
	if body := l.posts[3].body; !strings.Contains(body, "Backup FAILED: postgres:herd on farm") {
		t.Errorf("got body %q, want the subject in it", body)
	}
}
