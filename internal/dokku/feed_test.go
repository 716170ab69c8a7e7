package dokku

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// keep is what a helper, or a program in the service's container, does with its input in these tests.
func (e *engine) keep() string { return `cat >"` + filepath.Dir(e.calls) + `/kept"` }

func (e *engine) kept(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(e.calls), "kept"))
	must(t, err)
	return string(text)
}

func TestFeed(t *testing.T) {
	tests := []struct{ name, helper, service, err, calls string }{
		{"aside", `case "$*" in *--version) ;; *) %KEEP ;; esac`, "exit 1", "", "run run"},
		{"within", "exit 125", "%KEEP", "", "run exec"},
		{"no such program", `echo "docker: executable file not found" >&2; exit 127`, "", "psql: docker: executable file not found (exit status 127)", "run"},
		{"fails", `case "$*" in *--version) ;; *) %KEEP; echo "psql: error: no" >&2; exit 3 ;; esac`, "", "psql: error: no (exit status 3)", "run run"},
		{"fails within", "exit 125", `%KEEP; echo "psql: error: no" >&2; exit 3`, "psql: error: no (exit status 3)", "run exec"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEngine(t, "", "")
			e.Host.Docker = scriptedEngine(t, e, tt.helper, tt.service)
			err := e.Feed(t.Context(), []string{"psql", "-d", "cows"}, []string{"PGPASSWORD=s3cret"}, strings.NewReader("select moo"))
			if text := strings.TrimPrefix(errText(err), "psql: psql"); text != strings.TrimPrefix(tt.err, "psql: psql") {
				t.Errorf("error: got %q, want %q", text, tt.err)
			}
			if got := e.called(t); got != tt.calls {
				t.Errorf("docker was called to %q, want %q", got, tt.calls)
			}
			if tt.name != "no such program" && e.kept(t) != "select moo" {
				t.Errorf("input: got %q", e.kept(t))
			}
		})
	}
}

// scriptedEngine is a docker that runs the script helper for `run` and service for `exec`, in which %KEEP stands for keep.
func scriptedEngine(t *testing.T, e *engine, helper, service string) string {
	keep := strings.NewReplacer("%KEEP", e.keep())
	return program(t, `echo "$1" >>`+e.calls+"\ncase $1 in\nrun) "+keep.Replace(helper)+" ;;\nexec) "+keep.Replace(service)+" ;;\nesac\n")
}

// TestFeedGivenUp has input that fails and a caller that cancels: the helper is killed each time.
func TestFeedGivenUp(t *testing.T) {
	cut := errors.New("the segment is damaged")
	cancelled, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	never, writer := io.Pipe()
	defer writer.Close()
	tests := []struct {
		name string
		ctx  context.Context
		in   io.Reader
		want error
	}{
		{"input fails", t.Context(), io.MultiReader(strings.NewReader("select"), iotest.ErrReader(cut)), cut},
		{"cancel", cancelled, io.MultiReader(strings.NewReader("select"), reads(func() { cancel(stopped) }), never), stopped},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEngine(t, "", "")
			e.Host.Docker = scriptedEngine(t, e, `case "$*" in *--version) ;; *) exec sleep 30 ;; esac`, "")
			began := time.Now()
			err := e.Feed(tt.ctx, []string{"psql"}, nil, tt.in)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if took := time.Since(began); took > stopGrace+5*time.Second {
				t.Errorf("took %s", took)
			}
			// It may be ended before it could note that it runs.
			if got := e.called(t); !strings.HasSuffix(got, " rm") {
				t.Errorf("docker was called to %q, want the last to be %q", got, "rm")
			}
		})
	}
}

// reads is a reader that does something, once, and is empty.
func reads(do func()) io.Reader {
	return readerFunc(func([]byte) (int, error) { do(); return 0, io.EOF })
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestWithFile(t *testing.T) {
	argv := func(file string) []string { return []string{"pg_restore", "-d", "cows", file} }
	tests := []struct{ name, helper, service, calls string }{
		{"aside", `while [ $# -gt 1 ]; do [ "$1" = -v ] && out=${2%:/out}; shift; done; [ "$1" = /out/file ] && %KEEP <"$out/file"`, "exit 1", "run"},
		{"within", "exit 125", `case "$*" in *"cows "*) %KEEP ;; esac`, "run exec"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEngine(t, "", "")
			e.Host.Docker = scriptedEngine(t, e, tt.helper, tt.service)
			must(t, e.WithFile(t.Context(), argv, nil, []byte("PGDMP moo")))
			if got := e.kept(t); got != "PGDMP moo" {
				t.Errorf("content: got %q", got)
			}
			if got := e.called(t); got != tt.calls {
				t.Errorf("docker was called to %q, want %q", got, tt.calls)
			}
			left, err := os.ReadDir(e.Folder)
			must(t, err)
			if len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
