package dokku

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/dokku-backup/dokku-backup/sandbox/state"
)

// App is what the host remembers about one app.
type App struct {
	Name      string
	CreatedAt int64
	Config    map[string]string
	Scale     map[string]int
	// Properties are those set by git:set, network:set and the like, as
	// "plugin/key". One set to "" differs from one not set.
	Properties map[string]string
	// Source and SourceMetadata say how the app was last deployed.
	Source, SourceMetadata string
	// Builder is what built the image: dockerfile or herokuish.
	Builder string
	// Links are the docker options --link that service links added.
	Links []string
	// Ports are the port maps of ports:set.
	Ports []portMap
	// Mounts are the host:container pairs of storage:mount.
	Mounts []string
	// Deployed says that containers were started at least once; Restore that
	// they are meant to run.
	Deployed, Restore bool
	Locked            bool
}

var (
	validApp  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)
	errNoName = fail("Please specify an app to run the command on")
)

func (h *Host) appPath(name string) string { return h.lib("data/apps/" + name + ".json") }

// repo is the app's bare git repository.
func (h *Host) repo(name string) string { return filepath.Join(h.root(), name) }

// loadApp reads an app; one that does not exist is Dokku's error, exit 20.
func (h *Host) loadApp(name string) (*App, error) {
	if name == "" {
		return nil, errNoName
	}
	if !validApp.MatchString(name) {
		return nil, fail("App name must begin with lowercase alphanumeric character, and may only contain lowercase alphanumerics, dots, and hyphens")
	}
	a := &App{}
	err := state.Read(h.appPath(name), a)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &failure{20, fmt.Sprintf("App %s does not exist", name)}
	}
	return a, err
}

// changeApp changes an app under its lock.
func (h *Host) changeApp(name string, change func(*App) error) error {
	unlock, err := h.lock("state")
	if err != nil {
		return err
	}
	defer unlock()
	a, err := h.loadApp(name)
	if err != nil {
		return err
	}
	if err := change(a); err != nil {
		return err
	}
	return state.Write(h.appPath(name), a)
}

// apps are the names of all apps.
func (h *Host) apps() ([]string, error) { return state.Names(h.lib("data/apps")) }

func (c *call) appCommands() map[string]func(*call) error {
	locked := func(c *call) error {
		a, err := c.h.loadApp(c.arg(0))
		if err != nil {
			return err
		}
		if !a.Locked {
			return fail("Deploy lock does not exist")
		}
		fmt.Fprintln(c.out, "Deploy lock exists")
		return nil
	}
	return map[string]func(*call) error{
		"version": (*call).version, "--version": (*call).version, "-v": (*call).version, "help": (*call).help,
		"apps:create": (*call).appsCreate, "apps:destroy": (*call).appsDestroy, "apps:list": (*call).appsList,
		"apps:exists": func(c *call) error { _, err := c.h.loadApp(c.arg(0)); return err },
		"apps:lock":   (*call).appsLock, "apps:unlock": (*call).appsUnlock, "apps:locked": locked,
		"apps:rename": (*call).appsRename, "apps:clone": (*call).appsClone,
	}
}

func (c *call) version() error {
	fmt.Fprintln(c.out, "dokku version "+Version)
	return nil
}

func (c *call) appsList() error {
	names, err := c.h.apps()
	if err != nil {
		return err
	}
	c.info2Quiet("My Apps")
	if len(names) == 0 {
		c.warn("You haven't deployed any applications yet")
	}
	for _, n := range names {
		fmt.Fprintln(c.out, n)
	}
	return nil
}

func (c *call) appsCreate() error { return c.createApp(c.arg(0)) }

func (c *call) createApp(name string) error {
	if name == "" {
		return errNoName
	}
	_, err := c.h.loadApp(name)
	if err == nil {
		return fail("Name is already taken")
	}
	if ExitCode(err) != 20 {
		return err
	}
	c.info1Quiet("Creating %s...", name)
	if out, err := exec.CommandContext(c.ctx, "git", "init", "-q", "--bare", "-b", "master", c.h.repo(name)).CombinedOutput(); err != nil {
		return fmt.Errorf("make repository: %w: %s", err, out)
	}
	a := &App{Name: name, CreatedAt: time.Now().Unix(), Config: map[string]string{}, Scale: map[string]int{"web": 1},
		Properties: map[string]string{}, Restore: true}
	if err := state.Write(c.h.appPath(name), a); err != nil {
		return err
	}
	c.info1("Creating new app virtual host file...")
	c.proxyBuild(name)
	c.warn("No web listeners specified for %s", name)
	return c.trigger("", "post-create", name)
}

func (c *call) proxyBuild(app string) {
	c.info1("Configuring %s.dokku.me...(using built-in template)", app)
	c.info1("Creating http nginx.conf")
	c.verbose("Reloading nginx")
}

func (c *call) appsDestroy() error {
	given := c.option("--force", "-f")
	name := c.arg(0)
	if _, err := c.h.loadApp(name); err != nil {
		return err
	}
	if !c.force && given["--force"] == "" && given["-f"] == "" {
		if err := c.confirm(name, "app"); err != nil {
			return err
		}
	}
	return c.destroyApp(name)
}

// confirm asks for a name to be typed before something is destroyed.
func (c *call) confirm(name, kind string) error {
	c.warn("WARNING: Potentially Destructive Action")
	c.warn("This command will destroy %s %s.", name, kind)
	c.warn("To proceed, type %q", name)
	fmt.Fprint(c.out, "\n> ")
	var typed string
	fmt.Fscanln(c.in, &typed)
	if typed != name {
		c.warn("Confirmation did not match %s. Aborted.", name)
		return &failure{1, ""}
	}
	return nil
}

func (c *call) destroyApp(name string) error {
	c.info1("Destroying %s (including all add-ons)", name)
	if err := c.unlinkAll(name); err != nil {
		return err
	}
	if err := c.trigger("", "pre-delete", name, "latest"); err != nil {
		return err
	}
	// Dokku says it twice: when the app stops, and when it is gone.
	if err := c.writeCrontab([]string{name}); err != nil {
		return err
	}
	ids, err := c.containers(name, "-a")
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		if _, err := c.ask(append([]string{"rm", "-f"}, ids...)...); err != nil {
			return err
		}
	}
	if err := c.trigger("", "post-delete", name, "latest"); err != nil {
		return err
	}
	if err := errors.Join(os.Remove(c.h.appPath(name)), os.RemoveAll(c.h.repo(name))); err != nil {
		return err
	}
	if _, err := c.ask("image", "inspect", imageOf(name)); err == nil {
		if _, err := c.ask("image", "rm", "-f", imageOf(name)); err != nil {
			return err
		}
	}
	if err := c.writeCrontab([]string{name}); err != nil {
		return err
	}
	c.info1("Cleaning up...")
	c.info1("Retiring old containers and images")
	return nil
}

func (c *call) appsLock() error {
	err := c.h.changeApp(c.arg(0), func(a *App) error { a.Locked = true; return nil })
	if err == nil {
		c.info1("Deploy lock created")
	}
	return err
}

func (c *call) appsUnlock() error {
	err := c.h.changeApp(c.arg(0), func(a *App) error {
		if !a.Locked {
			return fail("Unable to remove deploy lock")
		}
		a.Locked = false
		return nil
	})
	if err != nil {
		return err
	}
	c.warn("A deploy may be in progress.")
	c.warn("Removing the app lock will not stop in progress deploys.")
	c.info1("Deploy lock removed")
	return nil
}

// appsRename answers apps:rename: a new app, the old one's things, the old one
// destroyed (pre-delete and post-delete fire for its name), and a rebuild.
func (c *call) appsRename() error {
	given := c.option("--skip-deploy")
	if err := c.copyApp("Renaming", "post-app-rename-setup"); err != nil {
		return err
	}
	if err := c.destroyApp(c.arg(0)); err != nil {
		return err
	}
	if given["--skip-deploy"] == "" && c.hasCode(c.arg(1)) {
		if err := c.receive(c.arg(1), ""); err != nil {
			return err
		}
	}
	return c.trigger("", "post-app-rename", c.arg(0), c.arg(1))
}

func (c *call) appsClone() error {
	given := c.option("--skip-deploy", "--ignore-existing")
	if err := c.copyApp("Cloning", "post-app-clone-setup"); err != nil {
		return err
	}
	if given["--skip-deploy"] == "" && c.hasCode(c.arg(1)) {
		if err := c.receive(c.arg(1), ""); err != nil {
			return err
		}
	}
	return c.trigger("", "post-app-clone", c.arg(0), c.arg(1))
}

// copyApp makes the app that the second argument names out of the first.
func (c *call) copyApp(doing, setup string) error {
	from, to := c.arg(0), c.arg(1)
	old, err := c.h.loadApp(from)
	if err != nil {
		return err
	}
	if to == "" {
		return fail("Please specify an new app name")
	}
	if _, err := c.h.loadApp(to); err == nil {
		return fail("Name is already taken")
	}
	c.info1Quiet("%s %s to %s", doing, from, to)
	if err := c.createApp(to); err != nil {
		return err
	}
	if out, err := exec.CommandContext(c.ctx, "cp", "-a", c.h.repo(from)+"/.", c.h.repo(to)).CombinedOutput(); err != nil {
		return fmt.Errorf("copy repository: %w: %s", err, out)
	}
	err = c.h.changeApp(to, func(a *App) error {
		created := a.CreatedAt
		*a = *old
		a.Name, a.CreatedAt, a.Deployed, a.Locked = to, created, false, false
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.relink(from, to); err != nil {
		return err
	}
	return c.trigger("", setup, from, to)
}

// hasCode reports whether the app's deploy branch has a commit.
func (c *call) hasCode(name string) bool {
	a, err := c.h.loadApp(name)
	if err != nil {
		return false
	}
	_, err = c.git(name, "rev-parse", "--verify", "-q", "refs/heads/"+a.branch())
	return err == nil
}

// inOrder are the keys of m, sorted.
func inOrder[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
