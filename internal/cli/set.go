package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// setting is something that can be set for a service.
type setting struct {
	key, usage string
	check      func(value string) error
}

// settingsTable are all settings, in the order of the help.
func settingsTable() []setting {
	return []setting{
		{"health-path", "path that a restored app must answer below 400; / with any answer but a failure if not set", validPath},
		{"check-sql", "queries, a line each: the first value must not be false, 0, empty or NULL", nil},
		{"check-http", "paths, a line each, that a restored app must answer below 400", validPath},
	}
}

func validPath(value string) error {
	for _, line := range splitLines(value) {
		if !strings.HasPrefix(line, "/") || strings.ContainsAny(line, " \t") {
			return fmt.Errorf("%q is not a path: it begins with / and has no blanks", line)
		}
	}
	return nil
}

func splitLines(value string) []string {
	var lines []string
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func (p *program) setCommand() *cli.Command {
	var keys strings.Builder
	for _, s := range settingsTable() {
		fmt.Fprintf(&keys, "\n  %-12s %s", s.key, s.usage)
	}
	return &cli.Command{
		Name: "set", ArgsUsage: "<service> <key> [<value>]", Usage: "Set or clear how restores of a service are checked",
		Description: "Sets a property of a service; without a value it is cleared. Restores and practice runs of its backups use them.\n\nKeys:" + keys.String(),
		UsageText: `dokku backup:set happycows-db check-sql "SELECT count(*) > 100 FROM cows"
dokku backup:set happycows-db health-path /healthz`,
		Action: p.set,
	}
}

func (p *program) set(c *cli.Context) error {
	if c.NArg() < 2 || c.NArg() > 3 {
		return usage(c.Command, "takes a service, a key and a value")
	}
	name, key, value := c.Args().Get(0), c.Args().Get(1), c.Args().Get(2)
	table := settingsTable()
	i := slices.IndexFunc(table, func(s setting) bool { return s.key == key })
	if i < 0 {
		keys := make([]string, len(table))
		for i, s := range table {
			keys[i] = s.key
		}
		return usage(c.Command, "there is no %q; keys are %s", key, strings.Join(keys, ", "))
	}
	if table[i].check != nil {
		if err := table[i].check(value); err != nil {
			return usage(c.Command, "%v", err)
		}
	}
	service, err := p.host.Find(c.Context, name)
	if err != nil {
		return err
	}
	path := p.settingPath(service.Name, key)
	if value == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		p.ui.Heading("Unsetting %s", key)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", []byte(value), 0o600); err != nil {
		return err
	}
	p.ui.Heading("Setting %s to %s", key, value)
	return os.Rename(path+".new", path)
}

// settingPath is the file of a property. They are not among Dokku's own properties for the reason that keyPath gives.
func (p *program) settingPath(service, key string) string {
	return filepath.Join(p.host.DataDir(), "settings", service, key)
}

// settings are those of a service.
func (p *program) settings(service string) (map[string]string, error) {
	values := map[string]string{}
	if !backup.ValidServiceName(service) {
		return values, nil
	}
	for _, s := range settingsTable() {
		value, err := os.ReadFile(p.settingPath(service, s.key))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		values[s.key] = string(value)
	}
	return values, nil
}
