package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/dokku"
)

func TestRetain(t *testing.T) {
	h := newRetentionHost(t)
	db := dokku.Service{Type: "postgres", Name: "db"}
	for days := range 5 {
		h.add("db", days)
	}
	other := h.add("other", 0)
	h.withStore()
	h.run(0, "sync")
	want := func(what string, got retained, removed int, failed bool) {
		t.Helper()
		if got.removed != removed || (got.failed != nil) != failed {
			t.Errorf("%s: got %d removed, error %v, want %d, %v; said: %s", what, got.removed, got.failed, removed, failed, h.said.String())
		}
		if why, at := h.retentionFailures().Last("postgres:db"); (why != "") != failed || failed && time.Since(at) > time.Minute {
			t.Errorf("%s: kept is %q at %s, want a failure %v", what, why, at, failed)
		}
		h.said.Reset()
	}
	want("without a rule", h.retain(t.Context(), db), 0, false)
	h.run(0, "retention --global --keep-last 3")

	release, err := h.runs().Share()
	h.check(err)
	want("while another run is under way", h.retain(t.Context(), db), 0, false)
	h.check(release())
	want("here and there", h.retain(t.Context(), db), 4, false)
	h.want("here", h.ages("db", here), "0 1 2")
	h.want("there", h.ages("db", "offsite"), "0 1 2")

	// The store has not the newest one: nothing goes there.
	h.now = h.now.Add(time.Second)
	h.add("db", 0)
	want("a store that is behind", h.retain(t.Context(), db), 1, false)
	h.want("there", h.ages("db", "offsite"), "0 1 2")
	h.run(0, "sync")

	// A failure is kept until the next success, and until then space is to be freed.
	h.run(0, "retention --global --keep-last 2")
	path := filepath.Join(h.repositoryPath(), "backups/other", string(other))
	good, err := os.ReadFile(path)
	h.check(err)
	h.check(os.WriteFile(path, good[:len(good)-1], 0o600))
	got := h.retain(t.Context(), db)
	h.holds("said", h.said.String(), "retention failed: no space can be freed")
	want("a manifest that cannot be read", got, 3, true)
	release, err = h.runs().Share()
	h.check(err)
	want("still", retained{failed: os.ErrInvalid, removed: 0}, 0, true)
	if got := h.retain(t.Context(), db); got.failed != nil || !got.left {
		t.Errorf("left to the next: got %+v, want it so", got)
	}
	want("left to the next one", retained{failed: os.ErrInvalid}, 0, true)
	h.check(release())
	h.check(os.WriteFile(path, good, 0o600))
	done := h.retain(t.Context(), db)
	if done.freed == 0 {
		t.Errorf("mended: got nothing freed, want what the failure left")
	}
	want("mended", done, 0, false)
}
