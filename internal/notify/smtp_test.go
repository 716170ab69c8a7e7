package notify

import (
	"bytes"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/store/storetest"
)

// TestMail: a real mail server gets one mail to each recipient, with and without TLS and a login, and refuses a wrong one.
func TestMail(t *testing.T) {
	facts := storetest.Serve(t, "smtp")
	const to = "?from=dokku@example.org&to=ops@example.org,boss@example.org&skiptlsverify=yes"
	plain := "smtp://127.0.0.1:" + facts["port"] + "/" + to
	secure := func(password string) string {
		return "smtp://" + facts["user"] + ":" + password + "@127.0.0.1:" + facts["secure_port"] + "/" + to
	}
	e := Event{Kind: Failed, Service: herd, Host: "farm-ü", At: noon, What: "no backup was made: ü", Todo: []string{"dokku backup:create herd"}}
	for name, tt := range map[string]struct {
		url  string
		fail string
	}{
		"plain":            {plain, ""},
		"TLS and a login":  {secure(facts["password"]), ""},
		"a wrong password": {secure("canary-of-the-password"), "authenti"},
		"not trusted":      {strings.Replace(secure(facts["password"]), "skiptlsverify=yes", "", 1), "certificate"},
		"a login without TLS": {
			"smtp://" + facts["user"] + ":canary-of-the-password@127.0.0.1:" + facts["secure_port"] + "/" + to + "&starttls=no", "STARTTLS",
		},
	} {
		t.Run(name, func(t *testing.T) {
			failures := teller(t, t.TempDir(), receiver(t, "ops", tt.url, "")).Tell(t.Context(), e)
			mails := received(t, facts["received"])
			if tt.fail != "" {
				if len(failures) != 1 || !strings.Contains(failures[0].String(), tt.fail) || strings.Contains(failures[0].String(), "canary") {
					t.Errorf("got failures %q, want one that holds %q and no secret", failures, tt.fail)
				}
				if len(mails) > 0 {
					t.Errorf("got %d mails, want none", len(mails))
				}
				return
			}
			if len(failures) > 0 || len(mails) != 2 {
				t.Fatalf("got %d mails, failures %q, want two mails", len(mails), failures)
			}
			checkMail(t, mails)
		})
	}
}

func checkMail(t *testing.T, mails []string) {
	t.Helper()
	for i, to := range []string{"ops@example.org", "boss@example.org"} {
		m, err := mail.ReadMessage(strings.NewReader(mails[i]))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := m.Header.Get("X-Envelope"), "dokku@example.org -> "+to; got != want {
			t.Errorf("envelope: got %q, want %q", got, want)
		}
		if raw := m.Header.Get("Subject"); strings.ContainsFunc(raw, func(r rune) bool { return r > '~' }) {
			t.Errorf("subject: got %q, want ASCII", raw)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if want := "Backup FAILED: postgres:herd on farm-ü"; err != nil || subject != want {
			t.Errorf("subject: got %q, %v, want %q", subject, err, want)
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(m.Body); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"no backup was made: ü\r\n", "  dokku backup:create herd"} {
			if !strings.Contains(body.String(), want) {
				t.Errorf("body: got %q, want %q in it", &body, want)
			}
		}
	}
}

// received are the mails that came, in their order, and are taken away. The server keeps each before it says so.
func received(t *testing.T, folder string) []string {
	t.Helper()
	time.Sleep(50 * time.Millisecond) // for one too many
	paths, err := filepath.Glob(filepath.Join(folder, "[0-9]*[0-9]"))
	if err != nil {
		t.Fatal(err)
	}
	var mails []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		mails = append(mails, string(text))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	return mails
}
