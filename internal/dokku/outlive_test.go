package dokku

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestOutlived finds what a program started, for as long as it runs.
func TestOutlived(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	host := New([]string{"PATH=/usr/bin:/bin"}).ForRun("first").ForRun("second")
	ended := make(chan error)
	go func() { ended <- host.Exec(ctx, Command{Argv: []string{"sh", "-c", "sleep 60; true"}}) }()
	deadline := time.Now().Add(10 * time.Second)
	var found []string
	for !strings.Contains(strings.Join(found, ", "), "sleep 60") {
		if time.Now().After(deadline) {
			t.Fatalf("got %q, want a sleep", found)
		}
		var err error
		if found, err = Outlived("second"); err != nil {
			t.Fatal(err)
		}
	}
	if others, err := Outlived("first"); err != nil || len(others) > 0 {
		t.Errorf("another run's: got %q, %v, want none", others, err)
	}
	cancel()
	<-ended
	if found, err := Outlived("second"); err != nil || len(found) > 0 {
		t.Errorf("after the end: got %q, %v, want none", found, err)
	}
}
