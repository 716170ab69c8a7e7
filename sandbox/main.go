// Command sandbox is a stand-in Dokku host for tests, the demo, and trying
// things out: `sandbox up DIR` makes an empty host below DIR and prints the
// lines that make a shell speak to it, `sandbox down DIR` ends it. The host's
// `dokku`, `docker`, `plugn` and `crontab` are links to this same program.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/dokku-backup/dokku-backup/sandbox/dokku"
	"github.com/dokku-backup/dokku-backup/sandbox/engine"
)

func main() {
	os.Exit(run(filepath.Base(os.Args[0]), os.Args[1:]))
}

// run is the program by the name it was called: one of the links, or sandbox.
func run(name string, args []string) int {
	switch name {
	case "dokku", "plugn", "crontab", "docker":
		return link(name, args)
	}
	if len(args) > 0 && args[0] == "shim" {
		return engine.Shim()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return report(sandbox(ctx, args))
}

func report(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "sandbox: "+err.Error())
	return 1
}

// link answers as the command of that name on the host whose bin folder the
// link lies in.
func link(name string, args []string) int {
	dir, err := linkedHost(name)
	if err != nil {
		return report(err)
	}
	if name == "docker" {
		err := newEngine(dir).CLI(args, os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)
		if err == nil {
			return 0
		}
		var x *engine.Exit
		code := 1
		if errors.As(err, &x) {
			code = x.Code
		}
		if err.Error() != "" {
			fmt.Fprintln(os.Stderr, err)
		}
		return code
	}
	h, err := dokku.Open(dir)
	if err != nil {
		return report(err)
	}
	ctx := context.Background()
	switch name {
	case "plugn":
		err = h.Plugn(ctx, args, os.Stdin, os.Stdout, os.Stderr)
		if err != nil && err.Error() != "" {
			fmt.Fprintln(os.Stderr, " !     "+err.Error())
		}
	case "crontab":
		if err = h.Crontab(args, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	default:
		err = h.CLI(ctx, args, os.Stdin, os.Stdout, os.Stderr)
	}
	return dokku.ExitCode(err)
}

// linkedHost finds the host's folder from the link that this program was
// started by: DIR/bin/NAME.
func linkedHost(name string) (string, error) {
	at := os.Args[0]
	if filepath.Base(at) == at {
		for _, d := range filepath.SplitList(os.Getenv("PATH")) {
			if _, err := os.Lstat(filepath.Join(d, name)); err == nil {
				at = filepath.Join(d, name)
				break
			}
		}
	}
	at, err := filepath.Abs(at)
	if err != nil {
		return "", err
	}
	return filepath.Dir(filepath.Dir(at)), nil
}

func newEngine(dir string) *engine.Engine {
	exe, err := os.Executable()
	if err != nil {
		exe = "/proc/self/exe"
	}
	return &engine.Engine{Dir: filepath.Join(dir, "engine"), Exe: exe}
}
