package dokku

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func commitOf(t *testing.T, l Ledger, app, image string) string {
	t.Helper()
	entries, err := l.Entries(app)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := last(entries, func(e Entry) bool { return e.Image == image })
	return e.Commit
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLedgerPairsExtractAndRelease(t *testing.T) {
	ctx, l := t.Context(), Ledger{Dir: filepath.Join(t.TempDir(), "data", "ledger")}
	image := func(id string, layers ...string) Image { return Image{ID: id, Layers: layers} }

	must(t, l.RecordExtract(ctx, "run1", "cows", commitA))
	must(t, l.RecordExtract(ctx, "run2", "cows", commitB)) // another deploy at the same time
	must(t, l.RecordExtract(ctx, "run1", "goats", commitC))
	must(t, l.RecordRelease(ctx, "run2", "cows", image(imageB, "base", "b"), false))
	must(t, l.RecordRelease(ctx, "run1", "cows", image(imageA, "base", "a"), false))
	must(t, l.RecordRelease(ctx, "run3", "cows", image(imageA, "base", "a"), false)) // ps:restart: known already
	must(t, l.RecordRelease(ctx, "run4", "cows", image("labels again", "base", "a"), false))
	must(t, l.RecordRelease(ctx, "run5", "cows", image("longer", "base", "b", "config"), false))
	must(t, l.RecordRelease(ctx, "run6", "cows", image("herokuish", "base", "b", "config"), true))
	must(t, l.RecordRelease(ctx, "run7", "cows", image("stranger", "other"), true))
	must(t, l.RecordRelease(ctx, "run8", "cows", image("no layers"), true))

	for _, tt := range []struct{ app, image, want string }{
		{"cows", imageA, commitA},
		{"cows", imageB, commitB},
		{"cows", "labels again", commitA},
		{"cows", "longer", ""},
		{"cows", "herokuish", commitB},
		{"cows", "stranger", ""},
		{"cows", "no layers", ""},
		{"goats", imageA, ""},
	} {
		if got := commitOf(t, l, tt.app, tt.image); got != tt.want {
			t.Errorf("%s, image %s: got commit %q, want %q", tt.app, tt.image, got, tt.want)
		}
	}

	entries, err := l.Entries("cows")
	must(t, err)
	find := func(image string) Entry {
		e, _ := last(entries, func(e Entry) bool { return e.Image == image })
		return e
	}
	if got, want := find("labels again").At, find(imageA).At; !got.Equal(want) {
		t.Errorf("an image that took over a commit was released at %v, want the first release, %v", got, want)
	}
	if n := len(slices.DeleteFunc(entries, func(e Entry) bool { return e.Image != imageA })); n != 1 {
		t.Errorf("got %d entries of an image released twice, want 1", n)
	}
}

func TestLedgerRefusesWhatIsNoCommit(t *testing.T) {
	l := Ledger{Dir: t.TempDir()}
	for _, rev := range []string{"", "HEAD", "main", "-x", "b953596"[:6]} {
		if err := l.RecordExtract(t.Context(), "run", "cows", rev); err == nil {
			t.Errorf("revision %q: got no error", rev)
		}
	}
	for _, app := range []string{"", "../cows", ".lock", "a/b", "-f"} {
		if err := l.RecordExtract(t.Context(), "run", app, commitA); err == nil {
			t.Errorf("app %q: got no error", app)
		}
	}
}

// A file cut anywhere, as by a full disk or a broken host, loses the cut entry only, and the next entry is written well.
func TestLedgerCutAnywhere(t *testing.T) {
	l := Ledger{Dir: t.TempDir()}
	must(t, l.RecordExtract(t.Context(), "run1", "cows", commitA))
	must(t, l.RecordRelease(t.Context(), "run1", "cows", Image{ID: imageA}, false))
	must(t, l.RecordRelease(t.Context(), "run1", "cows", Image{ID: imageB}, false))
	name := filepath.Join(l.Dir, "cows.jsonl")
	whole, err := os.ReadFile(name)
	must(t, err)
	end := strings.LastIndex(string(whole[:len(whole)-1]), "\n") + 1 // of the second entry
	for cut := end; cut < len(whole); cut++ {
		must(t, os.WriteFile(name, whole[:cut], 0o600))
		if got := commitOf(t, l, "cows", imageA); got != commitA {
			t.Fatalf("cut at %d: got commit %q of an earlier entry, want %q", cut, got, commitA)
		}
		if got := commitOf(t, l, "cows", imageB); got != "" && got != commitA {
			t.Fatalf("cut at %d: got commit %q of the cut entry", cut, got)
		}
		must(t, l.RecordExtract(t.Context(), "run2", "cows", commitC))
		must(t, l.RecordRelease(t.Context(), "run2", "cows", Image{ID: imageC}, false))
		if a, c := commitOf(t, l, "cows", imageA), commitOf(t, l, "cows", imageC); a != commitA || c != commitC {
			t.Fatalf("after the next deploy, cut at %d: got commits %q and %q, want %q and %q", cut, a, c, commitA, commitC)
		}
	}
}

// A run killed while it wrote leaves a temporary file, which nobody reads and the next run replaces.
func TestLedgerKilledWhileWriting(t *testing.T) {
	l := Ledger{Dir: t.TempDir()}
	must(t, l.RecordExtract(t.Context(), "run1", "cows", commitA))
	temp := filepath.Join(l.Dir, ".cows.new")
	must(t, os.WriteFile(temp, []byte(`{"at":"2026-`), 0o600))
	must(t, l.RecordRelease(t.Context(), "run1", "cows", Image{ID: imageA}, false))
	if got := commitOf(t, l, "cows", imageA); got != commitA {
		t.Errorf("got commit %q, want %q", got, commitA)
	}
	if _, err := os.Stat(temp); err == nil {
		t.Error("the temporary file is still there")
	}
}

func TestLedgerConcurrentDeploys(t *testing.T) {
	l := Ledger{Dir: t.TempDir()}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			run, commit := fmt.Sprint("run", i), fmt.Sprintf("%040x", i+1)
			if err := l.RecordExtract(t.Context(), run, "cows", commit); err != nil {
				t.Error(err)
			}
			if err := l.RecordRelease(t.Context(), run, "cows", Image{ID: run}, false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		if got, want := commitOf(t, l, "cows", fmt.Sprint("run", i)), fmt.Sprintf("%040x", i+1); got != want {
			t.Errorf("deploy %d: got commit %q, want %q", i, got, want)
		}
	}
}

func TestLedgerKeepsTheNewest(t *testing.T) {
	l := Ledger{Dir: t.TempDir()}
	for i := range ledgerEntries/2 + 1 {
		run := fmt.Sprint("run", i)
		must(t, l.RecordExtract(t.Context(), run, "cows", fmt.Sprintf("%040x", i+1)))
		must(t, l.RecordRelease(t.Context(), run, "cows", Image{ID: run}, false))
	}
	entries, err := l.Entries("cows")
	must(t, err)
	if len(entries) != ledgerEntries {
		t.Errorf("got %d entries, want %d", len(entries), ledgerEntries)
	}
	if first, newest := entries[0].Run, entries[len(entries)-1].Image; first != "run1" || newest != "run100" {
		t.Errorf("got entries from %s to %s, want run1 to run100", first, newest)
	}
}

func TestLedgerRenameAndDelete(t *testing.T) {
	ctx, l := t.Context(), Ledger{Dir: t.TempDir()}
	must(t, l.RecordExtract(ctx, "run", "cows", commitA))
	must(t, l.RecordRelease(ctx, "run", "cows", Image{ID: imageA}, false))

	must(t, l.Rename(ctx, "cows", "herd"))
	must(t, l.Delete(ctx, "cows")) // Dokku deletes the old name
	if got := commitOf(t, l, "herd", imageA); got != commitA {
		t.Errorf("after rename: got commit %q, want %q", got, commitA)
	}
	must(t, l.Rename(ctx, "nosuch", "other"))
	must(t, l.Delete(ctx, "herd"))
	if entries, err := l.Entries("herd"); err != nil || len(entries) != 0 {
		t.Errorf("after delete: got %v, %v; want nothing", entries, err)
	}
}

func TestLedgerHeldLockDoesNotHang(t *testing.T) {
	l := Ledger{Dir: t.TempDir()}
	f, err := os.Create(filepath.Join(l.Dir, ".lock"))
	must(t, err)
	defer f.Close()
	must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := l.RecordExtract(ctx, "run", "cows", commitA); err == nil {
		t.Error("got no error while another process holds the lock")
	}
}
