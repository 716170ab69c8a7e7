package dokku

import (
	"fmt"
	"strconv"
	"strings"
)

func psCommands() map[string]func(*call) error {
	return map[string]func(*call) error{
		"ps:rebuild": (*call).psRebuild, "ps:restart": (*call).psRestart, "ps:stop": (*call).psStop, "ps:start": (*call).psStart,
		"ps:scale": (*call).psScale, "ps:inspect": (*call).psInspect, "logs": (*call).appLogs,
	}
}

func (c *call) psRebuild() error {
	if _, err := c.h.loadApp(c.arg(0)); err != nil {
		return err
	}
	return c.receive(c.arg(0), "")
}

// deployed loads the app that is named; nil with no error, and Dokku's
// warning, means that it was never deployed.
func (c *call) deployed() (*App, error) {
	a, err := c.h.loadApp(c.arg(0))
	if err == nil && !a.Deployed {
		c.warn("App %s has not been deployed", a.Name)
		return nil, nil
	}
	return a, err
}

// psRestart starts new containers from dokku/APP:latest, which after a failed
// deploy is the image that failed (Dokku's ps.Restart).
func (c *call) psRestart() error {
	a, err := c.deployed()
	if a == nil {
		return err
	}
	return c.deploy(a.Name, "", c.arg(1))
}

func (c *call) psStop() error {
	a, err := c.deployed()
	if a == nil {
		return err
	}
	c.info1Quiet("Stopping %s", a.Name)
	ids, err := c.containers(a.Name)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := c.ask("stop", "-t", "30", id); err != nil {
			return err
		}
	}
	err = c.h.changeApp(a.Name, func(a *App) error { a.Restore = false; return nil })
	if err != nil {
		return err
	}
	if err := c.writeCrontab([]string{a.Name}); err != nil {
		return err
	}
	return c.trigger("", "post-stop", a.Name)
}

func (c *call) psStart() error {
	a, err := c.deployed()
	if a == nil {
		return err
	}
	if err := c.trigger("", "pre-start", a.Name); err != nil {
		return err
	}
	switch running, err := c.running(a.Name); {
	case err != nil:
		return err
	case running == "true":
		c.warn("App %s already running", a.Name)
	default:
		if running == "mixed" {
			c.warn("App is running in mixed mode, releasing")
		} else {
			c.warn("App has been detected as not running, releasing")
		}
		if err := c.releaseAndDeploy(a.Name, ""); err != nil {
			return err
		}
	}
	c.proxy(a.Name)
	return nil
}

// running is "true", "false" or "mixed": whether the app's containers run.
func (c *call) running(app string) (string, error) {
	all, err := c.containers(app, "-a")
	if err != nil {
		return "", err
	}
	up, err := c.containers(app)
	switch {
	case err != nil:
		return "", err
	case len(up) == 0:
		return "false", nil
	case len(up) < len(all):
		return "mixed", nil
	}
	return "true", nil
}

// psScale shows or sets how many containers each process type has.
func (c *call) psScale() error {
	given := c.option("--skip-deploy", "--format=")
	a, err := c.h.loadApp(c.arg(0))
	if err != nil {
		return err
	}
	if len(c.args) < 2 {
		return c.showScale(a)
	}
	commands, err := c.h.procfile(a.Name)
	if err != nil {
		return err
	}
	c.info1("Scaling %s processes: %s", a.Name, strings.Join(c.args[1:], " "))
	var changed []string
	for _, pair := range c.args[1:] {
		process, count, ok := strings.Cut(pair, "=")
		if !ok {
			return fail("Missing count for process type %s", pair)
		}
		n, err := strconv.Atoi(count)
		if err != nil {
			return fail("Invalid count for process type %s", process)
		}
		if len(commands) > 0 && commands[process] == "" && n != 0 {
			return fail("%s is not a valid process name to scale up", process)
		}
		if old, set := a.Scale[process]; !set || old != n {
			changed = append(changed, process)
		}
		a.Scale[process] = n
	}
	scale := a.Scale
	if err := c.h.changeApp(a.Name, func(a *App) error { a.Scale = scale; return nil }); err != nil {
		return err
	}
	if given["--skip-deploy"] != "" || !a.Deployed {
		return nil
	}
	for _, process := range changed {
		if err := c.deploy(a.Name, "", process); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) showScale(a *App) error {
	c.info1Quiet("Scaling for %s", a.Name)
	if !c.quiet {
		fmt.Fprintln(c.out, "proctype: qty\n--------: ---")
	}
	for _, process := range inOrder(a.Scale) {
		fmt.Fprintf(c.out, "%-5s %d\n", process+":", a.Scale[process])
	}
	return nil
}

func (c *call) psInspect() error {
	if _, err := c.h.loadApp(c.arg(0)); err != nil {
		return err
	}
	ids, err := c.containers(c.arg(0), "-a")
	if err != nil {
		return err
	}
	return c.stream(append([]string{"inspect"}, ids...)...)
}

// appLogs answers `logs`: the output of all containers, one after another.
func (c *call) appLogs() error {
	c.option("-n=", "--num=", "-p=", "--ps=", "-q", "--quiet")
	a, err := c.deployed()
	if a == nil {
		return err
	}
	ids, err := c.containers(a.Name, "-a")
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := c.stream("logs", id); err != nil {
			return err
		}
	}
	return nil
}
