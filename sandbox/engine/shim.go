package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/dokku-backup/dokku-backup/sandbox/state"
	"golang.org/x/sys/unix"
)

// Shim runs one program for its docker command and outlives it: it is the
// sandbox's own process, started in a session of its own with the program as
// JSON on file descriptor 3 and a pipe on 4, to which it says "ok" or what
// went wrong. It returns the program's exit code, 128+n after signal n.
func Shim() int {
	// The program dies with the thread that started it (Pdeathsig).
	runtime.LockOSThread()
	// Received and dropped; to ignore them would make the program ignore them.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	ready := os.NewFile(4, "ready")
	code, err := runShim(os.NewFile(3, "program"), ready, end)
	if err != nil {
		fmt.Fprintln(ready, err)
		return 125
	}
	return code
}

func runShim(spec io.Reader, ready io.WriteCloser, end <-chan os.Signal) (int, error) {
	var p program
	if err := json.NewDecoder(spec).Decode(&p); err != nil {
		return 0, fmt.Errorf("read the program: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	if p.Container == "" {
		p.Lock += strconv.Itoa(os.Getpid())
	}
	unlock, err := state.Lock(p.Lock)
	if err != nil {
		return 0, err
	}
	defer unlock()
	proc, copied, err := p.start()
	if err != nil {
		return 0, err
	}
	e := &Engine{Dir: p.Dir}
	if p.Container != "" {
		err := e.update(p.Container, func(c *Container) {
			c.State = State{Status: "running", Running: true, Pid: proc.Pid, StartedAt: now(), FinishedAt: "0001-01-01T00:00:00Z"}
		})
		if err != nil {
			return 0, errors.Join(err, proc.Kill())
		}
	}
	fmt.Fprintln(ready, "ok")
	ready.Close()
	go func() {
		<-end
		proc.Kill()
	}()
	status, err := proc.Wait()
	if err != nil {
		return 0, err
	}
	code := exitCode(status)
	if err := killAll(); err != nil {
		return 0, err
	}
	copied.Wait()
	if p.Container == "" {
		return code, os.Remove(p.Lock)
	}
	return code, e.finish(p.Container, code)
}

func exitCode(status *os.ProcessState) int {
	if ws := status.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return status.ExitCode()
}

// start starts the program with its output going to the log and to the docker
// command; copied ends when all of it has been passed on.
func (p *program) start() (proc *os.Process, copied *sync.WaitGroup, err error) {
	sinks := []io.Writer{os.Stdout, os.Stderr}
	if !p.Attached {
		log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, err
		}
		sinks = []io.Writer{log, log}
	}
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	files := []*os.File{stdin}
	if p.Stdin {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		go func() {
			io.Copy(w, os.Stdin)
			w.Close()
		}()
		files[0] = r
	}
	copied = &sync.WaitGroup{}
	for _, sink := range sinks {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		files = append(files, w)
		copied.Go(func() { relay(sink, r) })
	}
	attr := &os.ProcAttr{Dir: p.WorkDir, Env: p.Env, Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}}
	become(attr.Sys, p.User)
	proc, err = os.StartProcess(p.Argv[0], p.Argv, attr)
	for _, f := range files {
		f.Close()
	}
	return proc, copied, err
}

// relay passes output on; when nobody reads any more it still drains it, as
// Docker does for a program whose client is gone.
func relay(to io.Writer, from io.Reader) {
	if _, err := io.Copy(to, from); err != nil {
		io.Copy(io.Discard, from)
	}
}

// finish records the end of a container's main program and ends what `docker
// exec` started in it.
func (e *Engine) finish(id string, code int) error {
	execs, err := filepath.Glob(filepath.Join(e.containerDir(id), "exec-*"))
	if err != nil {
		return err
	}
	for _, lock := range execs {
		_, pid, _ := strings.Cut(filepath.Base(lock), "exec-")
		if n, err := strconv.Atoi(pid); err == nil && state.Held(lock) {
			syscall.Kill(n, syscall.SIGTERM)
		}
	}
	var remove bool
	if err := e.update(id, func(c *Container) { c.ended(code); remove = c.HostConfig.AutoRemove }); err != nil {
		return err
	}
	if remove {
		return e.forget(id)
	}
	return nil
}

// forget takes a container's record and files away.
func (e *Engine) forget(id string) error {
	err := os.Remove(e.containerPath(id))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(e.containerDir(id)), os.RemoveAll(filepath.Join(e.runDir(), id[:12])))
}

// killAll ends everything that the program left behind, as the end of a
// container's first process does.
func killAll() error {
	for {
		tasks, err := filepath.Glob("/proc/self/task/*/children")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			pids, _ := os.ReadFile(task)
			for _, pid := range strings.Fields(string(pids)) {
				if n, err := strconv.Atoi(pid); err == nil {
					syscall.Kill(n, syscall.SIGKILL)
				}
			}
		}
		var ws syscall.WaitStatus
		switch _, err := syscall.Wait4(-1, &ws, 0, nil); {
		case errors.Is(err, syscall.ECHILD):
			return nil
		case err != nil && !errors.Is(err, syscall.EINTR):
			return err
		}
	}
}
