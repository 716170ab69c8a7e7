package dokku

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

var validKey = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func configCommands() map[string]func(*call) error {
	return map[string]func(*call) error{
		"config:set": (*call).configSet, "config:unset": (*call).configUnset, "config:get": (*call).configGet,
		"config:show": (*call).configShow, "config:export": (*call).configExport, "config:keys": (*call).configKeys,
		"config:import": (*call).configImport,
	}
}

func (c *call) configSet() error {
	given := c.option("--no-restart", "--encoded")
	name := c.arg(0)
	if _, err := c.h.loadApp(name); err != nil {
		return err
	}
	if len(c.args) < 2 {
		return fail("At least one env pair must be given")
	}
	set := map[string]string{}
	for _, pair := range c.args[1:] {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			return fail("Invalid env pair: %s", pair)
		}
		if !validKey.MatchString(k) {
			return fail("Invalid key name: '%s'", k)
		}
		if given["--encoded"] != "" {
			plain, err := base64.StdEncoding.DecodeString(v)
			if err != nil {
				return fail("%s for key '%s'", err, k)
			}
			v = string(plain)
		}
		set[k] = v
	}
	return c.setConfig(name, set, given["--no-restart"] == "")
}

// configImport answers config:import for JSON, on stdin or in a file. It tells
// every variable twice, as Dokku does.
func (c *call) configImport() error {
	given := c.option("--no-restart", "--replace", "--format=")
	name, file := c.arg(0), c.arg(1)
	if _, err := c.h.loadApp(name); err != nil {
		return err
	}
	if given["--format"] != "json" {
		return fail("The sandbox reads config in JSON only")
	}
	in := c.in
	if file == "-" {
		c.info1Quiet("Reading config vars from stdin")
	} else {
		f, err := os.Open(file)
		if err != nil {
			return fail("%s", err)
		}
		defer f.Close()
		in = f
	}
	var set map[string]string
	if err := json.NewDecoder(in).Decode(&set); err != nil {
		return fail("%s", err)
	}
	if len(set) == 0 {
		return fail("No config vars to set")
	}
	for _, k := range inOrder(set) {
		c.info1Quiet("Setting config var %s=%s", k, set[k])
	}
	for _, k := range inOrder(set) {
		if !validKey.MatchString(k) {
			return fail("Invalid key name: '%s'", k)
		}
	}
	if given["--replace"] != "" {
		err := c.h.changeApp(name, func(a *App) error { clear(a.Config); return nil })
		if err != nil {
			return err
		}
	}
	return c.setConfig(name, set, given["--no-restart"] == "")
}

// setConfig sets variables, prints them as Dokku does, and restarts the app if
// told to. That a restart fails is a warning only, as in Dokku.
func (c *call) setConfig(name string, set map[string]string, restart bool) error {
	err := c.h.changeApp(name, func(a *App) error { maps.Copy(a.Config, set); return nil })
	if err != nil {
		return err
	}
	if !c.quiet {
		c.info1("Setting config vars")
		fmt.Fprint(c.out, columns("       ", set))
	}
	if err := c.trigger("", "post-config-update", append([]string{name, "set"}, inOrder(set)...)...); err != nil {
		c.warn("Failure while triggering post-config-update: %s", err)
	}
	return c.restartFor(name, restart)
}

// restartFor releases and deploys again after a change of config.
func (c *call) restartFor(name string, restart bool) error {
	a, err := c.h.loadApp(name)
	if err != nil || !restart || !a.Restore || !a.Deployed {
		return err
	}
	c.info1("Restarting app %s", name)
	if err := c.releaseAndDeploy(name, ""); err != nil {
		c.warn("Failure while restarting app: %s", err)
	}
	return nil
}

// columns shows variables as "KEY:  value", the values under each other.
func columns(indent string, vars map[string]string) string {
	widest := 0
	for k := range vars {
		widest = max(widest, len(k))
	}
	var b strings.Builder
	for _, k := range inOrder(vars) {
		fmt.Fprintf(&b, "%s%-*s  %s\n", indent, widest+1, k+":", vars[k])
	}
	return b.String()
}

func (c *call) configUnset() error {
	given := c.option("--no-restart")
	name := c.arg(0)
	if _, err := c.h.loadApp(name); err != nil {
		return err
	}
	if len(c.args) < 2 {
		return fail("At least one key must be given")
	}
	return c.unsetConfig(name, c.args[1:], given["--no-restart"] == "")
}

func (c *call) unsetConfig(name string, keys []string, restart bool) error {
	changed := false
	err := c.h.changeApp(name, func(a *App) error {
		for _, k := range keys {
			if _, ok := a.Config[k]; !ok {
				c.info1Quiet("Skipping %s, it is not set in the environment", k)
				continue
			}
			c.info1Quiet("Unsetting %s", k)
			delete(a.Config, k)
			changed = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if changed {
		if err := c.trigger("", "post-config-update", append([]string{name, "unset"}, keys...)...); err != nil {
			c.warn("Failure while triggering post-config-update: %s", err)
		}
	}
	return c.restartFor(name, restart)
}

func (c *call) configGet() error {
	given := c.option("--quoted", "--global")
	a, err := c.h.loadApp(c.arg(0))
	if err != nil {
		return err
	}
	if len(c.args) < 2 {
		return fail("Expected: key")
	}
	v, ok := a.Config[c.args[1]]
	if !ok {
		return &failure{1, ""}
	}
	if given["--quoted"] != "" {
		v = singleQuoted(v)
	}
	fmt.Fprintln(c.out, v)
	return nil
}

func (c *call) configKeys() error {
	c.option("--merged")
	a, err := c.h.loadApp(c.arg(0))
	if err != nil {
		return err
	}
	for _, k := range inOrder(a.Config) {
		fmt.Fprintln(c.out, k)
	}
	return nil
}

func (c *call) configShow() error {
	c.option("--merged")
	a, err := c.h.loadApp(c.arg(0))
	if err != nil {
		return err
	}
	c.info2Quiet("%s env vars", a.Name)
	fmt.Fprint(c.out, columns("", a.Config))
	return nil
}

func singleQuoted(v string) string { return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'" }

func doubleQuoted(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, `"`, `\"`, "!", `\!`, "$", `\$`, "`", "\\`").Replace(v) + `"`
}

// configExport answers config:export in the formats that Dokku knows.
func (c *call) configExport() error {
	given := c.option("--format=", "--merged")
	a, err := c.h.loadApp(c.arg(0))
	if err != nil {
		return err
	}
	keys := inOrder(a.Config)
	each := func(format func(k, v string) string) []string {
		var all []string
		for _, k := range keys {
			all = append(all, format(k, a.Config[k]))
		}
		return all
	}
	switch given["--format"] {
	case "", "exports":
		fmt.Fprintln(c.out, strings.Join(each(func(k, v string) string { return "export " + k + "=" + singleQuoted(v) }), "\n"))
	case "envfile":
		fmt.Fprintln(c.out, strings.Join(each(func(k, v string) string { return k + "=" + doubleQuoted(v) }), "\n"))
	case "shell":
		fmt.Fprint(c.out, strings.Join(each(func(k, v string) string { return k + "=" + singleQuoted(v) }), " ")+" ")
	case "json":
		return c.json(a.Config)
	case "json-list":
		list := []map[string]string{}
		for _, k := range keys {
			list = append(list, map[string]string{"name": k, "value": a.Config[k]})
		}
		return c.json(list)
	default:
		return fail("Unknown export format: %s", given["--format"])
	}
	return nil
}

// json prints v on one line.
func (c *call) json(v any) error { return json.NewEncoder(c.out).Encode(v) }

// keysWithValue are the variables whose value has v in it, sorted.
func keysWithValue(config map[string]string, v string) []string {
	return slices.DeleteFunc(inOrder(config), func(k string) bool { return !strings.Contains(config[k], v) })
}
