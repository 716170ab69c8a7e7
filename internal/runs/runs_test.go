package runs

import (
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

var noon = time.Date(2026, 11, 21, 12, 4, 0, 0, time.UTC)

// begin begins a run of service that announced itself at noon and so many seconds.
func begin(t *testing.T, r *Runs, service string, seconds int) *Run {
	t.Helper()
	run, err := r.Begin(service)
	if err != nil {
		t.Fatal(err)
	}
	at := noon.Add(time.Duration(seconds) * time.Second)
	if err := run.Announce(Record{ID: backup.NewID(service, at), Service: "postgres:" + service, PID: 4711, Started: at}); err != nil {
		t.Fatal(err)
	}
	return run
}

// die ends a run as SIGKILL does: the lock goes, the record stays.
func die(t *testing.T, run *Run) {
	t.Helper()
	if err := run.lock.Close(); err != nil {
		t.Fatal(err)
	}
}

func failed(t *testing.T, r *Runs, service string) []string {
	t.Helper()
	records, err := r.Failed(service)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, record := range records {
		lines = append(lines, string(record.ID)+" "+record.Failed)
	}
	return lines
}

func TestKilledWhileAnnouncing(t *testing.T) {
	r := &Runs{Dir: t.TempDir()}
	run := begin(t, r, "herd", 0)
	shorter, err := json.Marshal(run.Record)
	if err != nil {
		t.Fatal(err)
	}
	longer := run.Record
	longer.Note = "before the herd moves"
	if err := run.Announce(longer); err != nil {
		t.Fatal(err)
	}
	if _, err := run.lock.WriteAt(append(shorter, '\n'), 0); err != nil {
		t.Fatal(err)
	}
	die(t, run)
	if got, want := failed(t, r, "herd"), []string{string(run.ID) + " it was killed, or the host went down"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOneRunOfAService(t *testing.T) {
	r := &Runs{Dir: t.TempDir()}
	first := begin(t, r, "herd", 0)
	first.Percent = 38
	if err := first.Announce(first.Record); err != nil {
		t.Fatal(err)
	}
	_, err := r.Begin("herd")
	var problem *backup.Problem
	if !errors.As(err, &problem) || problem.ExitCode() != backup.ExitLocked {
		t.Fatalf("got %v, want a problem with exit code %d", err, backup.ExitLocked)
	}
	want := "a backup of herd has been running since " + noon.Local().Format("15:04") + " (process 4711, 38 % done)"
	if problem.Message != want {
		t.Errorf("got  %q\nwant %q", problem.Message, want)
	}
	if got := strings.Join(problem.Hints, ""); !strings.Contains(got, "dokku backup:cancel herd") {
		t.Errorf("hints: got %q, want the way to stop it", got)
	}
	other := begin(t, r, "herd-2", 0)
	for _, run := range []*Run{other, first} {
		if err := run.End(nil); err != nil {
			t.Fatal(err)
		}
	}
	again := begin(t, r, "herd", 1)
	if again.Died != nil {
		t.Errorf("after a good run: got %+v as died", again.Died)
	}
	if got := failed(t, r, ""); len(got) > 0 {
		t.Errorf("failed: got %q, want none", got)
	}
}

func TestFailedRunsAreRemembered(t *testing.T) {
	r := &Runs{Dir: t.TempDir()}
	if err := begin(t, r, "herd", 0).End(errors.New("no hay")); err != nil {
		t.Fatal(err)
	}
	die(t, begin(t, r, "herd", 1))
	if err := begin(t, r, "other", 2).End(errors.New("no water")); err != nil {
		t.Fatal(err)
	}
	running := begin(t, r, "third", 3)
	killed := "herd-20261121T120401Z it was killed, or the host went down"
	for range 2 { // looking changes nothing
		want := []string{killed, "herd-20261121T120400Z no hay"}
		if got := failed(t, r, "herd"); !slices.Equal(got, want) {
			t.Errorf("of herd: got %q, want %q", got, want)
		}
		want = append([]string{"other-20261121T120402Z no water"}, want...)
		if got := failed(t, r, ""); !slices.Equal(got, want) {
			t.Errorf("of all: got %q, want %q", got, want)
		}
	}

	// The next run learns of the one that died; that one stays in the list.
	next := begin(t, r, "herd", 4)
	if next.Died == nil || next.Died.ID != "herd-20261121T120401Z" {
		t.Errorf("died: got %+v, want herd-20261121T120401Z", next.Died)
	}
	if got := failed(t, r, "herd"); len(got) != 2 || got[0] != killed {
		t.Errorf("of herd: got %q", got)
	}
	for _, run := range []*Run{next, running} {
		if err := run.End(nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOldFailuresAreForgotten(t *testing.T) {
	r := &Runs{Dir: t.TempDir()}
	for i := range keepFailed + 3 {
		if err := begin(t, r, "herd", i).End(errors.New("no hay")); err != nil {
			t.Fatal(err)
		}
	}
	got := failed(t, r, "herd")
	if len(got) != keepFailed || !strings.HasPrefix(got[keepFailed-1], "herd-20261121T120403Z") {
		t.Errorf("got %d failed runs, the oldest %q; want %d, the oldest herd-20261121T120403Z", len(got), got[len(got)-1], keepFailed)
	}
}

// TestCutRecords has records that a power failure left half written: they are no runs, and break nothing.
func TestCutRecords(t *testing.T) {
	for _, text := range []string{"", "{", `{"id":"herd-20261121T1`, "\x00\x00\x00", "[]", `{"id":""}`} {
		r := &Runs{Dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(r.Dir, "herd.lock"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := failed(t, r, ""); len(got) > 0 {
			t.Errorf("%q: got %q, want none", text, got)
		}
		run := begin(t, r, "herd", 0)
		if run.Died != nil {
			t.Errorf("%q: got %+v as died", text, run.Died)
		}
		if err := run.End(nil); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRepositoryLock(t *testing.T) {
	r := &Runs{Dir: t.TempDir()}
	share := func() func() error {
		release, err := r.Share()
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	exclude := func(want bool) func() error {
		t.Helper()
		release, ok, err := r.Exclude()
		if err != nil || ok != want {
			t.Fatalf("exclude: got %v, %v; want %v", ok, err, want)
		}
		return release
	}
	first, second := share(), share()
	exclude(false)
	first()
	exclude(false)
	second()
	cleaning := exclude(true)
	exclude(false)

	// A capture waits for the clean-up.
	got := make(chan func() error)
	go func() {
		release, err := r.Share()
		if err != nil {
			t.Error(err)
		}
		got <- release
	}()
	select {
	case <-got:
		t.Fatal("shared while it was held for a clean-up")
	case <-time.After(50 * time.Millisecond):
	}
	cleaning()
	release := <-got
	exclude(false)
	release()
	exclude(true)()
}

func TestModes(t *testing.T) {
	r := &Runs{Dir: filepath.Join(t.TempDir(), "runs")}
	if err := begin(t, r, "herd", 0).End(errors.New("no hay")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(r.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: got mode %v, want none for others", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestForget(t *testing.T) {
	r := &Runs{Dir: t.TempDir()}
	id := backup.ID("db-20261121T120000Z")
	run, err := r.Begin("db")
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Announce(Record{ID: id, Service: "postgres:db"}); err != nil {
		t.Fatal(err)
	}
	if err := run.End(errors.New("disk full")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if known, err := r.Forget(id); known != want || err != nil {
			t.Errorf("got %v %v, want %v", known, err, want)
		}
	}
	if failed, err := r.Failed("db"); len(failed) > 0 || err != nil {
		t.Errorf("got %v %v, want nothing left", failed, err)
	}
}

// TestCancel ends a process that holds the lock of a run, and none that a dead run's record names.
func TestCancel(t *testing.T) {
	r := &Runs{Dir: t.TempDir()}
	if _, ok, err := r.Cancel(t.Context(), "db"); ok || err != nil {
		t.Errorf("without a run: got %v %v, want none", ok, err)
	}
	die(t, begin(t, r, "db", 0)) // its record names process 4711

	run, err := r.Begin("db")
	if err != nil {
		t.Fatal(err)
	}
	if record, ok, err := r.UnderWay("db"); ok || err != nil {
		t.Errorf("before it is announced: got %+v %v, want none", record, err)
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT)
	defer signal.Stop(interrupted)
	if err := run.Announce(Record{ID: backup.NewID("db", noon), Service: "postgres:db", PID: os.Getpid(), Started: noon}); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-interrupted
		if err := run.End(errors.New("it was interrupted")); err != nil {
			t.Error(err)
		}
	}()
	record, ok, err := r.Cancel(t.Context(), "db")
	if !ok || err != nil || record.ID != run.ID {
		t.Errorf("got %+v %v %v, want run %s", record, ok, err, run.ID)
	}
}
