// Killat runs a command and ends it with SIGKILL right before a chosen change to the files below a folder: the N-th, counted over all
// threads of the process. Acceptance scripts use it to end a run between any two of its writes, with no hook in the program itself.
// (strace can inject a signal as well, but counts the calls of each thread apart, and Go moves its work between threads.)
//
// Usage: killat DIR N LOG COMMAND [ARGUMENT...]
//
// It writes a line to LOG for each change, the one that was prevented included: the call and the file below DIR. With N = 0 nothing is
// killed. What the command starts is neither counted nor killed; what it becomes, by exec, is the same process. Its exit status is the
// command's, 137 when killed, and 125 when the command cannot be traced.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "killat: %v\n", err)
		status = 125
	}
	os.Exit(status)
}

func run(args []string) (status int, err error) {
	if len(args) < 4 {
		return 0, errors.New("usage: killat DIR N LOG COMMAND [ARGUMENT...]")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return 0, err
	}
	log, err := os.Create(args[2])
	if err != nil {
		return 0, err
	}
	runtime.LockOSThread() // only the thread that started the process may trace it
	cmd := exec.Command(args[3], args[4:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true} // it stops at its exec
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	t := &tracer{pid: cmd.Process.Pid, dir: filepath.Clean(args[0]) + "/", killAt: n, log: log, seen: map[int]bool{}}
	status, err = t.trace()
	return status, errors.Join(err, log.Close())
}

// tracer follows one process, with all its threads.
type tracer struct {
	pid     int
	dir     string // ends with a slash
	killAt  int
	changes int
	killed  bool
	log     *os.File
	seen    map[int]bool // threads that have stopped before
}

// trace follows the process to its end and returns its exit status.
func (t *tracer) trace() (status int, err error) {
	for {
		var ws unix.WaitStatus
		tid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case tid == t.pid && ws.Exited():
			return ws.ExitStatus(), nil
		case tid == t.pid && ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case !ws.Stopped() || t.killed:
			continue // the thread has ended, or is about to
		}
		// ESRCH: the thread has ended in the meantime.
		if err := t.stopped(tid, ws); err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, errors.Join(err, unix.Kill(t.pid, unix.SIGKILL))
		}
	}
}

// stopped deals with a thread that has stopped, and lets it go on.
func (t *tracer) stopped(tid int, ws unix.WaitStatus) error {
	first := !t.seen[tid]
	t.seen[tid] = true
	signal := ws.StopSignal()
	switch {
	case first && tid == t.pid:
		signal = 0
		// Threads are followed, processes that it starts are not.
		if err := unix.PtraceSetOptions(tid, unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_TRACESYSGOOD); err != nil {
			return fmt.Errorf("trace: %w", err)
		}
	case first && signal == unix.SIGSTOP, ws.TrapCause() > 0: // a new thread, its parent, an exec
		signal = 0
	case signal == unix.SIGTRAP|0x80:
		signal = 0
		change, err := t.change(tid)
		if err != nil {
			return err
		}
		if change != "" {
			return t.count(tid, change)
		}
	}
	return unix.PtraceSyscall(tid, int(signal))
}

// count kills the process if its time has come.
func (t *tracer) count(tid int, change string) error {
	t.changes++
	if _, err := fmt.Fprintln(t.log, change); err != nil {
		return err
	}
	if t.changes == t.killAt {
		t.killed = true
		return unix.Kill(t.pid, unix.SIGKILL)
	}
	return unix.PtraceSyscall(tid, 0)
}

// syscallInfo is struct ptrace_syscall_info of linux/ptrace.h, at the entry of a call.
type syscallInfo struct {
	op    uint8
	arch  uint32
	ip    uint64
	stack uint64
	nr    uint64
	args  [6]uint64
}

// change describes the call that the thread is about to make; "" when it is none that changes a file below the folder. It knows those that
// package os makes on Linux.
func (t *tracer) change(tid int) (string, error) {
	var call syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(call), uintptr(unsafe.Pointer(&call)), 0, 0)
	if errno != 0 {
		return "", fmt.Errorf("look at a call: %w", errno)
	}
	if call.op != unix.PTRACE_SYSCALL_INFO_ENTRY {
		return "", nil
	}
	var name, path string
	switch call.nr {
	case unix.SYS_WRITE, unix.SYS_PWRITE64:
		name, path = "write", descriptor(tid, call.args[0])
	case unix.SYS_FTRUNCATE:
		name, path = "truncate", descriptor(tid, call.args[0])
	case unix.SYS_FSYNC:
		name, path = "fsync", descriptor(tid, call.args[0])
	case unix.SYS_OPENAT:
		if call.args[2]&(unix.O_CREAT|unix.O_TRUNC) != 0 {
			name, path = "create", named(tid, call.args[0], call.args[1])
		}
	case unix.SYS_MKDIRAT:
		name, path = "mkdir", named(tid, call.args[0], call.args[1])
	case unix.SYS_MKNODAT:
		name, path = "mknod", named(tid, call.args[0], call.args[1])
	case unix.SYS_FCHMODAT:
		name, path = "chmod", named(tid, call.args[0], call.args[1])
	case unix.SYS_UNLINKAT:
		name, path = "remove", named(tid, call.args[0], call.args[1])
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		name, path = "rename to", named(tid, call.args[2], call.args[3])
	}
	below, ok := strings.CutPrefix(path, t.dir)
	if !ok {
		return "", nil
	}
	return name + " " + below, nil
}

// descriptor is the file that is open under a number; "" when there is none, or the thread is gone.
func descriptor(tid int, number uint64) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(number)))
	if err != nil {
		return ""
	}
	return path
}

// named is the file that a call names by an open folder and the address of a string; "" when it cannot be read, or the thread is gone.
func named(tid int, folder, address uint64) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", tid))
	if err != nil {
		return ""
	}
	defer memory.Close()
	text := make([]byte, unix.PathMax)
	n, _ := memory.ReadAt(text, int64(address)) // may end early, at the end of a mapping
	end := bytes.IndexByte(text[:n], 0)
	if end < 0 {
		return ""
	}
	path := string(text[:end])
	if !filepath.IsAbs(path) {
		path = filepath.Join(descriptor(tid, folder), path) // our program names files from the root on, or in an open folder
	}
	return filepath.Clean(path)
}
