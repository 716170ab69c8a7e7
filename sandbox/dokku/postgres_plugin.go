package dokku

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// addPostgresPlugin puts the files of dokku-postgres where plugins look for
// other plugins. What they do is done here: each subcommand calls back.
func (h *Host) addPostgresPlugin() error {
	dir := filepath.Join(h.plugins("available"), "postgres")
	if err := os.MkdirAll(filepath.Join(dir, "subcommands"), 0o755); err != nil {
		return err
	}
	files := map[string]string{
		"plugin.toml": "[plugin]\ndescription = \"dokku postgres service plugin\"\nversion = \"1.48.0\"\n[plugin.config]\n",
		"config":      "#!/usr/bin/env bash\nexport PLUGIN_UNIMPLEMENTED_SUBCOMMANDS=()\nexport PLUGIN_COMMAND_PREFIX=\"postgres\"\n",
		"commands": "#!/bin/sh\ncase \"$1\" in\n  help) echo \"    postgres, Plugin for managing Postgres services\" ;;\n" +
			"  *) exit 10 ;;\nesac\n",
	}
	for command := range postgresCommands() {
		files["subcommands/"+strings.TrimPrefix(command, "postgres:")] = "#!/bin/sh\nexec dokku \"$@\"\n"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	err := os.Symlink(dir, filepath.Join(h.plugins("enabled"), "postgres"))
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}
