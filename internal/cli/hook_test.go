package cli

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/settings"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// TestBackupHooks runs hooks/post-build by the names of its links, with a program that only notes how it was called.
func TestBackupHooks(t *testing.T) {
	host := settings.Host
	herd, db := settings.App("herd"), settings.Service("db")
	before, block := []any{herd, "on-deploy", "before"}, []any{herd, "on-deploy-mode", "block"}
	tests := []struct {
		name    string
		call    string
		set     [][]any // owner, key, value
		program string  // its exit code, "" for none
		want    int
		called  bool
	}{
		{"nothing set, before", "post-build dockerfile herd /tmp", nil, "1", 0, false},
		{"nothing set, after", "post-deploy herd 5000 127.0.0.1 latest", nil, "1", 0, false},
		{"nothing set, destroyed", "service-action pre-delete postgres db", nil, "1", 0, false},
		{"set for another app", "post-build dockerfile barn /tmp", [][]any{before}, "1", 0, false},
		{"before, made", "post-build dockerfile herd /tmp", [][]any{before}, "0", 0, true},
		{"before, failed", "post-build dockerfile herd /tmp", [][]any{before}, "1", 0, true},
		{"before, failed, block", "post-build dockerfile herd /tmp", [][]any{before, block}, "1", 1, true},
		{"before, made, block", "post-build dockerfile herd /tmp", [][]any{before, block}, "0", 0, true},
		{"before, killed, block", "post-build dockerfile herd /tmp", [][]any{before, block}, "137", 1, true},
		{"before, killed", "post-build dockerfile herd /tmp", [][]any{before}, "137", 0, true},
		{"before, block for the host", "post-build dockerfile herd /tmp", [][]any{before, {host, "on-deploy-mode", "block"}}, "1", 1, true},
		{"before, warn against the host", "post-build dockerfile herd /tmp", [][]any{before, {host, "on-deploy-mode", "block"}, {herd, "on-deploy-mode", "warn"}}, "1", 0, true},
		{"before, no program", "post-build dockerfile herd /tmp", [][]any{before}, "", 0, false},
		{"before, no program, block", "post-build dockerfile herd /tmp", [][]any{before, block}, "", 1, false},
		{"before, after a deploy", "post-deploy herd 5000 127.0.0.1 latest", [][]any{before}, "1", 0, false},
		{"both", "post-build dockerfile herd /tmp", [][]any{{herd, "on-deploy", "both"}, block}, "1", 1, true},
		{"both, after", "post-deploy herd 5000 127.0.0.1 latest", [][]any{{herd, "on-deploy", "both"}, block}, "1", 0, true},
		{"after", "post-deploy herd 5000 127.0.0.1 latest", [][]any{{herd, "on-deploy", "after"}, block}, "1", 0, true},
		{"after, before a deploy", "post-build dockerfile herd /tmp", [][]any{{herd, "on-deploy", "after"}, block}, "1", 0, false},
		{"off", "post-build dockerfile herd /tmp", [][]any{{herd, "on-deploy", "off"}, block}, "1", 0, false},
		{"destroyed", "service-action pre-delete postgres db", [][]any{{db, "on-destroy", "on"}}, "0", 0, true},
		{"destroyed, failed", "service-action pre-delete postgres db", [][]any{{db, "on-destroy", "on"}}, "1", 1, true},
		{"destroyed, off", "service-action pre-delete postgres db", [][]any{{db, "on-destroy", "off"}}, "1", 0, false},
		{"destroyed already", "service-action post-delete postgres db", [][]any{{db, "on-destroy", "on"}}, "1", 0, false},
		{"linked", "service-action pre-link postgres db herd", [][]any{{db, "on-destroy", "on"}}, "1", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plugin, lib := t.TempDir(), t.TempDir()
			noted := filepath.Join(lib, "noted")
			words := strings.Fields(tt.call)
			link := filepath.Join(plugin, words[0])
			hook, err := os.ReadFile("../../hooks/post-build")
			err = errors.Join(err, os.Mkdir(filepath.Join(plugin, "hooks"), 0o755), os.Mkdir(filepath.Join(plugin, "bin"), 0o755),
				os.WriteFile(filepath.Join(plugin, "hooks/post-build"), hook, 0o755), os.Symlink("hooks/post-build", link))
			if tt.program != "" {
				script := "#!/bin/sh\n{ echo called \"$@\"; env; } >" + noted + "\nexit " + tt.program + "\n"
				err = errors.Join(err, os.WriteFile(filepath.Join(plugin, "bin/dokku-backup"), []byte(script), 0o755))
			}
			s := settings.Settings{Dir: filepath.Join(lib, "data/backup/settings")}
			for _, v := range tt.set {
				err = errors.Join(err, s.Set(v[0].(settings.Owner), v[1].(string), v[2].(string)))
			}
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(link, words[1:]...)
			cmd.Env = append(os.Environ(), "DOKKU_LIB_ROOT="+lib, "DOKKU_PID=4711", "PGHOST=of-the-app")
			out, err := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != tt.want {
				t.Errorf("exit: got %d (%v), want %d; output: %s", got, err, tt.want, out)
			}
			text, _ := os.ReadFile(noted)
			if got := strings.HasPrefix(string(text), "called hook "+tt.call+"\n"); got != tt.called {
				t.Errorf("called: got %v, want %v: %s", got, tt.called, text)
			}
			if tt.called && !strings.Contains(string(text), "\nDOKKU_PID=4711\n") {
				t.Errorf("the program does not know the dokku run: %s", text)
			}
			if words[0] == "post-build" && strings.Contains(string(text), "PGHOST") {
				t.Errorf("the program has the app's environment: %s", text)
			}
		})
	}
}

// TestSettingsFollowAnApp calls the hooks as a rename, a clone and a destruction do.
func TestSettingsFollowAnApp(t *testing.T) {
	var said strings.Builder
	p := &program{host: dokku.New([]string{"DOKKU_LIB_ROOT=" + t.TempDir()}), ui: ui.New(&said, false)}
	s := p.settingsStore()
	call := func(args ...string) {
		t.Helper()
		if err := p.hook(t.Context(), args); err != nil || said.Len() > 0 {
			t.Fatalf("%q: got %v and %q, want nothing", args, err, said.String())
		}
	}
	check := func(what, app string, want map[string]string) {
		t.Helper()
		if got, err := s.Of(settings.App(app)); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %s has %q %v, want %q", what, app, got, err, want)
		}
	}
	mine := map[string]string{"on-deploy": "both"}
	if err := errors.Join(s.Set(settings.App("herd"), "on-deploy", "both"), s.Set(settings.App("barn"), "max-age", "1h")); err != nil {
		t.Fatal(err)
	}
	call("post-app-rename-setup", "herd", "barn")
	call("post-delete", "herd", "latest")
	check("a rename to a name that another app had", "barn", mine)
	call("post-app-clone-setup", "barn", "twin")
	check("a clone", "twin", mine)
	check("what was cloned", "barn", mine)
	call("post-delete", "barn", "latest")
	check("a destruction", "barn", map[string]string{})
	check("the clone then", "twin", mine)
}

func TestWillDo(t *testing.T) {
	damaged := &backup.Verified{Problems: []string{"segment 0123 is damaged"}}
	warned := entry(0, nil)
	warned.Manifest.State = backup.CompleteWithWarnings
	unreadable := entry(0, nil)
	unreadable.Manifest = nil
	tests := []struct {
		name string
		got  bool
		want bool
	}{
		{"young", willDo(entry(0, nil), time.Minute, noon.Add(59*time.Second)), true},
		{"verified", willDo(entry(0, &backup.Verified{}), time.Minute, noon), true},
		{"old", willDo(entry(0, nil), time.Minute, noon.Add(time.Minute)), false},
		{"from the future", willDo(entry(1, nil), time.Minute, noon), false},
		{"damaged", willDo(entry(0, damaged), time.Minute, noon), false},
		{"with warnings", willDo(warned, time.Minute, noon), false},
		{"unreadable", willDo(unreadable, time.Minute, noon), false},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func TestPrintReported(t *testing.T) {
	var out strings.Builder
	p := &program{stdout: &out}
	p.printReported(reported{"db", map[string]string{"timeout": "60", "check-sql": "SELECT 1\nSELECT 2\n", "newest": ""}})
	want := `=====> db backup information
       Backup check sql:              SELECT 1; SELECT 2
       Backup newest:                 
       Backup timeout:                60
`
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
