package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options are what `docker create` and `docker run` are told.
type Options struct {
	Name, Image, Entrypoint, User, Network, Hostname, WorkDir string
	Aliases, Links, Env, Cmd                                  []string
	Labels                                                    map[string]string
	Mounts                                                    []Mount
	Binds, Tmpfs                                              []string
	Remove, Init                                              bool
	Memory, CPUShares                                         int64
}

// errConflict is wrapped when a name is taken.
var errConflict = errors.New("conflict")

// Create records a new container of the image. Nothing runs yet.
func (e *Engine) Create(image *Image, o Options) (*Container, error) {
	unlock, err := e.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	id := newID()
	if o.Name == "" {
		o.Name = "unnamed_" + id[:8]
	}
	if other, err := e.Container("/" + o.Name); err == nil && other.Name == "/"+o.Name {
		//lint:ignore ST1005 Docker's own words
		return nil, fmt.Errorf("%w. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.",
			errConflict, other.Name, other.ID)
	}
	c := newContainer(id, image, o)
	if err := e.attach(c, o); err != nil {
		return nil, err
	}
	dir := e.containerDir(id)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	c.Sandbox.WorkDir = dir
	if err := e.addRoot(c, image, o); err != nil {
		return nil, err
	}
	return c, e.save(c)
}

func newContainer(id string, image *Image, o Options) *Container {
	c := &Container{ID: id, Created: now(), Image: image.ID, Name: "/" + o.Name, Driver: "overlay2", Platform: "linux",
		State: State{Status: "created", StartedAt: "0001-01-01T00:00:00Z", FinishedAt: "0001-01-01T00:00:00Z"}}
	c.Config = image.Config
	c.Config.Image, c.Config.Hostname = o.Image, o.Hostname
	if o.Hostname == "" {
		c.Config.Hostname = id[:12]
	}
	if o.User != "" {
		c.Config.User = o.User
	}
	if o.WorkDir != "" {
		c.Config.WorkingDir = o.WorkDir
	}
	if o.Entrypoint != "" {
		c.Config.Entrypoint, c.Config.Cmd = []string{o.Entrypoint}, nil
	}
	if len(o.Cmd) > 0 {
		c.Config.Cmd = o.Cmd
	}
	c.Config.Env = mergeEnv(o.Env, image.Config.Env)
	c.Config.Labels = map[string]string{}
	for _, labels := range []map[string]string{image.Config.Labels, o.Labels} {
		for k, v := range labels {
			c.Config.Labels[k] = v
		}
	}
	argv := append(append([]string{}, c.Config.Entrypoint...), c.Config.Cmd...)
	if len(argv) > 0 {
		c.Path, c.Args = argv[0], argv[1:]
	}
	c.Mounts = o.Mounts
	c.HostConfig = HostConfig{Binds: o.Binds, AutoRemove: o.Remove, Links: o.Links, Memory: o.Memory, CPUShares: o.CPUShares, Init: o.Init}
	c.Sandbox.Postgres = image.Sandbox.Postgres
	return c
}

// mergeEnv returns given, then those of base that given does not set: the
// order in which Docker shows them.
func mergeEnv(given, base []string) []string {
	set := map[string]bool{}
	for _, kv := range given {
		k, _, _ := strings.Cut(kv, "=")
		set[k] = true
	}
	all := append([]string{}, given...)
	for _, kv := range base {
		if k, _, _ := strings.Cut(kv, "="); !set[k] {
			all = append(all, kv)
		}
	}
	return all
}

// attach gives c its network mode and its place in the network.
func (e *Engine) attach(c *Container, o Options) error {
	c.NetworkSettings = NetworkSettings{Ports: map[string]any{}, Networks: map[string]*Endpoint{}}
	if ref, ok := strings.CutPrefix(o.Network, "container:"); ok {
		target, err := e.Container(ref)
		if err != nil {
			//lint:ignore ST1005 Docker's own words
			return fmt.Errorf("No such container: %s: %w", ref, err)
		}
		c.HostConfig.NetworkMode = "container:" + target.ID
		return nil
	}
	if o.Network == "" || o.Network == "default" {
		o.Network = "bridge"
	}
	n, err := e.network(o.Network)
	if err != nil {
		return err
	}
	c.HostConfig.NetworkMode = n.Name
	c.join(n, o.Aliases)
	return nil
}

// addRoot gives c its own copy of the image's files, and empty folders for its
// tmpfs mounts.
func (e *Engine) addRoot(c *Container, image *Image, o Options) error {
	root := filepath.Join(e.containerDir(c.ID), "root")
	for _, target := range o.Tmpfs {
		path := filepath.Join(e.containerDir(c.ID), "tmpfs", target)
		if err := os.MkdirAll(path, 0o777); err != nil {
			return err
		}
		c.Sandbox.Roots = append(c.Sandbox.Roots, Mount{Source: path, Destination: target})
	}
	if image.Sandbox.Root == "" {
		return nil
	}
	if err := copyInto(image.Sandbox.Root, root); err != nil {
		return err
	}
	for _, path := range image.Sandbox.Paths {
		c.Sandbox.Roots = append(c.Sandbox.Roots, Mount{Source: filepath.Join(root, path), Destination: path})
	}
	c.Sandbox.WorkDir = filepath.Join(root, c.Config.WorkingDir)
	return os.MkdirAll(c.Sandbox.WorkDir, 0o755)
}

// copyInto copies what the folder from holds into the folder to.
func copyInto(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy %q: %w: %s", from, err, out)
	}
	return nil
}

// Start starts a container's program. With stdio the returned shim is attached
// to it, and its exit code is the program's; otherwise output goes to the log.
func (e *Engine) Start(c *Container, stdio *Stdio) (*exec.Cmd, error) {
	if c.isServer() {
		if err := e.initServer(c); err != nil {
			return nil, err
		}
	}
	unlock, err := e.lock()
	if err != nil {
		return nil, err
	}
	p, err := e.mainProgram(c)
	if err == nil {
		err = e.save(c)
	}
	unlock()
	if err != nil {
		return nil, err
	}
	p.Container, p.Lock = c.ID, filepath.Join(e.containerDir(c.ID), "alive")
	p.Log, p.Attached = filepath.Join(e.containerDir(c.ID), "log"), stdio != nil
	return e.launch(p, stdio)
}

// mainProgram gives c its addresses and makes the program to start.
func (e *Engine) mainProgram(c *Container) (*program, error) {
	all, err := e.Containers()
	if err != nil {
		return nil, err
	}
	if ref, ok := strings.CutPrefix(c.HostConfig.NetworkMode, "container:"); ok {
		target, err := e.Container(ref)
		if err != nil {
			//lint:ignore ST1005 Docker's own words
			return nil, fmt.Errorf("No such container: %s: %w", ref, err)
		}
		if !target.State.Running {
			return nil, fmt.Errorf("cannot join network of a non running container: %s", target.ID)
		}
	} else if err := e.addresses(c, all); err != nil {
		return nil, err
	}
	for _, m := range c.Mounts {
		if err := os.MkdirAll(m.Source, 0o755); err != nil && !errors.Is(err, syscall.ENOTDIR) {
			return nil, err
		}
	}
	if err := e.save(c); err != nil {
		return nil, err
	}
	if c.Path == "" {
		return nil, errors.New("no command specified")
	}
	if c.isServer() {
		return e.server(c)
	}
	argv := append([]string{c.Path}, c.Args...)
	if c.Path == "docker-entrypoint.sh" {
		argv = c.Args
	}
	return e.prepare(c, argv, nil, c.Config.User)
}

// Stdio is what an attached program is connected to; In nil is no input.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// launch starts the shim of p and waits until the program has started.
func (e *Engine) launch(p *program, stdio *Stdio) (*exec.Cmd, error) {
	specR, specW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	shim := exec.Command(e.Exe)
	shim.Args = []string{"sandbox", "shim"}
	shim.ExtraFiles = []*os.File{specR, readyW}
	shim.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// It is the engine's own, as the real one's is: what the caller's environment says of a run of dokku does not hold for it.
	shim.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "DOKKU_") })
	var in io.WriteCloser
	if stdio != nil {
		// Wrapped, so that bytes pass through this process: when it is killed
		// its readers see the end at once, as with Docker.
		shim.Stdout, shim.Stderr = struct{ io.Writer }{stdio.Out}, struct{ io.Writer }{stdio.Err}
		if p.Stdin = stdio.In != nil; p.Stdin {
			if in, err = shim.StdinPipe(); err != nil {
				return nil, err
			}
		}
	}
	if err := shim.Start(); err != nil {
		return nil, fmt.Errorf("start shim: %w", err)
	}
	specR.Close()
	readyW.Close()
	if in != nil {
		go func() {
			io.Copy(in, stdio.In)
			in.Close()
		}()
	}
	if err := json.NewEncoder(specW).Encode(p); err != nil {
		return nil, err
	}
	specW.Close()
	said, err := io.ReadAll(readyR)
	if err != nil {
		return nil, err
	}
	if answer := strings.TrimSpace(string(said)); answer != "ok" {
		shim.Wait()
		return nil, fmt.Errorf("failed to start %q: %s", p.Argv[0], answer)
	}
	return shim, nil
}

// Exec starts a program in a running container, attached to stdio.
func (e *Engine) Exec(c *Container, argv, env []string, as, workDir string, stdio *Stdio) (*exec.Cmd, error) {
	if as == "" {
		as = c.Config.User
	}
	p, err := e.prepare(c, argv, env, as)
	if err != nil {
		return nil, err
	}
	if workDir != "" {
		w, err := e.whereIs(c)
		if err != nil {
			return nil, err
		}
		p.WorkDir = w.rewrite(workDir)
	}
	p.Lock = filepath.Join(e.containerDir(c.ID), "exec-")
	p.Attached = true
	return e.launch(p, stdio)
}

// Stop asks the program to end and kills it after the grace period.
func (e *Engine) Stop(c *Container, grace time.Duration) error {
	if !c.State.Running {
		return nil
	}
	sig := syscall.SIGTERM
	if c.Config.StopSignal == "SIGINT" {
		sig = syscall.SIGINT
	}
	syscall.Kill(c.State.Pid, sig)
	if e.wait(c.ID, grace) {
		return nil
	}
	syscall.Kill(c.State.Pid, syscall.SIGKILL)
	if !e.wait(c.ID, 10*time.Second) {
		return fmt.Errorf("container %s does not end", c.ID)
	}
	return nil
}

// wait waits for a container's end; it reports whether it came.
func (e *Engine) wait(id string, limit time.Duration) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		c, err := e.load(id)
		if err != nil || !c.State.Running {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// Remove takes a container away, killing its program first if force says so.
func (e *Engine) Remove(c *Container, force bool) error {
	if c.State.Running {
		if !force {
			return fmt.Errorf("cannot remove container %q: container is running: stop the container before removing or force remove", c.Name)
		}
		syscall.Kill(c.State.Pid, syscall.SIGKILL)
		if !e.wait(c.ID, 10*time.Second) {
			return fmt.Errorf("container %s does not end", c.ID)
		}
	}
	return e.forget(c.ID)
}

// Down stops everything that runs here and removes what lies outside Dir.
func (e *Engine) Down() error {
	all, err := e.Containers()
	if err != nil {
		return err
	}
	for _, c := range all {
		err = errors.Join(err, e.Stop(c, 10*time.Second), e.forget(c.ID))
	}
	return errors.Join(err, os.RemoveAll(e.runDir()))
}
