package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// each does the same to every container that the arguments name, printing the
// name after each success, and goes on after a failure, as docker does.
func (c *call) each(do func(*Container) error) error {
	failed := false
	for _, ref := range c.args {
		con, err := c.e.Container(ref)
		if err != nil {
			err = daemon("No such container: %s", ref)
		} else {
			err = do(con)
		}
		if err != nil {
			failed = true
			fmt.Fprintln(c.err, err)
			continue
		}
		fmt.Fprintln(c.out, ref)
	}
	if failed {
		return &Exit{1, ""}
	}
	return nil
}

func (c *call) kill() error {
	sig, err := signalNumber(c.last("signal"))
	if err != nil {
		return err
	}
	return c.each(func(con *Container) error {
		if !con.State.Running {
			return daemon("cannot kill container: %s: container %s is not running", strings.TrimPrefix(con.Name, "/"), con.ID)
		}
		if err := syscall.Kill(con.State.Pid, sig); err != nil {
			return err
		}
		if sig == syscall.SIGKILL {
			c.e.wait(con.ID, 5*time.Second)
		}
		return nil
	})
}

// grace is the time that -t gives, 10 seconds if it does not.
func (c *call) grace() time.Duration {
	for _, name := range []string{"time", "timeout"} {
		if n, err := strconv.Atoi(c.last(name)); err == nil {
			return time.Duration(n) * time.Second
		}
	}
	return 10 * time.Second
}

func (c *call) stop() error {
	return c.each(func(con *Container) error { return c.e.Stop(con, c.grace()) })
}

func (c *call) restart() error {
	return c.each(func(con *Container) error {
		if err := c.e.Stop(con, c.grace()); err != nil {
			return err
		}
		stopped, err := c.e.Container(con.ID)
		if err != nil {
			return err
		}
		_, err = c.e.Start(stopped, nil)
		return err
	})
}

func (c *call) rm() error {
	return c.each(func(con *Container) error {
		if err := c.e.Remove(con, c.has("force")); err != nil {
			return daemon("%s", err)
		}
		return nil
	})
}

func (c *call) rename() error {
	con, err := c.e.Container(c.args[0])
	if err != nil {
		return daemon("No such container: %s", c.args[0])
	}
	if other, err := c.e.Container("/" + c.args[1]); err == nil && other.Name == "/"+c.args[1] {
		return daemon("Error when allocating new name: Conflict. The container name %q is already in use by container %s.", other.Name, other.ID)
	}
	return c.e.update(con.ID, func(con *Container) { con.Name = "/" + c.args[1] })
}

func (c *call) update() error {
	return c.each(func(con *Container) error {
		return c.e.update(con.ID, func(con *Container) {
			if p := c.last("restart"); p != "" {
				con.HostConfig.RestartPolicy.Name = p
			}
		})
	})
}

func (c *call) wait() error {
	for _, ref := range c.args {
		con, err := c.e.Container(ref)
		if err != nil {
			return daemon("No such container: %s", ref)
		}
		for !c.e.wait(con.ID, time.Hour) {
		}
		ended, err := c.e.load(con.ID)
		switch {
		case errors.Is(err, os.ErrNotExist):
			fmt.Fprintln(c.out, con.State.ExitCode)
		case err != nil:
			return err
		default:
			fmt.Fprintln(c.out, ended.State.ExitCode)
		}
	}
	return nil
}

// logs answers `docker logs`; stdout and stderr of the program come as one.
func (c *call) logs() error {
	con, err := c.e.Container(c.args[0])
	if err != nil {
		return daemon("No such container: %s", c.args[0])
	}
	f, err := os.Open(filepath.Join(c.e.containerDir(con.ID), "log"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(c.last("tail")); err == nil {
		lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
		text = []byte(strings.Join(lines[max(0, len(lines)-n):], "") + "\n")
	}
	if _, err := c.out.Write(text); err != nil {
		return err
	}
	for c.has("follow") {
		if _, err := io.Copy(c.out, f); err != nil {
			return err
		}
		if c.e.wait(con.ID, 100*time.Millisecond) {
			_, err := io.Copy(c.out, f)
			return err
		}
	}
	return nil
}

// top answers `docker top`: the container's processes by this machine's ids.
func (c *call) top() error {
	con, err := c.e.Container(c.args[0])
	if err != nil {
		return daemon("No such container: %s", c.args[0])
	}
	if !con.State.Running {
		return daemon("container %s is not running", con.ID)
	}
	ps := exec.Command("ps", "-f", "-g", strconv.Itoa(con.State.Pid))
	ps.Stdout, ps.Stderr = c.out, c.err
	return ps.Run()
}
