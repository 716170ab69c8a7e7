// Package engine is the sandbox's stand-in for Docker: the command line
// `docker` answered for programs that run as plain processes of this machine.
//
// A container is a record (what `docker inspect` shows) and, while it runs, a
// shim: a process of its own that holds the program, its output and its end,
// so that killing a docker command kills no program, as with Docker. Each
// container has a loopback address of its own in place of a network address.
// There is no isolation: a program sees this machine's files, and what stands
// for paths and names inside a container is rewritten in its arguments and
// environment (see program.go). Start at CLI.
package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/sandbox/state"
)

// Engine is the stand-in Docker of one sandbox.
type Engine struct {
	// Dir holds the records of containers, images and networks.
	Dir string
	// Exe is the sandbox's program, started again as shim.
	Exe string
}

// ErrNotFound is wrapped by look-ups of a container, image or network.
var ErrNotFound = errors.New("no such object")

// Setup makes the folders of a new engine, its default networks, and an image
// for each PostgreSQL that this machine has.
func (e *Engine) Setup() error {
	for _, d := range []string{"containers", "images", "networks"} {
		if err := os.MkdirAll(filepath.Join(e.Dir, d), 0o755); err != nil {
			return err
		}
	}
	for name, driver := range map[string]string{"bridge": "bridge", "host": "host", "none": "null"} {
		if _, err := e.network(name); err == nil {
			continue
		}
		if err := e.saveNetwork(newNetwork(name, driver)); err != nil {
			return err
		}
	}
	return e.addPostgresImages()
}

// lock waits for the engine's lock: short changes of the records only.
func (e *Engine) lock() (unlock func(), err error) {
	return state.Lock(filepath.Join(e.Dir, "lock"))
}

func (e *Engine) containerPath(id string) string {
	return filepath.Join(e.Dir, "containers", id+".json")
}

// containerDir holds a container's files: its root, log and locks.
func (e *Engine) containerDir(id string) string { return filepath.Join(e.Dir, "containers", id) }

// runDir is a short path for sockets, whose length the kernel limits to 107.
func (e *Engine) runDir() string {
	sum := sha256.Sum256([]byte(e.Dir))
	return filepath.Join(os.TempDir(), "sandbox-"+hex.EncodeToString(sum[:6]))
}

// Containers returns all containers, the newest first.
func (e *Engine) Containers() ([]*Container, error) {
	names, err := state.Names(filepath.Join(e.Dir, "containers"))
	if err != nil {
		return nil, err
	}
	var all []*Container
	for _, id := range names {
		c, err := e.load(id)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	sortNewestFirst(all)
	return all, nil
}

// load reads the container with the full id; one whose shim is gone is shown
// as exited.
func (e *Engine) load(id string) (*Container, error) {
	c := &Container{}
	if err := state.Read(e.containerPath(id), c); err != nil {
		return nil, err
	}
	if c.State.Running && !state.Held(filepath.Join(e.containerDir(id), "alive")) {
		// The shim writes the end before it lets go of the lock: read again.
		if err := state.Read(e.containerPath(id), c); err != nil {
			return nil, err
		}
		if c.State.Running {
			c.ended(137)
		}
	}
	return c, nil
}

func (e *Engine) save(c *Container) error { return state.Write(e.containerPath(c.ID), c) }

// Container finds a container by its name, its id or the start of its id.
func (e *Engine) Container(ref string) (*Container, error) {
	all, err := e.Containers()
	if err != nil {
		return nil, err
	}
	name := "/" + strings.TrimPrefix(ref, "/")
	for _, c := range all {
		if c.Name == name || c.ID == ref {
			return c, nil
		}
	}
	for _, c := range all {
		if ref != "" && strings.HasPrefix(c.ID, ref) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("container %q: %w", ref, ErrNotFound)
}

// update changes the record of a container under the engine's lock.
func (e *Engine) update(id string, change func(*Container)) error {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	c, err := e.load(id)
	if err != nil {
		return err
	}
	change(c)
	return e.save(c)
}

// newID returns 64 random hex digits, the form of Docker's ids.
func newID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// now is the time as `docker inspect` shows it.
func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }
