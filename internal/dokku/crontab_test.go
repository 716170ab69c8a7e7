package dokku

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCrontab(t *testing.T) {
	for _, c := range []struct {
		name, script string // of crontab; empty: there is none
		text         string
		known        bool
	}{
		{"lines", "echo '0 * * * * true'", "0 * * * * true\n", true},
		{"none", "echo 'no crontab for dokku' >&2; exit 1", "", true},
		{"not allowed", "echo 'You (dokku) are not allowed to use this program (crontab)' >&2; exit 1", "", false},
		{"no cron", "", "", false},
	} {
		path := t.TempDir()
		if c.script != "" {
			must(t, os.WriteFile(filepath.Join(path, "crontab"), []byte("#!/bin/sh\n"+c.script+"\n"), 0o755))
		}
		t.Setenv("PATH", path)
		text, known := New(os.Environ()).Crontab(t.Context())
		if text != c.text || known != c.known {
			t.Errorf("%s: got %q, known %t; want %q, %t", c.name, text, known, c.text, c.known)
		}
	}
}

// Both triggers are fired, since a Dokku knows one of them; and DOKKU_PID, which Dokku stops without, is that of the run that called.
func TestWriteCrontab(t *testing.T) {
	path := t.TempDir()
	must(t, os.WriteFile(filepath.Join(path, "plugn"), []byte("#!/bin/sh\necho \"$@ $DOKKU_PID\" >>"+path+"/log\n"), 0o755))
	t.Setenv("PATH", path)
	t.Setenv("DOKKU_PID", "4711")
	must(t, New(os.Environ()).WriteCrontab(t.Context()))
	log, err := os.ReadFile(path + "/log")
	must(t, err)
	if got, want := string(log), "trigger cron-write 4711\ntrigger scheduler-cron-write 4711\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
