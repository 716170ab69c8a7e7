// Command dokku-backup is the program behind the Dokku plugin "backup": Dokku's shell scripts in commands, subcommands/ and
// hooks/ hand over to it. Start reading in internal/cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/dokku-backup/dokku-backup/internal/cli"
)

func main() {
	// SIGHUP is a lost SSH connection, SIGQUIT what dokku builds:cancel sends to a deploy: they end a run as cleanly as ctrl-C does.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	code := cli.Run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
