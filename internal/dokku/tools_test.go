package dokku

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// engine is a docker for Tools: `run` runs the script helper with $fifo, `exec` the script service, and each call leaves its
// first argument in the file calls.
type engine struct {
	*Tools
	calls     string
	fallbacks []error
}

func newEngine(t *testing.T, helper, service string) *engine {
	t.Helper()
	dir := t.TempDir()
	e := &engine{calls: filepath.Join(dir, "calls")}
	docker := program(t, `echo "$1" >>`+e.calls+`
case $1 in
run)
  while [ $# -gt 0 ]; do
    [ "$1" = -v ] && fifo=${2%:/out}/fifo
    shift
  done
  `+helper+` ;;
exec)
  `+service+` ;;
esac
`)
	e.Tools = &Tools{
		Host:      New(append(os.Environ(), "DOCKER_BIN="+docker)),
		Container: "c0ffee", Image: "sha256:1", Purpose: "x-20261121T074700Z", Folder: filepath.Join(dir, "tmp"),
		Fallback: func(why error) { e.fallbacks = append(e.fallbacks, why) },
	}
	must(t, os.Mkdir(e.Folder, 0o700))
	return e
}

// run runs pg_dump with read, and checks that nothing is left in the folder.
func (e *engine) run(t *testing.T, ctx context.Context, read func(io.Reader) error) error {
	t.Helper()
	argv := func(out string) []string { return []string{"pg_dump", "--file=" + out} }
	began := time.Now()
	err := e.Run(ctx, argv, []string{"PGPASSWORD=s3cret"}, read)
	if took := time.Since(began); took > stopGrace/2 {
		t.Errorf("took %s", took)
	}
	left, dirErr := os.ReadDir(e.Folder)
	must(t, dirErr)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return err
}

func (e *engine) called(t *testing.T) string {
	t.Helper()
	calls, err := os.ReadFile(e.calls)
	must(t, err)
	return strings.Join(strings.Fields(string(calls)), " ")
}

// TestToolsEnd has programs that end by themselves, well or not.
func TestToolsEnd(t *testing.T) {
	tests := []struct {
		name, helper, service string
		output, err, calls    string
	}{
		{"output", `printf moo >"$fifo"`, ``, "moo", "", "run"},
		{"no output", `true`, ``, "", "", "run"},
		{"more than a pipe holds", `head -c 3000000 /dev/zero >"$fifo"`, ``, strings.Repeat("\x00", 3000000), "", "run"},
		{"fails at once", `echo "pg_dump: error: no such database" >&2; exit 1`, ``, "", "pg_dump: error: no such database (exit status 1)", "run"},
		{"fails half-way", `printf moo >"$fifo"; echo "pg_dump: error: gone" >&2; exit 1`, ``, "moo", "pg_dump: error: gone (exit status 1)", "run"},
		{"fails silently", `exit 1`, ``, "", "pg_dump failed and did not say why (exit status 1)", "run"},
		{"is killed", `printf moo >"$fifo"; exit 137`, ``, "moo",
			"pg_dump was killed: by somebody, by a restart of the service, or because the host's memory ran out", "run"},
		{"no helper", `echo "docker: no such image" >&2; exit 125`, `printf moo`, "moo", "", "run exec"},
		{"no helper, fails", `exit 125`, `echo "pg_dump: error: gone for $PGPASSWORD" >&2; exit 1`, "", "pg_dump: error: gone for *** (exit status 1)", "run exec"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEngine(t, tt.helper, tt.service)
			var got bytes.Buffer
			err := e.run(t, t.Context(), func(r io.Reader) error {
				_, err := got.ReadFrom(r)
				return err
			})
			if got.String() != tt.output {
				t.Errorf("output: got %d bytes, want %d", got.Len(), len(tt.output))
			}
			if text := errText(err); text != tt.err {
				t.Errorf("error: got %q, want %q", text, tt.err)
			}
			if calls := e.called(t); calls != tt.calls {
				t.Errorf("docker was called to %q, want %q", calls, tt.calls)
			}
			if want := strings.Count(tt.calls, "exec"); len(e.fallbacks) != want {
				t.Errorf("fallbacks: got %v, want %d", e.fallbacks, want)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// hanging writes a word and then nothing until it is ended.
const hanging = `printf moo >"$fifo"; exec sleep 30`

// TestToolsGivenUp has programs that must be ended: each time the helper container is killed, not only the docker command.
func TestToolsGivenUp(t *testing.T) {
	full := errors.New("the disk is full")
	canceled, cancel := context.WithCancelCause(t.Context())
	tests := []struct {
		name  string
		ctx   context.Context
		stall time.Duration
		read  func(io.Reader) error
		want  func(err error) bool
	}{
		{"what reads fails", t.Context(), 0, func(r io.Reader) error {
			if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
				return err
			}
			return full
		}, func(err error) bool { return errors.Is(err, full) }},
		{"stall", t.Context(), 200 * time.Millisecond, discard, func(err error) bool {
			var problem *backup.Problem
			return errors.As(err, &problem) && strings.HasPrefix(problem.Message, "no data for 200ms")
		}},
		{"cancel", canceled, 0, func(r io.Reader) error {
			_, err := io.ReadFull(r, make([]byte, 3))
			cancel(full)
			return errors.Join(err, discard(r))
		}, func(err error) bool { return errors.Is(err, full) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEngine(t, hanging, "")
			e.Stall = tt.stall
			if err := e.run(t, tt.ctx, tt.read); !tt.want(err) {
				t.Errorf("got %v", err)
			}
			if calls := e.called(t); calls != "run rm" {
				t.Errorf("docker was called to %q, want %q", calls, "run rm")
			}
		})
	}
}

func discard(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// TestToolsSecrets looks at what the engine is given: names of variables in argv, values in the environment.
func TestToolsSecrets(t *testing.T) {
	e := newEngine(t, "", "")
	docker := program(t, `argv="$* with $PGPASSWORD"
while [ $# -gt 0 ]; do
  [ "$1" = -v ] && fifo=${2%:/out}/fifo
  shift
done
echo "$argv" >"$fifo"`)
	e.Host = New(append(os.Environ(), "DOCKER_BIN="+docker))
	var got bytes.Buffer
	must(t, e.run(t, t.Context(), func(r io.Reader) error {
		_, err := got.ReadFrom(r)
		return err
	}))
	argv, env, _ := strings.Cut(got.String(), " with ")
	if env != "s3cret\n" || strings.Contains(argv, "s3cret") || !strings.Contains(argv, "-e PGPASSWORD ") {
		t.Errorf("got argv %q, variable %q", argv, env)
	}
}
