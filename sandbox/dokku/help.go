package dokku

import (
	"bytes"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// help answers `dokku help`: as Dokku does it runs every file named `commands`
// at any depth of the enabled plugins, and aligns their lines at the first
// comma.
func (c *call) help() error {
	if !c.quiet {
		fmt.Fprint(c.out, "Usage: dokku [--quiet|--trace|--force] COMMAND <app> [command-specific-options]\n\n"+
			"Primary help options, type \"dokku COMMAND:help\" for more details, or dokku help --all to see all commands.\n\nCommands:\n\n")
	}
	core := []string{"    apps, Manage apps", "    config, Manage app configuration", "    git, Manage app deploys via git",
		"    plugin, Manage installed plugins", "    ps, Manage app processes"}
	fmt.Fprint(c.out, aligned(core))
	if !c.quiet {
		fmt.Fprint(c.out, "\nCommunity plugin commands:\n\n")
	}
	var lines []string
	for _, program := range c.h.allCommands() {
		var out bytes.Buffer
		cmd := exec.Command(program, "help")
		cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &out, c.err
		// Dokku takes the arguments from its own command line, which plugins
		// read from their parent process.
		if err := c.runToEnd(cmd); err != nil {
			return err
		}
		for line := range strings.Lines(out.String()) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	fmt.Fprint(c.out, aligned(lines))
	return nil
}

// allCommands are the files that `find -L enabled -name commands` finds.
func (h *Host) allCommands() []string {
	var found []string
	plugins, _ := filepath.Glob(filepath.Join(h.plugins("enabled"), "*"))
	for _, p := range plugins {
		real, err := filepath.EvalSymlinks(p)
		if err != nil {
			continue
		}
		filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == ".git" {
				return fs.SkipDir
			}
			if err == nil && d.Name() == "commands" {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

// aligned does what `sort | column -c2 -t -s,` does.
func aligned(lines []string) string {
	lines = slices.Clone(lines)
	slices.Sort(lines)
	widest := 0
	for _, l := range lines {
		left, _, _ := strings.Cut(l, ",")
		widest = max(widest, len(left))
	}
	var b strings.Builder
	for _, l := range lines {
		left, right, ok := strings.Cut(l, ",")
		if !ok {
			fmt.Fprintln(&b, left)
			continue
		}
		fmt.Fprintf(&b, "%-*s %s\n", widest+1, left, right)
	}
	return b.String()
}
