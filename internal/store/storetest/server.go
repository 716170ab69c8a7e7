package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Serve starts a real server of a kind, which ends with the test. See Start.
func Serve(t testing.TB, kind string) map[string]string {
	t.Helper()
	facts := Start(t, kind, t.TempDir())
	t.Cleanup(func() { End(facts) })
	return facts
}

// Start starts a real server of a kind with test/servers, in an empty folder, and gives the facts that that prints. End ends it. Where the
// server is not installed the test is skipped, but fails where CI is set.
func Start(t testing.TB, kind, folder string) map[string]string {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(moduleRoot(t), "test", "servers"), kind, folder)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if os.Getenv("CI") == "" && errors.As(err, &exit) && exit.ExitCode() == 4 {
			t.Skipf("NOT TESTED: %s", &problems)
		}
		t.Fatalf("test/servers %s: %v\n%s", kind, err, &problems)
	}
	facts := map[string]string{}
	for line := range strings.Lines(out.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		facts[name] = strings.Trim(value, "'")
	}
	return facts
}

// End ends a server that Start began.
func End(facts map[string]string) {
	for pid := range strings.FieldsSeq(facts["pid"]) {
		if pid, err := strconv.Atoi(pid); err == nil {
			end(pid)
		}
	}
}

// moduleRoot is the folder above the test's own that holds go.mod.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
	}
}

// end ends a process and waits until it writes no more.
func end(pid int) {
	syscall.Kill(pid, syscall.SIGKILL)
	for range 100 {
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || bytes.Contains(state, []byte(") Z ")) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
