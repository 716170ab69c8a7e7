package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// givenSecrets are those of --secrets and --ssh-key.
func (a *adding) givenSecrets() (map[string]string, error) {
	given := map[string]string{}
	if path := a.c.String("ssh-key"); path != "" {
		if a.location.Kind != "sftp" {
			return nil, usage(a.c.Command, "--ssh-key is for stores that begin with sftp://")
		}
		key, err := os.ReadFile(path)
		if err != nil {
			return nil, usage(a.c.Command, "--ssh-key: %v", err)
		}
		given["key"] = string(key)
	}
	path := a.c.String("secrets")
	if path == "" {
		return given, nil
	}
	text, err := a.readSecrets(path)
	if err != nil {
		return nil, &backup.Problem{Message: fmt.Sprintf("--secrets: %v", err), Hints: []string{asDokku("--secrets", path)}, Err: err}
	}
	wanted := store.Secrets(a.location)
	if len(wanted) == 0 {
		return nil, usage(a.c.Command, "%s needs no secrets", a.location.Kind)
	}
	if json.Valid(text) && wanted[0].Multiline {
		given[wanted[0].Name] = string(text)
		return given, nil
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); !ok || !slices.ContainsFunc(wanted, func(s store.Secret) bool { return s.Name == name }) {
			return nil, usage(a.c.Command, "--secrets holds NAME=VALUE lines; names are %s", strings.Join(secretNames(wanted), ", ")) // the line may be a secret
		}
		given[name] = strings.TrimSpace(value)
	}
	return given, nil
}

func (a *adding) readSecrets(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(a.stdin, 1<<20))
	}
	return os.ReadFile(path)
}

func secretNames(secrets []store.Secret) []string {
	names := make([]string, len(secrets))
	for i, s := range secrets {
		names[i] = s.Name
	}
	return names
}

// askSecrets asks, at a terminal, for the secrets that were not given.
func (a *adding) askSecrets(ctx context.Context) error {
	wanted := store.Secrets(a.location)
	terminal := ui.NewTerminal(a.stdin, a.stderr)
	for _, s := range wanted {
		if a.secrets[s.Name] != "" {
			continue
		}
		if terminal == nil {
			if s.Optional {
				continue
			}
			return &backup.Problem{
				Message: fmt.Sprintf("the %s is missing, and there is no terminal to ask on", s.Name),
				Hints:   []string{"give them in a file, or - for standard input, with the lines " + strings.Join(secretNames(wanted), "=..., ") + "=...: --secrets FILE"},
			}
		}
		if s.Multiline {
			return &backup.Problem{Message: fmt.Sprintf("the %s takes several lines", s.Name), Hints: []string{"give it in a file: --secrets FILE"}}
		}
		answer, err := terminal.Secret(ctx, s.Question)
		if err != nil {
			return unanswered(err)
		}
		if answer != "" {
			a.secrets[s.Name] = answer
		}
	}
	return nil
}
