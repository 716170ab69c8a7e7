package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// longestKey is far more than any key takes, in bytes.
const longestKey = 1 << 16

const keyFileName = "key-file"

// keyFileFlag is --key-file, of commands that need the key where a host may not have it. They also ask for it at a terminal.
func keyFileFlag() cli.Flag {
	return &cli.StringFlag{Name: keyFileName, Usage: "`FILE` with the recovery key, or - for stdin, where this host has none; it is never kept"}
}

func (p *program) hostKeys() *repository.HostKeys { return repository.NewHostKeys(p.host.DataDir()) }

// unlock is what opens a repository: the key that --key-file gives, else what the host has. A command that takes --key-file asks for the key at a
// terminal where the host has none, or only the derived ones. c may be nil.
func (p *program) unlock(ctx context.Context, c *cli.Context) (repository.Unlock, error) {
	takesKey := c != nil && slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return f.Names()[0] == keyFileName })
	if takesKey && c.String(keyFileName) != "" {
		identities, err := p.keyFrom(ctx, c.String(keyFileName))
		return repository.Unlock{Identities: identities}, err
	}
	unlock, err := p.hostKeys().Unlock()
	terminal := ui.NewTerminal(p.stdin, p.stderr)
	if takesKey && terminal != nil && len(unlock.Identities) == 0 {
		if identities, err := p.askKey(ctx, terminal); err != nil || len(identities) > 0 {
			return repository.Unlock{Identities: identities}, err
		}
	}
	return unlock, err
}

// asDokku is the hint to a file that could not be read: commands run as another user than the one who typed them.
func asDokku(flag, path string) string {
	return fmt.Sprintf("commands run as user dokku; to give a file that only you can read: %s - <%s", flag, path)
}

// askKey asks for the recovery key, without showing it. Enter alone gives none.
func (p *program) askKey(ctx context.Context, terminal *ui.Terminal) ([]age.Identity, error) {
	typed, err := terminal.Secret(ctx, "The key is not on this host. Recovery key (AGE-SECRET-KEY-1...)?")
	if err != nil || typed == "" {
		return nil, unanswered(err)
	}
	return repository.ParseIdentities([]byte(typed), nil)
}

// keyFrom reads the key in a file, or on stdin for "-".
func (p *program) keyFrom(ctx context.Context, path string) ([]age.Identity, error) {
	in := p.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, &backup.Problem{
				Message: fmt.Sprintf("the key file cannot be read: %s", err), Hints: []string{asDokku("--key-file", path)}, Code: backup.ExitKey, Err: err,
			}
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, longestKey))
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	var passphrase func() ([]byte, error)
	if terminal := ui.NewTerminal(p.stdin, p.stderr); terminal != nil {
		passphrase = func() ([]byte, error) {
			typed, err := terminal.Secret(ctx, "Passphrase of the SSH key?")
			return []byte(typed), unanswered(err)
		}
	}
	return repository.ParseIdentities(text, passphrase)
}
