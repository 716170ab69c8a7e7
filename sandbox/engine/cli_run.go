package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const runOptions = "d|detach i|interactive t|tty rm init name= l|label= e|env= env-file= v|volume= mount= tmpfs= entrypoint= " +
	"u|user= w|workdir= h|hostname= network= net= network-alias= link= cidfile= pull= q|quiet restart= m|memory= memory-swap= cpus= " +
	"c|cpu-shares= shm-size= stop-timeout= stop-signal= p|publish= expose= read-only cap-drop= cap-add= security-opt= privileged " +
	"pids-limit= ulimit= log-driver= log-opt= platform= add-host= dns= blkio-weight= oom-score-adj= sig-proxy a|attach= no-healthcheck"

// run answers `docker run`.
func (c *call) run() error {
	if v, _ := c.env("SANDBOX_DOCKER_RUN_FAILS"); v == "1" {
		return c.runError("Error response from daemon: containers cannot be started here (SANDBOX_DOCKER_RUN_FAILS).")
	}
	con, err := c.newContainer()
	if err != nil {
		return err
	}
	var stdio *Stdio
	if !c.has("detach") {
		stdio = &Stdio{Out: c.out, Err: c.err}
		if c.has("interactive") {
			stdio.In = c.in
		}
	}
	shim, err := c.e.Start(con, stdio)
	if err != nil {
		err = errors.Join(c.startError(err), c.removeFailed(con))
		return err
	}
	if stdio == nil {
		fmt.Fprintln(c.out, con.ID)
		return nil
	}
	return c.attend(shim, func(sig syscall.Signal) {
		if now, err := c.e.load(con.ID); err == nil && now.State.Running {
			syscall.Kill(now.State.Pid, sig)
		}
	})
}

// removeFailed takes away a container that could not start, if it was to be
// removed anyway.
func (c *call) removeFailed(con *Container) error {
	if con.HostConfig.AutoRemove {
		return c.e.forget(con.ID)
	}
	return nil
}

// attend waits for an attached shim, passing signals on, and ends as its
// program did.
func (c *call) attend(shim *exec.Cmd, pass func(syscall.Signal)) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	go func() {
		for s := range signals {
			pass(s.(syscall.Signal))
		}
	}()
	err := shim.Wait()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return &Exit{failed.ExitCode(), ""}
	}
	return err
}

func (c *call) runError(message string) error {
	return &Exit{125, "docker: " + message + "\n\nRun 'docker run --help' for more information"}
}

// startError is how `docker run` ends when the program cannot start.
func (c *call) startError(err error) error {
	var missing missingProgram
	if errors.As(err, &missing) {
		x := c.runError("Error response from daemon: failed to create task for container: failed to create shim task: " +
			"OCI runtime create failed: runc create failed: " + missing.Error()).(*Exit)
		x.Code = 127
		return x
	}
	return c.runError("Error response from daemon: " + err.Error())
}

// newContainer makes the container that `docker run` and `create` describe.
func (c *call) newContainer() (*Container, error) {
	ref := c.args[0]
	image, err := c.e.image(ref)
	if err != nil {
		if c.last("pull") == "never" {
			return nil, c.runError("Error response from daemon: No such image: " + normalTag(ref))
		}
		fmt.Fprintf(c.err, "Unable to find image '%s' locally\n", normalTag(ref))
		if image, err = c.e.pull(ref); err != nil {
			return nil, c.runError("Error response from daemon: " + strings.TrimSuffix(err.Error(), ": "+ErrNotFound.Error()))
		}
	}
	o, err := c.containerOptions(ref)
	if err != nil {
		return nil, c.runError(err.Error())
	}
	con, err := c.e.Create(image, o)
	if errors.Is(err, errConflict) {
		return nil, c.runError("Error response from daemon: Conflict" + strings.TrimPrefix(err.Error(), errConflict.Error()))
	}
	if err != nil {
		return nil, c.runError("Error response from daemon: " + strings.TrimSuffix(err.Error(), ": "+ErrNotFound.Error()))
	}
	if file := c.last("cidfile"); file != "" {
		if err := os.WriteFile(file, []byte(con.ID), 0o644); err != nil {
			return nil, c.runError(err.Error())
		}
	}
	return con, nil
}

// containerOptions reads the options of `docker run` and `create`.
func (c *call) containerOptions(ref string) (Options, error) {
	o := Options{Name: c.last("name"), Image: ref, Entrypoint: c.last("entrypoint"), User: c.last("user"),
		Network: c.last("network") + c.last("net"), Hostname: c.last("hostname"), WorkDir: c.last("workdir"),
		Aliases: c.given["network-alias"], Links: c.given["link"], Cmd: c.args[1:], Labels: map[string]string{},
		Tmpfs: c.given["tmpfs"], Remove: c.has("rm"), Init: c.has("init")}
	for n, t := range o.Tmpfs {
		o.Tmpfs[n], _, _ = strings.Cut(t, ":")
	}
	for _, l := range c.given["label"] {
		k, v, _ := strings.Cut(l, "=")
		o.Labels[k] = v
	}
	var err error
	if o.Env, err = c.environment(); err != nil {
		return o, err
	}
	o.CPUShares, _ = strconv.ParseInt(c.last("cpu-shares"), 10, 64)
	if o.Memory, err = size(c.last("memory")); err != nil {
		return o, err
	}
	for _, v := range c.given["volume"] {
		parts := strings.Split(v, ":")
		if len(parts) < 2 || !filepath.IsAbs(parts[0]) || !filepath.IsAbs(parts[1]) {
			return o, fmt.Errorf("invalid volume specification: '%s'", v)
		}
		o.Binds = append(o.Binds, v)
		o.Mounts = append(o.Mounts, bind(parts[0], parts[1], len(parts) > 2 && strings.Contains(parts[2], "ro")))
	}
	for _, m := range c.given["mount"] {
		mount, err := parseMount(m)
		if err != nil {
			return o, err
		}
		o.Mounts = append(o.Mounts, mount)
	}
	return o, nil
}

func bind(source, target string, readOnly bool) Mount {
	return Mount{Type: "bind", Source: filepath.Clean(source), Destination: filepath.Clean(target), RW: !readOnly, Propagation: "rprivate"}
}

// parseMount reads a --mount of type bind. Unlike -v it needs a source that is
// there.
func parseMount(s string) (Mount, error) {
	v := map[string]string{}
	for _, part := range strings.Split(s, ",") {
		k, value, _ := strings.Cut(part, "=")
		v[k] = value
	}
	source, target := v["source"]+v["src"], v["target"]+v["dst"]+v["destination"]
	if v["type"] != "bind" || source == "" || target == "" {
		return Mount{}, fmt.Errorf("the sandbox takes bind mounts only: '%s'", s)
	}
	if _, err := os.Stat(source); err != nil {
		return Mount{}, fmt.Errorf("Error response from daemon: invalid mount config for type \"bind\": bind source path does not exist: %s", source)
	}
	ro, set := v["readonly"]
	return bind(source, target, set && ro != "false"), nil
}

// environment collects --env-file and -e; -e NAME takes the caller's value.
func (c *call) environment() ([]string, error) {
	var env []string
	for _, file := range c.given["env-file"] {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
				env = append(env, line)
			}
		}
	}
	env = append(env, c.given["env"]...)
	var all []string
	for _, kv := range env {
		if !strings.Contains(kv, "=") {
			v, ok := c.env(kv)
			if !ok {
				continue
			}
			kv += "=" + v
		}
		all = append(all, kv)
	}
	return all, nil
}

// size reads a size such as 512m.
func size(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	unit := int64(1)
	switch strings.ToLower(s[len(s)-1:]) {
	case "k":
		unit = 1 << 10
	case "m":
		unit = 1 << 20
	case "g":
		unit = 1 << 30
	}
	n, err := strconv.ParseInt(strings.TrimRight(strings.ToLower(s), "bkmg"), 10, 64)
	return n * unit, err
}

func (c *call) create() error {
	con, err := c.newContainer()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, con.ID)
	return nil
}

func (c *call) start() error {
	return c.each(func(con *Container) error {
		if con.State.Running {
			return nil
		}
		_, err := c.e.Start(con, nil)
		if err != nil {
			return daemon("%s", err)
		}
		return nil
	})
}

// exec answers `docker exec`.
func (c *call) exec() error {
	con, err := c.e.Container(c.args[0])
	if err != nil {
		return daemon("No such container: %s", c.args[0])
	}
	if !con.State.Running {
		return daemon("container %s is not running", con.ID)
	}
	env, err := c.environment()
	if err != nil {
		return err
	}
	stdio := &Stdio{Out: c.out, Err: c.err}
	if c.has("interactive") {
		stdio.In = c.in
	}
	if c.has("detach") {
		stdio = &Stdio{Out: io.Discard, Err: io.Discard}
	}
	shim, err := c.e.Exec(con, c.args[1:], env, c.last("user"), c.last("workdir"), stdio)
	var missing missingProgram
	if errors.As(err, &missing) {
		// On stdout, as Docker has it: the transcripts show it.
		fmt.Fprint(c.out, "OCI runtime exec failed: exec failed: "+missing.Error()+"\r\n")
		return &Exit{126, ""}
	}
	if err != nil {
		return daemon("%s", err)
	}
	if c.has("detach") {
		return nil
	}
	// A signal ends the command, not the program, as with Docker.
	err = shim.Wait()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return &Exit{failed.ExitCode(), ""}
	}
	return err
}

// signalNumber reads KILL, SIGKILL or 9.
func signalNumber(s string) (syscall.Signal, error) {
	if s == "" {
		return syscall.SIGKILL, nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		return syscall.Signal(n), nil
	}
	if sig := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")); sig != 0 {
		return sig, nil
	}
	return 0, daemon("invalid signal: %s", s)
}
