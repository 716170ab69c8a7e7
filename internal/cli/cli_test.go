package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/runs"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestFlagsFirst(t *testing.T) {
	command := &cli.Command{Flags: []cli.Flag{
		&cli.StringFlag{Name: "note"}, &cli.IntFlag{Name: "timeout"}, &cli.BoolFlag{Name: "quiet"},
	}}
	tests := []struct{ args, want string }{
		{"", "--"},
		{"db", "-- db"},
		{"db --quiet", "--quiet -- db"},
		{"--quiet db", "--quiet -- db"},
		{"db --note moo --timeout 5", "--note moo --timeout 5 -- db"},
		{"db --note --quiet", "--note --quiet -- db"}, // a value may look like a flag
		{"db --note=moo other", "--note=moo -- db other"},
		{"--note moo -- --db", "--note moo -- --db"},
		{"db -", "-- db -"},
		{"db --unknown x", "--unknown -- db x"},
		{"db --timeout", "--timeout"},
	}
	for _, tt := range tests {
		if got := strings.Join(flagsFirst(command, strings.Fields(tt.args)), " "); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.args, got, tt.want)
		}
	}
}

func TestExplain(t *testing.T) {
	intact := "nothing was kept of this run, earlier backups are intact"
	noSpace := &fs.PathError{Op: "write", Path: "/r/segments/ab/.part-1", Err: syscall.ENOSPC}
	problem := &backup.Problem{Message: "no hay", Hints: []string{"buy some"}, Code: backup.ExitKey}
	tests := []struct {
		name string
		err  error
		code int
		want []string
	}{
		{"none", nil, 0, nil},
		{"warnings", fmt.Errorf("x: %w", warnings{}), backup.ExitWarnings, nil},
		{"problem", fmt.Errorf("inside: %w", problem), backup.ExitKey, []string{"no hay", "buy some"}},
		{"disk full", fmt.Errorf("store segment: %w", noSpace), 1, []string{"disk full: there is no room left for the repository; " + intact, "dokku backup:delete ID"}},
		{"disk full in a problem", &backup.Problem{Message: "x", Err: noSpace}, 1, []string{"disk full: ", "dokku backup:delete ID"}},
		{"quota", syscall.EDQUOT, 1, []string{"disk full: ", "dokku backup:delete ID"}},
		{"damage", &repository.DamageError{Object: "segment 0123", Reason: "missing"}, 1, []string{"segment 0123 is missing; find out what is affected: dokku backup:verify --all"}},
		{"permission", &fs.PathError{Op: "open", Path: "/k", Err: syscall.EACCES}, 1, []string{"/k may not be opened by this user: run the command as Dokku does"}},
		{"other", errors.New("moo"), 1, []string{"moo"}},
		{"create", notCreated(errors.New("moo"), dokku.Service{Type: "postgres", Name: "db"}), 1, []string{"moo", intact, "dokku postgres:logs db"}},
		{"create, disk full", notCreated(noSpace, dokku.Service{}), 1, []string{"disk full: ", "dokku backup:delete ID"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			p := &program{ui: ui.New(&out, true)}
			if got := p.explain(tt.err); got != tt.code {
				t.Errorf("exit code: got %d, want %d", got, tt.code)
			}
			got := slices.Collect(strings.Lines(out.String()))
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i, line := range got {
				if !strings.HasPrefix(line, " !     ") || !strings.Contains(line, tt.want[i]) {
					t.Errorf("line %d: got %q, want it to hold %q", i+1, line, tt.want[i])
				}
			}
		})
	}
}

// entry is a backup of postgres:db, made at noon and so many seconds.
func entry(seconds int, verified *backup.Verified) repository.Entry {
	at := noon.Add(time.Duration(seconds) * time.Second)
	return repository.Entry{ID: backup.NewID("db", at), Marks: backup.Marks{Verified: verified}, Manifest: &backup.Manifest{
		ID: backup.NewID("db", at), CreatedAt: at, State: backup.Complete, Services: []backup.Service{{Type: "postgres", Name: "db"}},
	}}
}

func TestNextID(t *testing.T) {
	good, bad := &backup.Verified{}, &backup.Verified{Problems: []string{"segment 0123 is damaged"}}
	unreadable := repository.Entry{ID: "db-20261121T120001Z", Err: errors.New("damaged")}
	redis := entry(1, nil)
	redis.Manifest.Services[0].Type = "redis"
	tests := []struct {
		name         string
		entries      []repository.Entry
		failed       []runs.Record
		id, previous backup.ID
	}{
		{"first", nil, nil, "db-20261121T120000Z", ""},
		{"second", []repository.Entry{entry(-1, good), entry(-9, nil)}, nil, "db-20261121T120000Z", "db-20261121T115959Z"},
		{"same second", []repository.Entry{entry(0, nil)}, nil, "db-20261121T120001Z", "db-20261121T120000Z"},
		{"a run failed in the same second", nil, []runs.Record{{ID: "db-20261121T120000Z"}}, "db-20261121T120001Z", ""},
		{"clock jumped back", []repository.Entry{entry(3600, nil), entry(1, nil), entry(0, nil)}, nil, "db-20261121T120002Z", "db-20261121T130000Z"},
		{"newest unreadable", []repository.Entry{unreadable, entry(-1, nil)}, nil, "db-20261121T120000Z", "db-20261121T115959Z"},
		{"unreadable in the same second", []repository.Entry{unreadable, entry(0, nil)}, nil, "db-20261121T120002Z", "db-20261121T120000Z"},
		{"of another type", []repository.Entry{redis, entry(-1, nil)}, nil, "db-20261121T120000Z", "db-20261121T115959Z"},
		{"damage was found", []repository.Entry{entry(-1, nil), entry(-2, bad)}, nil, "db-20261121T120000Z", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, previous := nextID(dokku.Service{Type: "postgres", Name: "db"}, tt.entries, tt.failed, noon)
			if id != tt.id {
				t.Errorf("id: got %q, want %q", id, tt.id)
			}
			var got backup.ID
			if previous != nil {
				got = previous.ID
			}
			if got != tt.previous {
				t.Errorf("previous: got %q, want %q", got, tt.previous)
			}
		})
	}
}

func TestSummarize(t *testing.T) {
	good := entryLine(entry(0, nil), nil)
	older := entryLine(entry(-60, &backup.Verified{At: time.Now().Add(-3 * time.Hour)}), nil)
	damaged := entryLine(entry(-30, &backup.Verified{Problems: []string{"segment 0123 is damaged"}}), nil)
	warned := good
	warned.Warnings = []string{"no code"}
	failure := failedLine(runs.Record{ID: "db-20261121T120100Z", Failed: "disk full"})
	tests := []struct {
		name     string
		lines    []health.Line
		newest   backup.ID
		verified string
		problems []string
	}{
		{"none", nil, "", "never", []string{"no good backup"}},
		{"one", []health.Line{good}, good.ID, "never", []string{}},
		{"an older one verified", []health.Line{good, older}, good.ID, "3 h ago", []string{}},
		{"newest damaged", []health.Line{damaged, older}, older.ID, "3 h ago", []string{string(damaged.ID) + " is damaged"}},
		{"with warnings", []health.Line{warned}, good.ID, "never", []string{"no code"}},
		{"failed since", []health.Line{failure, failure, good}, good.ID, "never", []string{"2 runs failed since: disk full"}},
		{"failed before", []health.Line{good, failure}, good.ID, "never", []string{}},
		{"only failed", []health.Line{failure}, "", "never", []string{"1 run failed since: disk full", "no good backup"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &program{host: dokku.New([]string{"DOKKU_LIB_ROOT=" + t.TempDir()})}
			got := health.Service{Service: "postgres:db", Verified: "never", Lines: tt.lines}
			if err := p.judge(&got, time.Now()); err != nil {
				t.Fatal(err)
			}
			problems := []string{}
			for _, problem := range got.Problems {
				problems = append(problems, problem.What)
			}
			if got.Newest != tt.newest || got.Verified != tt.verified || !slices.Equal(problems, tt.problems) {
				t.Errorf("got %q, verified %q, %q; want %q, %q, %q", got.Newest, got.Verified, problems, tt.newest, tt.verified, tt.problems)
			}
		})
	}
}

func TestState(t *testing.T) {
	long := strings.Repeat("ä", 200)
	tests := []struct {
		line health.Line
		want string
	}{
		{health.Line{State: "complete"}, "complete"},
		{health.Line{State: "complete with warnings", Warnings: []string{"x"}}, "complete with 1 warning"},
		{health.Line{State: "complete", Verified: &backup.Verified{}, Pinned: &backup.Pinned{}}, "complete, verified, pinned"},
		{health.Line{State: "complete", Verified: &backup.Verified{Problems: []string{"x"}}}, "complete, DAMAGED"},
		{health.Line{State: "failed", Failed: "no hay\nat all"}, "failed: no hay"},
		{health.Line{State: "failed", Failed: long}, "failed: " + long[:2*79] + "…"},
	}
	for _, tt := range tests {
		if got := proof(tt.line); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestNewerSchema has a manifest that a newer program wrote: both numbers are told, and the others are still listed.
func TestNewerSchema(t *testing.T) {
	lib := t.TempDir()
	t.Setenv("DOKKU_LIB_ROOT", lib)
	p := &program{host: dokku.New(os.Environ())}
	identity, err := repository.CreateKey(p.keyPath())
	if err != nil {
		t.Fatal(err)
	}
	repo, err := repository.Create(t.Context(), local.New(filepath.Join(p.host.DataDir(), "repository")), identity)
	if err != nil {
		t.Fatal(err)
	}
	newer := entry(0, nil).Manifest
	newer.Schema = backup.Schema + 1
	older := entry(-1, nil).Manifest
	older.Schema = backup.Schema
	for _, m := range []*backup.Manifest{newer, older} {
		if err := repo.Commit(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		args string
		code int
		text string
	}{
		{"backup:info " + string(newer.ID), 1, "the manifest of db-20261121T120000Z has schema 2, this program reads schema 1 to 1\n !     update the plugin: dokku plugin:update backup"},
		{"backup:list", 0, "unreadable: the manifest of db-20261121T120000Z has schema 2"},
		{"backup:info " + string(older.ID), 0, "=====> db-20261121T115959Z"},
		{"backup:delete --yes " + string(older.ID), 1, "no space can be freed: the manifest of db-20261121T120000Z has schema 2"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		args := append([]string{"dokku-backup"}, strings.Fields(tt.args)...)
		if code := Run(t.Context(), args, io.LimitReader(nil, 0), &out, &out); code != tt.code {
			t.Errorf("%s: got exit code %d, want %d", tt.args, code, tt.code)
		}
		if !strings.Contains(out.String(), tt.text) {
			t.Errorf("%s: got %q, want it to hold %q", tt.args, out.String(), tt.text)
		}
	}
}
