package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/dokku-backup/dokku-backup/sandbox/dokku"
)

const usage = `usage: sandbox up [--docker] [--plugin PATH] DIR    make a host below DIR, print the lines to eval
       sandbox down DIR                             stop and remove everything that it started`

func sandbox(ctx context.Context, args []string) error {
	command, dir, plugin, docker := "", "", "", false
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--docker":
			docker = true
		case arg == "--plugin" && len(args) > 0:
			plugin, args = args[0], args[1:]
		case strings.HasPrefix(arg, "-"):
			return errors.New(usage)
		case command == "":
			command = arg
		case dir == "":
			dir = arg
		default:
			return errors.New(usage)
		}
	}
	if dir == "" {
		return errors.New(usage)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	switch command {
	case "up":
		return up(ctx, dir, plugin, docker)
	case "down":
		return down(ctx, dir)
	}
	return errors.New(usage)
}

// up makes the host, or finds it already made, installs the plugin, and prints
// the export lines, and nothing else, on stdout.
func up(ctx context.Context, dir, plugin string, docker bool) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if plugin == "" {
		plugin = filepath.Dir(filepath.Dir(exe))
	}
	if plugin, err = filepath.Abs(plugin); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// A container's paths are this machine's: a link on the way would show.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	h := &dokku.Host{Dir: dir, ID: hostID(dir), Docker: docker}
	if err := h.Setup(); err != nil {
		return err
	}
	links := []string{"dokku", "plugn", "crontab"}
	if !docker {
		links = append(links, "docker")
		if err := os.MkdirAll(newEngine(dir).Dir, 0o755); err != nil {
			return err
		}
		if err := newEngine(dir).Setup(); err != nil {
			return err
		}
	}
	for _, name := range links {
		if err := os.Symlink(exe, filepath.Join(dir, "bin", name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	if err := h.Install(dokku.Streams{Ctx: ctx, In: os.Stdin, Out: os.Stderr, Err: os.Stderr}, plugin, "backup"); err != nil {
		return fmt.Errorf("install the plugin %q: %w", plugin, err)
	}
	fmt.Printf("export PATH='%s':\"$PATH\"\n", filepath.Join(dir, "bin"))
	for _, kv := range h.Exports() {
		k, v, _ := strings.Cut(kv, "=")
		fmt.Printf("export %s='%s'\n", k, strings.ReplaceAll(v, "'", `'\''`))
	}
	return nil
}

// hostID names a sandbox by its folder.
func hostID(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:6])
}

// down ends a host. One that was never up, or is down already, is no error.
func down(ctx context.Context, dir string) error {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	h, err := dokku.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !h.Docker {
		return newEngine(dir).Down()
	}
	return downDocker(ctx, h.ID)
}

// downDocker removes what the sandbox made in a real engine, by its label.
func downDocker(ctx context.Context, id string) error {
	var errs error
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "-aq"}, []string{"rm", "-f"}},
		{[]string{"network", "ls", "-q"}, []string{"network", "rm"}},
		{[]string{"images", "-q"}, []string{"rmi", "-f"}},
	} {
		out, err := exec.CommandContext(ctx, "docker", append(kind.list, "--filter", "label=sandbox="+id)...).Output()
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("docker %s: %w", strings.Join(kind.list, " "), err))
			continue
		}
		if ids := strings.Fields(string(out)); len(ids) > 0 {
			if out, err := exec.CommandContext(ctx, "docker", append(kind.remove, ids...)...).CombinedOutput(); err != nil {
				errs = errors.Join(errs, fmt.Errorf("docker %s: %w: %s", strings.Join(kind.remove, " "), err, out))
			}
		}
	}
	return errs
}
