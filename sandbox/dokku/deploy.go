package dokku

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// releaseAndDeploy puts Dokku's labels on the app's latest image, whatever it
// holds, and starts containers from it (Dokku's release_and_deploy). tree is
// the folder that triggers run in, "" for the caller's.
func (c *call) releaseAndDeploy(app, tree string) error {
	if err := c.release(app, tree); err != nil {
		return err
	}
	c.info1("Deploying %s via the docker-local scheduler...", app)
	if err := c.deploy(app, tree, ""); err != nil {
		return err
	}
	a, err := c.h.loadApp(app)
	if err != nil {
		return err
	}
	c.info2("Application deployed:")
	c.verbose("http://%s.dokku.me:%d", app, a.ports()[0].Host)
	fmt.Fprintln(c.out)
	return nil
}

func (c *call) release(app, tree string) error {
	a, err := c.h.loadApp(app)
	if err != nil {
		return err
	}
	c.info1("Releasing %s...", app)
	c.info1("Checking for predeploy task")
	c.verbose("No predeploy task found, skipping")
	if err := c.trigger(tree, "pre-release-builder", a.Builder, app, imageOf(app)); err != nil {
		return err
	}
	empty, err := os.MkdirTemp("", "dokku-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(empty)
	// Dokku's builder-release.Dockerfile.
	file := filepath.Join(empty, "Dockerfile")
	if err := os.WriteFile(file, []byte("ARG APP_IMAGE\nFROM $APP_IMAGE\n"), 0o644); err != nil {
		return err
	}
	args := []string{"image", "build", "--label=org.label-schema.schema-version=1.0", "--label=org.label-schema.vendor=dokku",
		"--label=com.dokku.app-name=" + app, "--label=com.dokku.image-stage=release", "--label=dokku="}
	args = append(args, c.ours("--label=")...)
	if _, err := c.ask(append(args, "-f", file, "--build-arg", "APP_IMAGE="+imageOf(app), "-t", imageOf(app), empty)...); err != nil {
		c.warn("Failure injecting docker labels on image")
		return err
	}
	c.info1("Checking for release task")
	c.verbose("No release task found, skipping")
	if !a.Deployed {
		c.info1("Checking for heroku.postdeploy task")
		c.verbose("No heroku.postdeploy task found, skipping")
	}
	// The registry plugin fires pre-deploy from its post-release-builder, and
	// "registry" comes after most names; the transcripts show it first.
	if len(c.h.hooks("pre-deploy")) > 0 {
		fmt.Fprintln(c.out, " !     Deprecated: please upgrade plugin to use 'pre-release-builder' plugin trigger instead of pre-deploy")
	}
	if err := c.trigger(tree, "post-release-builder", a.Builder, app, imageOf(app)); err != nil {
		return err
	}
	if err := c.trigger(tree, "pre-deploy", app, "latest"); err != nil {
		return err
	}
	c.info2("Processing deployment checks")
	fmt.Fprintln(c.out, " !     No healthchecks found in app.json for web process type")
	c.verbose("No web healthchecks found in app.json. Simple container checks will be performed.")
	c.verbose("For more efficient zero downtime deployments, add healthchecks to your app.json. See https://dokku.com/docs/deployment/zero-downtime-deploys/ for examples")
	return nil
}

// deploy starts new containers from the app's latest image and then retires
// the old ones (Dokku's scheduler-docker-local). only names one process type,
// "" all of them. A container that does not stay up leaves the old ones be.
func (c *call) deploy(app, tree, only string) error {
	a, err := c.h.loadApp(app)
	if err != nil {
		return err
	}
	commands, err := c.h.procfile(app)
	if err != nil {
		return err
	}
	filter := []string{"-a"}
	if only != "" {
		filter = append(filter, "--filter", "label=com.dokku.process-type="+only)
	}
	old, err := c.containers(app, filter...)
	if err != nil {
		return err
	}
	var started []upcoming
	for _, process := range inOrder(a.Scale) {
		count := a.Scale[process]
		if only != "" && process != only || process != "web" && count == 0 && commands[process] == "" {
			continue
		}
		if len(commands) > 0 && commands[process] == "" {
			c.warn("Skipping %s as it is missing from the current Procfile", process)
			continue
		}
		c.info1("Deploying %s (count=%d)", process, count)
		for n := 1; n <= count; n++ {
			u, err := c.startOne(a, process, n, commands[process], len(old) > 0)
			if err != nil {
				return err
			}
			started = append(started, u)
		}
	}
	c.info2("Triggering early nginx proxy rebuild")
	if len(old) > 0 {
		c.proxy(app)
	}
	return c.switchOver(app, tree, started, old)
}

// upcoming is a new container that has not taken its name yet.
type upcoming struct{ id, name, final string }

// startOne starts one container and waits until it has stayed up.
func (c *call) startOne(a *App, process string, n int, command string, replaces bool) (upcoming, error) {
	dyno := fmt.Sprintf("%s.%d", process, n)
	u := upcoming{final: a.Name + "." + dyno}
	u.name = fmt.Sprintf("%s.upcoming-%d", u.final, rand.IntN(32768))
	id, err := c.ask(c.containerArgs(a, u.name, process, dyno, command)...)
	if err != nil {
		_, _ = c.ask("rm", "-f", u.name)
		return u, fail("%s", err)
	}
	u.id = id
	c.verbose("Attempting pre-flight checks (%s)", dyno)
	if err := c.staysUp(a, u, process, dyno); err != nil {
		return u, err
	}
	if replaces {
		c.verbose("Scheduling old container shutdown in 60 seconds (%s)", dyno)
	}
	return u, nil
}

// containerArgs is the docker command that starts one process of an app.
func (c *call) containerArgs(a *App, name, process, dyno, command string) []string {
	args := []string{"run", "-d", "--name=" + name, "--init", "--restart=on-failure:10",
		"--label=com.dokku.app-name=" + a.Name, "--label=com.dokku.container-type=deploy",
		"--label=com.dokku.process-type=" + process, "--label=com.dokku.dyno=" + dyno, "--label=com.dokku.builder-type=" + a.Builder,
		"--label=org.label-schema.schema-version=1.0", "--label=org.label-schema.vendor=dokku", "--label=dokku="}
	if process == "web" {
		args = append(args, openrestyLabels(a)...)
	}
	args = append(args, c.ours("--label=")...)
	for _, k := range inOrder(a.Config) {
		args = append(args, "--env="+k+"="+a.Config[k])
	}
	args = append(args, "--env=DYNO="+dyno)
	port := ""
	if process == "web" {
		port = a.port()
	}
	args = append(args, "--env=PORT="+port)
	for _, l := range a.Links {
		args = append(args, "--link", l)
	}
	for _, m := range a.Mounts {
		args = append(args, "-v", m)
	}
	if network := a.Properties["network/initial-network"]; network != "" {
		args = append(args, "--network="+network, "--network-alias="+a.Name+"."+process)
	}
	args = append(args, imageOf(a.Name))
	return append(args, c.startCommand(a, command)...)
}

// startCommand is a Procfile's command as arguments. On buildpack images a
// shell runs it; on others it is split into words with $PORT put in, as
// procfile-util does.
func (c *call) startCommand(a *App, command string) []string {
	if command == "" {
		return nil
	}
	if a.Builder == "herokuish" {
		return []string{"sh", "-c", "exec " + command}
	}
	expanded := os.Expand(command, func(k string) string {
		if k == "PORT" {
			return a.port()
		}
		return a.Config[k]
	})
	return words(expanded)
}

// words splits as a shell without expansions does.
func words(s string) []string {
	var all []string
	var word strings.Builder
	quote, inWord := rune(0), false
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, inWord = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if inWord {
				all = append(all, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if inWord {
		all = append(all, word.String())
	}
	return all
}

// uptime is how long a new container must stay up: SANDBOX_UPTIME seconds, 1
// if unset, where Dokku waits 10.
func uptime() time.Duration {
	if n, err := strconv.ParseFloat(os.Getenv("SANDBOX_UPTIME"), 64); err == nil {
		return time.Duration(n * float64(time.Second))
	}
	return time.Second
}

// staysUp waits for the uptime check, and stops a container that fails it.
func (c *call) staysUp(a *App, u upcoming, process, dyno string) error {
	checks := 1
	if process == "web" {
		checks = 2
	}
	c.info1("Executing %d healthchecks", checks)
	c.verbose("Running healthcheck name='default' type='uptime' uptime=10")
	if process == "web" {
		c.verbose("Running healthcheck name='port listening check' attempts=3 port=%s retries=2 timeout=5 type='listening' wait=5", a.port())
	}
	up := true
	for deadline := time.Now().Add(uptime()); up && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		running, err := c.ask("inspect", "--format", "{{.State.Running}} {{.RestartCount}}", u.id)
		up = err == nil && running == "true 0"
	}
	if up && process == "web" {
		c.verbose("Healthcheck succeeded name='port listening check'")
	}
	if up {
		c.verbose("Healthcheck succeeded name='default'")
		c.verbose("All checks successful (%s)", dyno)
	} else {
		c.warn("Failure in name='default': container state is not running")
		c.warn("Could not start due to 1 failed checks (%s)", dyno)
	}
	c.info2Quiet("Start of %s container output (%s %s)", a.Name, u.id[:12], dyno)
	logs, err := c.ask("logs", u.id)
	if err == nil && logs != "" {
		for line := range strings.Lines(logs) {
			c.verboseQuiet("%s", strings.TrimSuffix(line, "\n"))
		}
	}
	c.info2Quiet("End of %s container output (%s %s)", a.Name, u.id[:12], dyno)
	if up {
		return nil
	}
	// Dokku keeps it for a while, stopped, until its next clean-up.
	_, err = c.ask("rm", "-f", u.id)
	return errors.Join(&failure{1, ""}, err)
}
