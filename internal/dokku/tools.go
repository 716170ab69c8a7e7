package dokku

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Tools runs programs of a service's own image beside the service, in helper containers, and reads what they write
// through a FIFO: bytes that come through `docker exec` cost more CPU than a dump itself. Where a helper cannot start, the
// program is run by `docker exec` in the service's container instead.
type Tools struct {
	Host      *Host
	Container string        // id of the service's container
	Image     string        // id of its image
	Purpose   string        // id of the backup, see HelperLabel
	Folder    string        // private folder of this run; must exist
	Stall     time.Duration // without a byte for so long, the program is given up; 0: never
	// Fallback, when set, is told why `docker exec` is used.
	Fallback func(why error)
}

// helperShares gives a helper half of an app's weight when both want the CPU.
const helperShares = 512

// pipeSize is what a FIFO may hold: the largest that an ordinary user may ask for (pipe(7), pipe-max-size).
const pipeSize = 1 << 20

// fillPause is how long the pipe is left to fill after a read that emptied it. Without it this program wakes for every 4 KiB
// that pg_dump writes. At 1 GB/s a pipe of 1 MiB is full after it.
const fillPause = time.Millisecond

// Run starts the program that argv makes from the name of its output file, "" being standard output, and lets read take
// that output while it is written. env is NAME=value; values reach the program by name, never through an argv.
func (t *Tools) Run(ctx context.Context, argv func(out string) []string, env []string, read func(io.Reader) error) error {
	err := t.inHelper(ctx, argv, env, read)
	if t.fallsBack(err) {
		err = t.inService(ctx, argv(""), env, read)
	}
	return ended(argv("")[0], err)
}

// fallsBack tells whether err is that of a helper that never ran, so that `docker exec` is the way.
func (t *Tools) fallsBack(err error) bool {
	var why *notStarted
	if !errors.As(err, &why) {
		return false
	}
	if t.Fallback != nil {
		t.Fallback(why.err)
	}
	return true
}

// ended says what became of the program itself, not of the docker command that ran it.
func ended(program string, err error) error {
	failed, is := err.(*RunError)
	if !is { // a failure of ours as well: that one says why
		return err
	}
	switch failed.Code {
	case -1, 137, 143: // SIGKILL and SIGTERM, as a shell counts them
		return &backup.Problem{
			Message: program + " was killed: by somebody, by a restart of the service, or because the host's memory ran out",
			Hints:   []string{"was it the memory? dmesg | grep -i 'out of memory'"},
			Err:     err,
		}
	}
	return &RunError{Name: program, Code: failed.Code, Detail: strings.ReplaceAll(failed.Detail, program+": ", "")}
}

// notStarted is a helper that never ran.
type notStarted struct{ err error }

func (e *notStarted) Error() string { return "helper container did not start: " + e.err.Error() }

// inHelper runs the program in a container of its own.
func (t *Tools) inHelper(ctx context.Context, argv func(out string) []string, env []string, read func(io.Reader) error) error {
	folder, err := os.MkdirTemp(t.Folder, "helper-")
	if err != nil {
		return fmt.Errorf("prepare helper: %w", err)
	}
	defer os.RemoveAll(folder)
	out := filepath.Join(folder, "out")
	if err := makeFIFO(out); err != nil {
		return fmt.Errorf("prepare helper: %w", err)
	}
	reader, writer, err := openFIFO(filepath.Join(out, "fifo"))
	if err != nil {
		return fmt.Errorf("prepare helper: %w", err)
	}
	defer reader.Close()

	helper := t.newHelper(argv("/out/fifo"), env, out)
	run := func(ctx context.Context) error {
		defer writer.Close() // the last writer: after what is in the pipe comes its end
		return t.Host.Exec(ctx, Command{Argv: t.Host.HelperRun(helper), Secrets: env})
	}
	kill := func() error { return t.kill(ctx, helper) }
	return started(t.relay(ctx, reader, run, kill, read))
}

// newHelper is a helper that runs argv and sees folder, unless that is empty, as /out.
func (t *Tools) newHelper(argv, env []string, folder string) Helper {
	h := Helper{
		Name: "dokku-backup-" + randomName(), Purpose: t.Purpose, Container: t.Container, Image: t.Image,
		CPUShares: helperShares, Secrets: names(env), Program: argv[0], Args: argv[1:],
	}
	if folder != "" {
		h.Folder = t.Host.HostPath(folder)
	}
	return h
}

// kill ends a helper, although ctx may have ended.
func (t *Tools) kill(ctx context.Context, h Helper) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	return t.Host.Kill(ctx, h.Name)
}

// started makes a *notStarted of the engine's own failure, see docker-run(1).
func started(err error) error {
	var failed *RunError
	if errors.As(err, &failed) && failed.Code == 125 {
		why, _, _ := strings.Cut(failed.Detail, "; Run 'docker run --help'")
		return &notStarted{errors.New(why)}
	}
	return err
}

// inService runs the program in the service's container. Killing `docker exec` does not end it there (moby#9098): who
// started it ends its connection through the server.
func (t *Tools) inService(ctx context.Context, argv, env []string, read func(io.Reader) error) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	run := func(ctx context.Context) error {
		defer writer.Close()
		return t.Host.Exec(ctx, Command{Argv: t.execArgv(argv, env), Secrets: env, Stdout: writer})
	}
	return t.relay(ctx, reader, run, func() error { return nil }, read)
}

// execArgv is the argv that runs a program in the service's container.
func (t *Tools) execArgv(argv, env []string, options ...string) []string {
	exec := append(t.Host.docker("exec"), options...)
	for _, name := range names(env) {
		exec = append(exec, "-e", name)
	}
	return append(append(exec, t.Container), argv...)
}

// relay runs the program and lets read have its output. Of two failures it returns the one that caused the other.
func (t *Tools) relay(ctx context.Context, reader *os.File, run func(context.Context) error, kill func() error, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop := context.AfterFunc(ctx, func() { reader.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	source := &source{file: reader, ctx: ctx, stall: t.Stall}
	in := bufio.NewReader(source)
	_, readErr := in.Peek(1)
	switch readErr {
	case nil:
		readErr = read(in)
	case io.EOF: // nothing at all is the program's own failure, or its own emptiness
		readErr = nil
	}
	if readErr != nil && !source.ended {
		cancel()
		return errors.Join(readErr, kill(), ignoreCancelled(<-ended))
	}
	if err := <-ended; err != nil {
		return err
	}
	return readErr
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// source reads the program's output, and gives up when nothing comes for too long.
type source struct {
	file  *os.File
	ctx   context.Context
	stall time.Duration
	ended bool // the program closed its output
}

func (s *source) Read(p []byte) (int, error) {
	if s.stall > 0 {
		if err := s.file.SetReadDeadline(time.Now().Add(s.stall)); err != nil {
			return 0, err
		}
	}
	if s.ctx.Err() != nil { // after the deadline was set: nothing can clear the one that cancelling set
		return 0, context.Cause(s.ctx)
	}
	n, err := s.file.Read(p)
	if err == nil && n < len(p) {
		time.Sleep(fillPause)
	}
	s.ended = err == io.EOF
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if s.ctx.Err() != nil {
			return n, context.Cause(s.ctx)
		}
		return n, &backup.Problem{
			Message: fmt.Sprintf("no data for %s: the dump waits for a lock, or the server hangs", s.stall),
			Hints:   []string{"look for who holds a lock: SELECT * FROM pg_stat_activity WHERE wait_event_type = 'Lock'"},
			Err:     err,
		}
	}
	return n, err
}

// makeFIFO makes folder with a FIFO in it that any user of a container can write to. Others on the host cannot reach it:
// the folder above is private.
func makeFIFO(folder string) error {
	fifo := filepath.Join(folder, "fifo")
	return errors.Join(
		os.Mkdir(folder, 0o755),
		os.Chmod(folder, 0o755), // whatever the umask
		unix.Mkfifo(fifo, 0o622),
		os.Chmod(fifo, 0o622),
	)
}

// openFIFO opens both ends, so that opening never waits and the end comes when the writer is closed.
func openFIFO(path string) (reader, writer *os.File, err error) {
	reader, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	writer, err = os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, errors.Join(err, reader.Close())
	}
	if raw, err := reader.SyscallConn(); err == nil {
		// A smaller pipe is slower, nothing else.
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
	return reader, writer, nil
}

func randomName() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// names are the names of NAME=value pairs.
func names(env []string) []string {
	names := make([]string, len(env))
	for i, kv := range env {
		names[i], _, _ = strings.Cut(kv, "=")
	}
	return names
}
