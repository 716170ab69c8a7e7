package dokku

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func pluginCommands() map[string]func(*call) error {
	return map[string]func(*call) error{
		"plugin:list": (*call).pluginList, "plugin:install": (*call).pluginInstall, "plugin:uninstall": (*call).pluginUninstall,
		"plugin:update": (*call).pluginUpdate, "plugin:trigger": func(c *call) error { return c.trigger("", c.arg(0), c.args[min(1, len(c.args)):]...) },
	}
}

// pluginList shows the enabled plugins, with the versions of their plugin.toml.
func (c *call) pluginList() error {
	found, err := filepath.Glob(filepath.Join(c.h.plugins("enabled"), "*"))
	if err != nil {
		return err
	}
	var lines []string
	for _, dir := range found {
		toml, _ := os.ReadFile(filepath.Join(dir, "plugin.toml"))
		lines = append(lines, fmt.Sprintf("%-20s %s enabled    %s", filepath.Base(dir), tomlValue(toml, "version"), tomlValue(toml, "description")))
	}
	slices.Sort(lines)
	for _, l := range lines {
		fmt.Fprintln(c.out, "  "+l)
	}
	return nil
}

func tomlValue(toml []byte, key string) string {
	if m := regexp.MustCompile(`(?m)^` + key + `\s*=\s*"(.*)"`).FindSubmatch(toml); m != nil {
		return string(m[1])
	}
	return ""
}

// pluginInstall answers plugin:install SOURCE --name NAME: a git repository or
// a tarball by file:// address or path.
func (c *call) pluginInstall() error {
	given := c.option("--name=", "--committish=", "--core")
	source := c.arg(0)
	if source == "" {
		return c.trigger("", "install")
	}
	name := given["--name"]
	if name == "" {
		base := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(source), ".git"), ".tar.gz")
		name = strings.TrimPrefix(base, "dokku-")
	}
	to := filepath.Join(c.h.plugins("available"), name)
	if _, err := os.Stat(to); err == nil {
		return fail("Plugin (%s) already installed", name)
	}
	get := exec.CommandContext(c.ctx, "git", "clone", "-q", source, to)
	if strings.HasSuffix(source, ".tar.gz") {
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		get = exec.CommandContext(c.ctx, "tar", "-xzf", strings.TrimPrefix(source, "file://"), "-C", to, "--strip-components=1")
	}
	if out, err := get.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch plugin: %w: %s", err, out)
	}
	if ref := given["--committish"]; ref != "" {
		if out, err := exec.CommandContext(c.ctx, "git", "-C", to, "checkout", "-q", ref).CombinedOutput(); err != nil {
			return fmt.Errorf("check out %q: %w: %s", ref, err, out)
		}
	}
	return c.enable(name)
}

// enable links a plugin that is available and fires `install`, at every plugin
// as Dokku does.
func (c *call) enable(name string) error {
	if !executable(filepath.Join(c.h.plugins("available"), name, "commands")) {
		c.warn("plugin %s has no executable `commands`", name)
	}
	link := filepath.Join(c.h.plugins("enabled"), name)
	err := os.Symlink(filepath.Join(c.h.plugins("available"), name), link)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	c.info1("Plugin %s enabled", name)
	return c.trigger("", "install")
}

// Streams are where a call reads and writes.
type Streams struct {
	Ctx      context.Context
	In       io.Reader
	Out, Err io.Writer
}

// Install puts the plugin that lives in folder at on this host, by a link, and
// runs its install.
func (h *Host) Install(c Streams, at, name string) error {
	link := filepath.Join(h.plugins("available"), name)
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(at, link); err != nil {
		return err
	}
	run := &call{h: h, ctx: c.Ctx, in: c.In, out: c.Out, err: c.Err, env: append(os.Environ(), h.environment()...)}
	return run.enable(name)
}

func (c *call) pluginUninstall() error {
	name := c.arg(0)
	if name == "" {
		return fail("Please specify a valid name for the plugin")
	}
	if _, err := os.Stat(filepath.Join(c.h.plugins("enabled"), name)); err != nil {
		return fail("Plugin does not exist")
	}
	if err := c.trigger("", "uninstall", name); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(c.h.plugins("enabled"), name))
	if err := errors.Join(err, os.RemoveAll(filepath.Join(c.h.plugins("available"), name))); err != nil {
		return err
	}
	c.info1("Plugin %s uninstalled", name)
	return nil
}

// pluginUpdate pulls a plugin's repository and fires only `update`.
func (c *call) pluginUpdate() error {
	name := c.arg(0)
	dir := filepath.Join(c.h.plugins("enabled"), name)
	if _, err := os.Stat(dir); err != nil || name == "" {
		return fail("Plugin does not exist")
	}
	if out, err := exec.CommandContext(c.ctx, "git", "-C", dir, "pull", "-q").CombinedOutput(); err != nil {
		return fmt.Errorf("update plugin: %w: %s", err, out)
	}
	if err := c.trigger("", "update", name); err != nil {
		return err
	}
	c.info1("Plugin %s updated", name)
	return nil
}
