package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/restore"
	"github.com/dokku-backup/dokku-backup/internal/retention"
	"github.com/dokku-backup/dokku-backup/internal/settings"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// retentionHost is a host with an empty repository, and with backups that are made by add.
type retentionHost struct {
	*program
	t    *testing.T
	repo *repository.Repository
	said bytes.Buffer // by calls, not by commands
	now  time.Time
}

func newRetentionHost(t *testing.T) *retentionHost {
	t.Helper()
	t.Setenv("DOKKU_LIB_ROOT", t.TempDir())
	h := &retentionHost{t: t, now: time.Now().UTC().Truncate(time.Second).Add(-time.Minute)}
	h.program = &program{host: dokku.New(os.Environ()), ui: ui.New(&h.said, false)}
	identity, err := repository.CreateKey(h.keyPath())
	h.check(err)
	h.repo, err = repository.Create(t.Context(), local.New(h.repositoryPath()), identity)
	h.check(err)
	return h
}

func (h *retentionHost) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// add makes a backup of a service that is so many days old.
func (h *retentionHost) add(service string, days int) backup.ID {
	h.t.Helper()
	id := backup.NewID(service, h.now.AddDate(0, 0, -days))
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	w, err := h.repo.NewWriter(ctx, 1, nil)
	h.check(err)
	roles, err := w.Bytes(strings.NewReader("CREATE ROLE herder; -- " + string(id) + strings.Repeat(" ", days)))
	h.check(err)
	stored, err := w.Close()
	h.check(err)
	h.check(h.repo.Commit(ctx, &backup.Manifest{
		Schema: backup.Schema, ID: id, CreatedAt: id.Time(), State: backup.Complete, Stored: stored,
		Services: []backup.Service{{Type: "postgres", Name: service, Roles: roles}},
	}))
	return id
}

// run runs a command line that ends with code, and returns its streams.
func (h *retentionHost) run(code int, line string) (stdout, stderr string) {
	h.t.Helper()
	got, stdout, stderr := said(h.t, "", line)
	if got != code {
		h.t.Fatalf("%s: got exit %d, want %d; stdout: %s; stderr: %s", line, got, code, stdout, stderr)
	}
	return stdout, stderr
}

// ages are the ages in days of a service's backups, youngest first, in a place.
func (h *retentionHost) ages(service, at string) string {
	h.t.Helper()
	out, _ := h.run(0, "list "+service+" --format json --from "+at)
	var lines []health.Line
	h.check(json.Unmarshal([]byte(out), &lines))
	var ages []string
	for _, l := range lines {
		ages = append(ages, fmt.Sprint(int(h.now.Sub(l.ID.Time()).Hours())/24))
	}
	return strings.Join(ages, " ")
}

func (h *retentionHost) want(what, got, want string) {
	h.t.Helper()
	if got != want {
		h.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func (h *retentionHost) holds(what, got string, parts ...string) {
	h.t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			h.t.Errorf("%s: got %q, want it to hold %q", what, got, part)
		}
	}
}

func TestRetentionSet(t *testing.T) {
	h := newRetentionHost(t)
	out, _ := h.run(0, "retention")
	h.holds("without a rule", out, "(all others)", "everything is kept")
	for line, want := range map[string]string{
		"retention --global --keep-last 0":                     "--keep-last is 1 or more, not 0",
		"retention --global --keep-daily 7 --keep-last -1":     "--keep-last is 1 or more, not -1",
		"retention --global --keep-within 0h":                  "--keep-within is a time",
		"retention --global --keep-within soon":                "--keep-within is a time",
		"retention --global --max-total 20":                    "--max-total is a size such as 500MB or 20GB",
		"retention --global --max-total -20GB":                 "--max-total is a size",
		"retention --global --max-total 99999999999TB":         "--max-total is a size",
		"retention --global --off --keep-last 3":               "each stand alone",
		"retention --global db --keep-last 3":                  "contradict each other",
		"retention --keep-last 3":                              "which service?",
		"retention --global --keep-last many":                  "--keep-last",
		"retention --global --keep-last 3 --store nowhere":     "there is no store \"nowhere\"",
		"retention --global --keep-last 3 --format yaml":       "--format is text or json",
		"retention no/name":                                    "is not the name of a service",
		"prune no/name":                                        "neither the id of a backup nor the name",
		"prune --from nowhere":                                 "there is no store \"nowhere\"",
		"retention --global --keep-last 99999999999999999999 ": "--keep-last",
	} {
		_, err := h.run(1, line)
		h.holds(line, err, want)
	}
	_, err := h.run(0, "retention --global --keep-last 7 --keep-hourly 6 --keep-daily 14 --keep-weekly 8 --keep-monthly 12 --keep-yearly 3 --keep-within 14d --max-total 20GB")
	words := "keep-last 7, keep-hourly 6, keep-daily 14, keep-weekly 8, keep-monthly 12, keep-yearly 3, keep-within 14d, max-total 20 GB"
	h.holds("set", err, words)
	h.check(h.settingsStore().Set(settings.Service("db"), "retention", `{"keep_last":3}`))
	h.check(h.settingsStore().Set(settings.Service("quiet"), "retention", retention.KeepEverything))
	h.check(h.settingsStore().Set(settings.Service("other"), "timeout", "3"))
	out, _ = h.run(0, "retention")
	h.holds("all", out, words, "db ", "keep-last 3", "the service", "quiet")
	if strings.Contains(out, "other ") {
		t.Errorf("all: got %q, want no line of a service without a rule of its own", out)
	}
	out, _ = h.run(0, "retention postgres:db --format json")
	h.want("of a service", strings.Join(strings.Fields(out), ""), `[{"service":"db","where":"here","rule":{"keep_last":3},"set_for":"service"}]`)
	out, _ = h.run(0, "retention other")
	h.holds("of one without", out, words, "all services")

	// A rule that cannot be understood keeps everything.
	for _, value := range []string{"{}", "{", `{"keep_last":-1}`, `{"keep_last":1,"keep_fortnightly":2}`} {
		h.check(h.settingsStore().Set(settings.Service("db"), "retention", value))
		h.add("db", 0)
		h.now = h.now.AddDate(0, 0, -1)
		_, err := h.run(1, "prune db")
		h.holds(value, err, "nothing is removed")
	}
	_, _ = h.run(0, "retention --global --default")
	out, _ = h.run(0, "retention --global")
	h.holds("taken back", out, "everything is kept")
}

func TestPrune(t *testing.T) {
	h := newRetentionHost(t)
	_, err := h.run(0, "prune")
	h.holds("no backups", err, "no service has a retention")
	for days := range 6 {
		h.add("db", days)
	}
	h.add("other", 0)
	h.add("other", 1)
	_, err = h.run(0, "prune db")
	h.holds("without a rule", err, "postgres:db has no retention: everything is kept", "dokku backup:retention db --keep-daily 14")
	h.want("without a rule", h.ages("db", here), "0 1 2 3 4 5")

	h.run(0, "retention --global --keep-last 2")
	h.check(h.settingsStore().Set(settings.Service("other"), "retention", retention.KeepEverything))
	old := backup.NewID("db", h.now.AddDate(0, 0, -4))
	h.run(0, "pin "+string(old))
	needed := backup.NewID("db", h.now.AddDate(0, 0, -3))
	journal, failed := h.journals().Begin(restore.Request{Backup: needed, Service: "db-2", Type: "postgres"})
	h.check(failed)
	h.check(journal.Close())
	out, err := h.run(0, "prune --dry-run")
	h.holds("dry run", err, "postgres:db: keep-last 2", "2 backups would be removed", "freed; nothing was changed")
	for _, line := range []string{
		`db-\S+ +\S+ .*keep +newest good, newest complete, keep-last 1 of 2`, `db-\S+ .* keep +keep-last 2 of 2`,
		`db-\S+ .* remove +no rule keeps it`, string(needed) + ` .* keep +a restore of it has not finished`, string(old) + ` .* keep +pinned`,
	} {
		if !regexp.MustCompile("(?m)^" + line + "$").MatchString(out) {
			t.Errorf("dry run: got %q, want a line %q", out, line)
		}
	}
	h.want("after the dry run", h.ages("db", here), "0 1 2 3 4 5")
	foretold, _ := h.run(0, "prune --dry-run --format json")
	_, err = h.run(0, "prune")
	h.holds("prune", err, "2 backups removed")
	var want retention.Pruned
	h.check(json.Unmarshal([]byte(foretold), &want))
	freed := regexp.MustCompile(`removed, (.*) freed`).FindStringSubmatch(err)
	if len(freed) == 0 || freed[1] != ui.Bytes(want.Freed) || want.Freed == 0 || want.Removed != 2 {
		t.Errorf("freed: got %q, the dry run said %d bytes of %d backups", freed, want.Freed, want.Removed)
	}
	h.want("db", h.ages("db", here), "0 1 3 4")
	h.want("other", h.ages("other", here), "0 1")
	_, err = h.run(0, "prune")
	h.holds("again", err, "0 backups removed, 0 B freed")
	_, err = h.run(1, "prune nobody")
	h.holds("no backups of it", err, `there is no backup of "nobody"`)

	release, errShare := h.runs().Share()
	h.check(errShare)
	_, err = h.run(backup.ExitLocked, "prune")
	h.holds("while a backup runs", err, "a backup or a verify is running; nothing was removed")
	h.check(release())
}

// TestPruneKeepsUnreadable: what cannot be read stays, and no space is freed meanwhile; afterwards all of it is.
func TestPruneKeepsUnreadable(t *testing.T) {
	h := newRetentionHost(t)
	for days := range 4 {
		h.add("db", days)
	}
	h.run(0, "retention --global --keep-last 1")
	manifest := func(days int) string {
		return filepath.Join(h.repositoryPath(), "backups/db", string(backup.NewID("db", h.now.AddDate(0, 0, -days))))
	}
	good, err := os.ReadFile(manifest(3))
	h.check(err)
	h.check(os.WriteFile(manifest(3), slices.Concat(good[:len(good)-1], []byte{good[len(good)-1] ^ 1}), 0o600))
	_, said := h.run(1, "prune")
	h.holds("prune", said, "no space can be freed while the manifest of", "cannot be read")
	h.want("left", h.ages("db", here), "0 3")
	h.check(os.WriteFile(manifest(3), good, 0o600))
	_, said = h.run(0, "prune db")
	h.holds("mended", said, "1 backup removed")
	h.want("left in the end", h.ages("db", here), "0")
	if left, err := h.repo.Look(t.Context()); err != nil || left.Objects != 3 { // repository.json, a manifest, a segment
		t.Errorf("objects: got %+v, error %v, want 3", left, err)
	}
}

// withStore adds a store in a folder.
func (h *retentionHost) withStore() {
	h.t.Helper()
	h.run(0, "store-add offsite file://"+h.t.TempDir())
}

// TestRetentionOfStore: a store keeps fewer than here, or more, and what its rule removes is neither sent again nor missing there.
func TestRetentionOfStore(t *testing.T) {
	h := newRetentionHost(t)
	for days := 1; days <= 6; days++ {
		h.add("db", days)
	}
	h.withStore()
	marked := backup.NewID("db", h.now.AddDate(0, 0, -2))
	h.run(0, "verify "+string(marked))
	h.run(0, "retention --global --keep-last 2 --store offsite")
	h.run(0, "sync")
	h.want("sent", h.ages("db", "offsite"), "1 2")
	h.want("here", h.ages("db", here), "1 2 3 4 5 6")
	out, _ := h.run(0, "list db")
	if strings.Contains(out, "not at") {
		t.Errorf("list: got %q, want nothing missing at the store", out)
	}
	h.run(0, "store-list") // ends with 3 when a store is behind

	h.add("db", 0)
	out, _ = h.run(0, "list db")
	h.holds("a new one", out, "complete here, not at offsite")
	h.run(0, "sync")
	h.want("sent", h.ages("db", "offsite"), "0 1 2")
	_, err := h.run(0, "prune --from offsite")
	h.holds("prune", err, "1 backup removed")
	h.want("left there", h.ages("db", "offsite"), "0 1")
	_, err = h.run(0, "sync")
	h.holds("sync after prune", err, "nothing was lacking")
	h.want("still", h.ages("db", "offsite"), "0 1")
	out, _ = h.run(0, "list db")
	if strings.Contains(out, "not at") {
		t.Errorf("list: got %q, want nothing missing at the store", out)
	}

	// A pin holds there too, though it is not there yet.
	second := string(backup.NewID("db", h.now.AddDate(0, 0, -1)))
	h.run(0, "pin "+second)
	h.run(0, "retention --global --keep-last 1 --store offsite")
	_, err = h.run(0, "prune --from offsite")
	h.holds("a pin here", err, "0 backups removed")
	h.run(0, "pin "+string(backup.NewID("db", h.now.AddDate(0, 0, -5))))
	h.run(0, "sync")
	h.want("a pinned one is sent", h.ages("db", "offsite"), "0 1 5")

	// A rule that keeps more brings back what went, with its marks.
	h.run(0, "retention --global --keep-last 4 --store offsite")
	h.run(0, "sync")
	h.want("a rule that keeps more", h.ages("db", "offsite"), "0 1 2 3 5")
	out, _ = h.run(0, "list db --from offsite")
	if !regexp.MustCompile(`(?m)^` + string(marked) + ` .*, verified`).MatchString(out) {
		t.Errorf("list of the store: got %q, want %s verified", out, marked)
	}

	// Here keeps fewer: what goes here stays there, and is none that is missing.
	h.run(0, "retention --global --off --store offsite")
	h.run(0, "sync")
	h.want("without a rule there", h.ages("db", "offsite"), "0 1 2 3 4 5 6")
	h.run(0, "retention --global --keep-last 2")
	h.run(0, "prune")
	h.want("here", h.ages("db", here), "0 1 5")
	h.run(0, "sync")
	h.want("there", h.ages("db", "offsite"), "0 1 2 3 4 5 6")
	h.run(0, "verify --all --from offsite")
	// Without a rule of its own the store has that of here.
	h.run(0, "retention --global --default --store offsite")
	_, err = h.run(0, "prune --from offsite")
	h.holds("the same as here", err, "4 backups removed")
	h.want("there", h.ages("db", "offsite"), "0 1 5")
	h.run(0, "verify --all --from offsite")
}

// TestNotSentAgain: what the store's rule removed is not sent again because it is an old one that another rule keeps here.
func TestNotSentAgain(t *testing.T) {
	h := newRetentionHost(t)
	for _, days := range []int{0, 1, 2, 3, 800} {
		h.add("db", days)
	}
	h.withStore()
	h.run(0, "sync")
	h.run(0, "retention --global --keep-last 1 --keep-yearly 3")
	h.run(0, "prune")
	h.want("here", h.ages("db", here), "0 800")
	h.run(0, "retention --global --keep-last 3 --store offsite")
	h.run(0, "prune --from offsite")
	h.want("there", h.ages("db", "offsite"), "0 1 2")
	_, err := h.run(0, "sync")
	h.holds("sync", err, "nothing was lacking")
	h.want("there", h.ages("db", "offsite"), "0 1 2")
}
