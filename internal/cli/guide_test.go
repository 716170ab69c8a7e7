package cli

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/restore"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
	"github.com/dokku-backup/dokku-backup/internal/ui"
	"github.com/dokku-backup/dokku-backup/internal/ui/uitest"
)

// dokkuWithNames answers what the guide asks Dokku: the services cows and cows-2 and the app cows-restored exist.
const dokkuWithNames = `#!/bin/sh
case "$*" in
postgres:list) printf '%s\n' '=====> Postgres services' cows cows-2 ;;
'apps:exists cows-restored') ;;
'apps:exists '*) exit 20 ;;
*) echo "not answered: $*" >&2; exit 1 ;;
esac
`

// guideHost is a program on a host with two backups of cows, the newer with one app's code, and one of herd, with two.
func guideHost(t *testing.T) (*program, *repository.Repository) {
	t.Helper()
	lib := t.TempDir()
	t.Setenv("DOKKU_LIB_ROOT", lib)
	p := &program{host: dokku.New(os.Environ())}
	p.host.Dokku = filepath.Join(lib, "dokku")
	if err := os.WriteFile(p.host.Dokku, []byte(dokkuWithNames), 0o700); err != nil {
		t.Fatal(err)
	}
	identity, err := repository.CreateKey(p.keyPath())
	if err != nil {
		t.Fatal(err)
	}
	repo, err := repository.Create(t.Context(), local.New(filepath.Join(p.host.DataDir(), "repository")), identity)
	if err != nil {
		t.Fatal(err)
	}
	app := func(name, short string) backup.App {
		return backup.App{Name: name, Commit: short + strings.Repeat("0", 33), Short: short, Subject: "Show the mood",
			Certainty: backup.Recorded, Bundle: &backup.Bundle{Content: &backup.Content{}}}
	}
	keep := func(service string, at time.Time, note string, apps ...backup.App) {
		m := &backup.Manifest{Schema: backup.Schema, ID: backup.NewID(service, at), CreatedAt: at, State: backup.Complete, Note: note,
			Services: []backup.Service{{Type: "postgres", Name: service}}, Apps: apps}
		if err := repo.Commit(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	keep("cows", noon, "before the\nspring release", app("happycows", "82eeec6"))
	keep("cows", noon.Add(-time.Hour), "", backup.App{Name: "happycows"})
	keep("herd", noon, "", app("barn", "48db95a"), app("field", "1f00d5e"))
	return p, repo
}

func TestGuide(t *testing.T) {
	const newer, older, herd = backup.ID("cows-20261121T120000Z"), backup.ID("cows-20261121T110000Z"), backup.ID("herd-20261121T120000Z")
	tests := []struct {
		name, argument string
		asked          restore.Request
		typed          []string
		want           restore.Request
	}{
		{"everything", "", restore.Request{}, []string{
			"which service?", "\r", "which backup of postgres:cows?", "\r", "new service?", "\r", "the app back", uitest.Down + "\r",
			"new app?", "\r", "Which commit?", "\r",
		}, restore.Request{Backup: newer, Service: "cows-3", App: "happycows-restored", From: "happycows"}},
		{"the service alone", "cows", restore.Request{}, []string{
			"which backup of postgres:cows?", "\r", "new service?", uitest.CtrlU + "moo\r", "the app back", "\r",
		}, restore.Request{Backup: newer, Service: "moo"}},
		{"a backup without code", "postgres:cows", restore.Request{}, []string{"which backup", uitest.Down + "\r", "new service?", "\r"},
			restore.Request{Backup: older, Service: "cows-3"}},
		{"names that will not do", string(herd), restore.Request{}, []string{
			"new service?", uitest.CtrlU + "cows\r", `"cows" exists already`, uitest.CtrlU + "a b\r", "cannot be the name", uitest.CtrlU + "moo\r",
			"the app back", uitest.Down + uitest.Down + "\r", "new app?", uitest.CtrlU + "cows-restored\r", "exists already",
			uitest.CtrlU + "Moo\r", "cannot be the name", uitest.CtrlU + "moo\r", "Which commit?", "\r",
		}, restore.Request{Backup: herd, Service: "moo", App: "moo", From: "field"}},
		{"another commit", string(newer), restore.Request{Service: "moo", App: "moo"}, []string{
			"Which commit?", uitest.Down + "\r", "branch or tag?", "\r", "such as main", "v2\r",
		}, restore.Request{Backup: newer, Service: "moo", App: "moo", From: "happycows", Commit: "v2"}},
		{"which app", string(herd), restore.Request{Service: "moo", App: "moo", Commit: "main"}, []string{"from which app?", uitest.Down + "\r"},
			restore.Request{Backup: herd, Service: "moo", App: "moo", From: "field", Commit: "main"}},
		{"replace", string(newer), restore.Request{Replace: "happycows", From: "happycows", App: "moo", SkipCode: true}, []string{"new service?", "\r"},
			restore.Request{Backup: newer, Service: "cows-3", Replace: "happycows", From: "happycows", App: "moo", SkipCode: true}},
		{"practice", "herd", restore.Request{Practice: true}, []string{"which backup of postgres:herd?", "\r"},
			restore.Request{Backup: herd, Practice: true}},
	}
	p, repo := guideHost(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			person := uitest.New(t, "xterm", 120)
			p.stdin, p.stderr = person.Terminal, person.Terminal
			go person.Types(tt.typed...)
			got := tt.asked
			if err := p.guide(t.Context(), repo, tt.argument, &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// TestGuideStops has a person who gives up at each question: nothing is asked after it, and the exit code is that of ctrl-C.
func TestGuideStops(t *testing.T) {
	p, repo := guideHost(t)
	p.ui = ui.New(&strings.Builder{}, true)
	steps := []string{"which service?", "\r", "which backup", "\r", "new service?", "\r", "the app back", uitest.Down + "\r", "new app?", "\r", "Which commit?", "\r"}
	for n := 0; n < len(steps); n += 2 {
		person := uitest.New(t, "xterm", 80)
		p.stdin, p.stderr = person.Terminal, person.Terminal
		go person.Types(append(steps[:n:n], steps[n], uitest.CtrlC)...)
		err := p.guide(t.Context(), repo, "", &restore.Request{})
		if !errors.Is(err, ui.ErrNoAnswer) {
			t.Errorf("at %q: got %v, want ErrNoAnswer", steps[n], err)
		}
		if got := p.explain(err); got != backup.ExitInterrupted {
			t.Errorf("at %q: got exit code %d, want %d", steps[n], got, backup.ExitInterrupted)
		}
	}
}

func TestGuideProblems(t *testing.T) {
	p, repo := guideHost(t)
	person := uitest.New(t, "xterm", 80)
	p.stdin, p.stderr = person.Terminal, person.Terminal
	for name, want := range map[string]string{
		"pigs": `there is no backup of "pigs"`, "cows-20261121T000000Z": "there is no backup cows-20261121T000000Z", "a b": `"a b" is neither`,
	} {
		if err := p.guide(t.Context(), repo, name, &restore.Request{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to hold %q", name, err, want)
		}
	}
	p.stdin = strings.NewReader("\n")
	if err := p.guide(t.Context(), repo, "cows", &restore.Request{}); !errors.Is(err, errNobody) {
		t.Errorf("without a terminal: got %v, want %v", err, errNobody)
	}
}

// TestBackupOptions has one line a backup, whatever its note holds.
func TestBackupOptions(t *testing.T) {
	newer, older := entry(0, &backup.Verified{}), entry(-3600, nil)
	newer.Manifest.Note, newer.Manifest.Stored.Raw = "before the\nspring \x1b[31mrelease", 876_000_000
	newer.Manifest.Apps = []backup.App{{Commit: "82eeec6000"}}
	got := backupOptions([]repository.Entry{newer, older})
	want := []string{"876 MB  82eeec6  complete, verified  before the spring ?[31mrelease", "0 B     -        complete"}
	for i := range want {
		if len(got) != len(want) || !strings.HasSuffix(got[i], want[i]) {
			t.Errorf("got %q, want lines that end in %q", got, want)
		}
	}
}
