package notify

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

// elsewhere is what tests reach in place of the hosts of chats and the like: none reaches a host that is not this one.
var elsewhere *internet

// TestMain is also the process that TestTwoRuns and TestKilled start: a run that tells of a condition.
func TestMain(m *testing.M) {
	if dir := os.Getenv("NOTIFY_TEST_DIR"); dir != "" {
		kinds, _ := ParseEvents("")
		tell, _ := NewTeller(dir, []Receiver{{Name: "ops", URL: os.Getenv("NOTIFY_TEST_URL"), Events: kinds}})
		holding := []string{"warning w"}
		if os.Getenv("NOTIFY_TEST_OVER") != "" {
			holding = nil
		}
		tell.Conditions(context.Background(), event("", "", noon), conditions(holding))
		return
	}
	folder, err := os.MkdirTemp("", "notify-test-")
	if err != nil {
		panic(err)
	}
	if elsewhere, err = connect(folder); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

// begin starts a process that tells of a condition.
func begin(t *testing.T, dir, url string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NOTIFY_TEST_DIR="+dir, "NOTIFY_TEST_URL="+url)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestTwoRuns: runs at once never tell the same twice, nor that it is over.
func TestTwoRuns(t *testing.T) {
	dir, l := t.TempDir(), listen(t)
	l.does(func(http.ResponseWriter, *http.Request) { time.Sleep(300 * time.Millisecond) })
	for _, want := range []string{"warning w", "recovered over: warning since 2026-11-21 12:00 UTC: w"} {
		var runs []*exec.Cmd
		for range 6 {
			runs = append(runs, begin(t, dir, l.url("json")))
		}
		for _, r := range runs {
			if err := r.Wait(); err != nil {
				t.Error(err)
			}
		}
		if got := l.got(t); !slices.Equal(got, []string{want}) {
			t.Errorf("got %q, want %q", got, want)
		}
		t.Setenv("NOTIFY_TEST_OVER", "1")
	}
}

// TestKilled: a run that is killed after it noted that it tells, and before it did, does not silence the next ones.
func TestKilled(t *testing.T) {
	dir, l := t.TempDir(), listen(t)
	var asked sync.Once
	begun, release := make(chan struct{}), make(chan struct{})
	l.does(func(http.ResponseWriter, *http.Request) {
		asked.Do(func() { close(begun) })
		<-release
	})
	killed := begin(t, dir, l.url("json"))
	<-begun
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	close(release)
	l.got(t)
	for _, s := range []step{{after: 0}, {after: 2 * time.Minute, want: []string{"warning w"}}, {after: 3 * time.Minute}} {
		tell := teller(t, dir, receiver(t, "ops", l.url("json"), ""))
		tell.now = func() time.Time { return time.Now().Add(s.after) }
		tell.Conditions(t.Context(), event("", "", noon), conditions([]string{"warning w"}))
		if got := l.got(t); !slices.Equal(got, append([]string{}, s.want...)) {
			t.Errorf("after %v: got %q, want %q", s.after, got, s.want)
		}
	}
}
