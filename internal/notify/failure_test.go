package notify

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHang: receivers that hang in any way cost Limit at most in all of a run, and the others hear of everything.
func TestHang(t *testing.T) {
	t.Parallel()
	good, hanging, dripping := listen(t), listen(t), listen(t)
	hanging.does(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	dripping.does(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		for _, b := range []byte("HTTP/1.1 200 OK" + strings.Repeat(" ", 100)) {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	})
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, since the kernel does, and says nothing: neither TLS nor the greeting of a mail server
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	tell := teller(t, t.TempDir(), receiver(t, "shy", "json+https://"+mute.Addr().String(), "all"), receiver(t, "good", good.url("json"), "all"), receiver(t, "hanging", hanging.url("json"), "all"),
		receiver(t, "dripping", dripping.url("json"), "all"), receiver(t, "mail", "smtp://"+mute.Addr().String()+"/?from=a@example.org&to=b@example.org", "all"),
		Receiver{Name: "ping", URL: hanging.url("ping")})
	begun := time.Now()
	tell.Start(herd)
	first := tell.Tell(t.Context(), event(Failed, "f", noon))
	rest := tell.Tell(t.Context(), event(Success, "s", noon))
	rest = append(rest, tell.Conditions(t.Context(), event("", "", noon), conditions([]string{"warning w"}))...)
	if took := time.Since(begun); took > Limit {
		t.Errorf("took %v, want at most %v", took, Limit)
	} else {
		t.Logf("took %v", took)
	}
	if got, want := good.got(t), []string{"failed f", "recovered over: failed since 2026-11-21 12:00 UTC", "success s", "warning w"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(first) != 5 || len(rest) != 0 {
		t.Errorf("got failures %q and %q, want one of each that hangs", first, rest)
	}
	if got := len(hanging.posts) + len(dripping.posts); got != 4 { // a document each, a start and an end
		t.Errorf("got %d posts to those that hang, want 4: nothing twice", got)
	}
}

// TestSpent: what Limit leaves is by run and service: a second run has all of it.
func TestSpent(t *testing.T) {
	l := listen(t)
	tell := teller(t, t.TempDir(), receiver(t, "ops", l.url("json"), ""))
	tell.spent[herd] = Limit
	if got := tell.Tell(t.Context(), event(Failed, "f", noon)); len(got) != 1 || got[0].Why != "no time was left" {
		t.Errorf("got %q, want one failure: no time was left", got)
	}
	tell.Start(herd)
	tell.Tell(t.Context(), event(Failed, "f", noon))
	if got, want := l.got(t), []string{"failed f"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFailures: what is wrong with a receiver is one line without secrets, and never more.
func TestFailures(t *testing.T) {
	l := listen(t)
	l.does(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("as") {
		case "moved":
			http.Redirect(w, r, "/canary-of-elsewhere", http.StatusMovedPermanently)
		case "500":
			http.Error(w, "canary-of-the-path is broken", http.StatusInternalServerError)
		case "slow":
			w.Header().Set("Content-Length", "1000000") // and does not send it
		}
	})
	for name, tt := range map[string]struct{ url, want string }{
		"refused":          {"json+http://user:canary-of-the-login@127.0.0.1:1/canary-of-the-path", "connection refused"},
		"no such host":     {"json+https://nowhere.invalid/canary-of-the-path", "cannot be reached"},
		"no TLS":           {"json+https://" + strings.TrimPrefix(l.URL, "http://") + "/canary-of-the-path", "cannot be reached"},
		"500":              {l.url("json") + "?as=500", "it answered 500"},
		"500 to a ping":    {l.url("ping") + "?as=500", "it answered 500"},
		"moved":            {l.url("json") + "?as=moved", "it answered 301"},
		"a body too long":  {l.url("json") + "?as=slow", ""},
		"500 to a library": {"generic+" + l.URL + "/canary-of-the-path?as=500", "500 Internal Server Error"},
		"no mail server":   {"smtp://herder:canary-of-the-login@127.0.0.1:1/?from=a@example.org&to=b@example.org", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			tell := teller(t, t.TempDir(), Receiver{Name: "ops", URL: tt.url})
			failures := tell.Test(t.Context(), event(Test, "", noon))
			if tt.want == "" && len(failures) == 0 {
				return
			}
			if len(failures) != 1 {
				t.Fatalf("got %q, want one failure", failures)
			}
			got := failures[0].String()
			if !strings.Contains(got, tt.want) || strings.Contains(got, "canary") || strings.Contains(got, "\n") {
				t.Errorf("got %q, want a line that holds %q and no secret", got, tt.want)
			}
		})
	}
}

// TestNoState: people are told when nothing can be remembered.
func TestNoState(t *testing.T) {
	l := listen(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		tell := teller(t, filepath.Join(file, "notify"), receiver(t, "ops", l.url("json"), ""))
		failures := tell.Conditions(t.Context(), event("", "", noon), conditions([]string{"warning w"}))
		if len(failures) != 1 || failures[0].Receiver != "" {
			t.Errorf("got failures %q, want one of the state", failures)
		}
	}
	if got, want := l.got(t), []string{"warning w", "warning w"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: twice is better than never", got, want)
	}
}

// TestDamagedState: whatever is in the file, people are told, and it is whole again.
func TestDamagedState(t *testing.T) {
	for _, text := range []string{"", "{", "null", `{"version":2}`, `{"version":1,"troubles":[null,{}],"receivers":{"ops":null}}`} {
		dir, l := t.TempDir(), listen(t)
		if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			teller(t, dir, receiver(t, "ops", l.url("json"), "")).Conditions(t.Context(), event("", "", noon), conditions([]string{"warning w"}))
		}
		if got, want := l.got(t), []string{"warning w"}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// TestClaimedAhead: a run that was killed before the clock was set back does not silence the next ones until the clock is there again.
func TestClaimedAhead(t *testing.T) {
	dir, l := t.TempDir(), listen(t)
	text := `{"version":1,"troubles":[{"service":"postgres:herd","kind":"warning","what":"w","claimed":"2099-01-01T00:00:00Z"}]}`
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	teller(t, dir, receiver(t, "ops", l.url("json"), "")).Conditions(t.Context(), event("", "", noon), conditions([]string{"warning w"}))
	if got, want := l.got(t), []string{"warning w"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestForget: a receiver that is added again under the same name knows nothing.
func TestForget(t *testing.T) {
	dir, l := t.TempDir(), listen(t)
	if err := Forget(dir, "ops"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		teller(t, dir, receiver(t, "ops", l.url("json"), "")).Conditions(t.Context(), event("", "", noon), conditions([]string{"warning w"}))
		if err := Forget(dir, "ops"); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := l.got(t), []string{"warning w", "warning w"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
