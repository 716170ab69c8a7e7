package notify

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// urls are a whole URL of each kind that doc/notifications.md names, with canaries for all that is secret.
func urls() map[string]string {
	const hex = "canary0123456789abcdef0123456789"
	return map[string]string{
		"smtp":       "smtp://canary-user:canary-word@127.0.0.1:1/?from=dokku@example.org&to=ops@example.org",
		"slack":      "slack://hook:TCANARY00-BCANARY00-canary0123456789abcdefgh@webhook",
		"discord":    "discord://canary-token_0123@123456789012345678",
		"telegram":   "telegram://123456789:canary0123456789_abcdefghijklmnopqrs@telegram?chats=-1001234567890",
		"ntfy":       "ntfy://canary-user:canary-word@127.0.0.1:1/canary-topic",
		"gotify":     "gotify://127.0.0.1:1/Acanary012345.-",
		"pushover":   "pushover://shoutrrr:canaryapitoken0123456789abcdef@canaryuserkey",
		"mattermost": "mattermost://127.0.0.1:1/canary-token",
		"googlechat": "googlechat://chat.googleapis.com/v1/spaces/canary-space/messages?key=canary-key&token=canary-token",
		"generic":    "generic+http://127.0.0.1:1/canary-path?key=canary-key",
		"json":       "json+http://canary-user:canary-word@127.0.0.1:1/canary-path?key=canary-key",
		"ping":       "ping+http://127.0.0.1:1/canary-uuid",
		"matrix":     "matrix://:" + hex + "@127.0.0.1:1/?rooms=!canaryroom:example.org",
		"teams": "teams://11111111-4444-4444-8444-cccccccccccc@22222222-4444-4444-8444-cccccccccccc/33333333012222222222333333333344/" +
			"44444444-4444-4444-8444-cccccccccccc/V2canary0123456789012345678901234567890123456?host=example.webhook.office.com",
	}
}

// TestSecrets: no address shows its secrets, when it is added, listed, refused, or when nobody is reached at it.
func TestSecrets(t *testing.T) {
	elsewhere.cut.Store(true)
	t.Cleanup(func() { elsewhere.cut.Store(false) })
	for kind, rawURL := range urls() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			address, err := Parse(rawURL)
			if err != nil {
				t.Fatal(err)
			}
			if address.Kind != kind || strings.Contains(strings.ToLower(address.Text), "canary") {
				t.Errorf("got %+v, want kind %s and no secret", address, kind)
			}
			tell := teller(t, t.TempDir(), Receiver{Name: "ops", URL: rawURL})
			failures := tell.Test(t.Context(), event(Test, "", noon))
			if len(failures) != 1 {
				t.Fatalf("got %q, want a failure", failures)
			}
			got := failures[0].String()
			for _, secret := range []string{"canary", "333333330122222222", "123456789:"} {
				if strings.Contains(strings.ToLower(got), secret) {
					t.Errorf("got %q, which holds a secret", got)
				}
			}
			t.Log(got)
		})
	}
}

func TestRedact(t *testing.T) {
	u, err := url.Parse("https://herder:s3cret@hooks.example.org/a/b%2Fpath?key=va-lue")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`Post "https://herder:***@hooks.example.org/a/b": refused`: `Post "https://hooks.example.org/***": refused`,
		"moved to http://other.example.org/token?x=y at once":      "moved to http://other.example.org/*** at once",
		"s3cret, va-lue, /a/b/path, herder\x1b\n":                  "***, ***, ***, ***",
		"nothing of it":        "nothing of it",
		"a %zz://bad \xff url": "a %zz://bad/*** ? url",
	} {
		if got := redact(text, "json", u); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for rawURL, want := range map[string]string{
		"":                                 "not a URL",
		"ops@example.org":                  "not a URL",
		"https://example.org/canary":       "json+https://",
		"json+ftp://example.org/canary":    "json+https://host/path",
		"json://example.org/canary":        "json+https://host/path",
		"ping+https:///canary":             "ping+https://host/path",
		"icq://canary":                     "unknown service",
		"logger://":                        "it sends nothing",
		"slack://hook:canary@webhook":      "kind slack",
		"smtp://herder:canary@example.org": "kind smtp",
		"smtp://herder:canary@example.org:port/?from=a@b.c&to=a@b.c": "not a URL",
		"telegram://canary":                     "kind telegram",
		"matrix://herder:canary@example.org":    "access token",
		"teams://canary":                        "kind teams",
		"ntfy://example.org/t?priority=canary":  "kind ntfy",
		"discord://canary":                      "kind discord",
		"json+https://example.org/\x7f\ncanary": "not a URL",
	} {
		address, err := Parse(rawURL)
		if err == nil {
			t.Errorf("%q: got %+v, want an error", rawURL, address)
			continue
		}
		if got := err.Error(); !strings.Contains(got, want) || strings.Contains(got, "canary") || strings.Contains(got, "\n") {
			t.Errorf("%q: got %q, want a line with %q, and no secret", rawURL, got, want)
		}
	}
}

// TestMessage: whatever is in an event, a message is short, is text, and says what, where and what to do.
func TestMessage(t *testing.T) {
	for name, e := range map[string]Event{
		"plain": {Kind: Failed, Service: herd, Backup: "herd-20261121T120400Z", Host: "farm", At: noon, What: "no backup was made", Why: "disk full", Todo: []string{"make room", "dokku backup:delete ID"}, Trigger: "schedule"},
		"empty": {},
		"long": {Kind: Warning, Service: strings.Repeat("s", 9000), Host: strings.Repeat("h", 9000), What: strings.Repeat("ü", 9000), Why: strings.Repeat("why ", 9000),
			Todo: []string{strings.Repeat("x", 9000), "b", "c", "d", "e"}},
		"hostile": {Kind: Failed, Service: "a\r\nBcc: x@example.org", Host: "h\x00", What: "\x1b[2J\u202egnp.exe\u2028", Why: "line\nline\xff\xfe\r\n.\r\nQUIT", Todo: []string{"a\nb"}},
	} {
		t.Run(name, func(t *testing.T) {
			subject, text := e.subject(), e.text()
			if len(subject) > longestLine || len(text) > 1900 {
				t.Errorf("got %d and %d bytes, want at most %d and 1900", len(subject), len(text), longestLine)
			}
			for _, s := range append(strings.Split(text, "\n"), subject) {
				if !utf8.ValidString(s) || strings.ContainsFunc(s, isControl) || strings.TrimSpace(s) == "." {
					t.Errorf("got %q in a message", s)
				}
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		})
	}
	e := Event{Kind: Failed, Service: herd, Backup: "herd-20261121T120400Z", Host: "farm", At: noon, What: "no backup was made", Why: "disk full", Todo: []string{"make room"}, Trigger: "schedule"}
	if got, want := e.subject(), "Backup FAILED: postgres:herd on farm"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := `no backup was made
disk full

Service: postgres:herd
Backup:  herd-20261121T120400Z
Host:    farm
Run by:  schedule
Time:    2026-11-21 12:00:00 UTC

What to do:
  make room`
	if got := e.text(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseEvents(t *testing.T) {
	for list, want := range map[string]string{
		"":                "failed, warning, recovered, practice-failed, retention-failed, store-behind, no-good-backup",
		"all":             words(Kinds()),
		"failed, warning": "failed, warning",
		"failed,":         `there is no event ""`,
		"test":            `there is no event "test"`,
		"all,failed":      `there is no event "all"`,
	} {
		kinds, err := ParseEvents(list)
		got := words(kinds)
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.HasPrefix(got, want)) {
			t.Errorf("%q: got %q, want %q", list, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("Post \"https://x/%s\": refused", "secret-token")
	f.Fuzz(func(t *testing.T, text, secret string) {
		if len(secret) < shortestSecret || strings.ContainsAny(secret, "/:,-*. ") || clean(secret, longestWhy) != secret || strings.Contains(hidden+"...", secret) {
			return
		}
		u := &url.URL{Scheme: "json", Host: "h", User: url.UserPassword("", secret)}
		if got := redact(fmt.Sprint(text, secret), "json", u); strings.Contains(got, secret) {
			t.Errorf("got %q, which holds %q", got, secret)
		}
	})
}
