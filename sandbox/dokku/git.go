package dokku

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func gitCommands() map[string]func(*call) error {
	return map[string]func(*call) error{
		"git:sync": (*call).gitSync, "git:set": (*call).gitSet, "git:from-image": (*call).gitFromImage,
	}
}

// branch is the app's deploy branch.
func (a *App) branch() string {
	if b := a.Properties["git/deploy-branch"]; b != "" {
		return b
	}
	return "master"
}

// revVariable is the variable that builds write the revision to, "" for none.
func (a *App) revVariable() string {
	if v, set := a.Properties["git/rev-env-var"]; set {
		return v
	}
	return "GIT_REV"
}

// git runs git in an app's repository and returns its output.
func (c *call) git(app string, args ...string) (string, error) {
	cmd := exec.CommandContext(c.ctx, "git", args...)
	cmd.Dir = c.h.repo(app)
	cmd.Env = append(c.env, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", &gitError{err, stderr.String()}
	}
	return strings.TrimSpace(stdout.String()), nil
}

// gitError is a git that failed: its exit code and what it said.
type gitError struct {
	err    error
	stderr string
}

func (g *gitError) Error() string { return fmt.Sprintf("git: %s: %s", g.err, g.stderr) }
func (g *gitError) Unwrap() error { return g.err }

// asGit ends the command as git ended, with git's own words.
func (c *call) asGit(err error) error {
	var g *gitError
	var x *exec.ExitError
	if errors.As(err, &g) && errors.As(err, &x) {
		fmt.Fprint(c.out, g.stderr)
		return &failure{x.ExitCode(), ""}
	}
	return err
}

// gitSync answers git:sync: a clone into an app without code, a fetch into one
// with code; a build only if asked for.
func (c *call) gitSync() error {
	given := c.option("--build", "--build-if-changes", "--skip-deploy-branch")
	name, remote, ref := c.arg(0), c.arg(1), c.arg(2)
	a, err := c.h.loadApp(name)
	if err != nil {
		return err
	}
	if remote == "" {
		return fail("Missing GIT_REMOTE parameter")
	}
	before, _ := c.git(name, "rev-parse", "--verify", "-q", "refs/heads/"+a.branch())
	if before == "" {
		c.info1Quiet("Cloning %s from %s#%s", name, remote, ref)
		err = c.clone(a, remote, ref, given["--skip-deploy-branch"] != "")
	} else {
		c.verbose("Fetching remote code for %s from %s#%s", name, remote, ref)
		err = c.fetch(a, remote, ref)
	}
	if err != nil {
		return c.asGit(err)
	}
	if a, err = c.h.loadApp(name); err != nil {
		return err
	}
	after, err := c.git(name, "rev-parse", "refs/heads/"+a.branch())
	if err != nil {
		return c.asGit(err)
	}
	if given["--build-if-changes"] != "" && before == after {
		c.verbose("Skipping build as no changes were detected")
		return nil
	}
	if given["--build"] == "" && given["--build-if-changes"] == "" {
		return nil
	}
	rev := after
	if ref != "" {
		if rev, err = c.git(name, "rev-parse", ref); err != nil {
			return c.asGit(err)
		}
	}
	if err := c.receive(name, rev); err != nil {
		return err
	}
	return c.h.changeApp(name, func(a *App) error {
		a.Source, a.SourceMetadata = "git-sync", remote+"#"+rev
		delete(a.Properties, "git/source-image")
		return nil
	})
}

// clone brings all that the remote has, and puts the deploy branch on ref, or
// makes ref the deploy branch if it is a branch.
func (c *call) clone(a *App, remote, ref string, keepBranch bool) error {
	if ref == "" {
		ref = a.branch()
	}
	temp, err := os.MkdirTemp("", "dokku-git-clone-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if _, err := c.git(a.Name, "clone", "-q", "--bare", remote, temp); err != nil {
		return err
	}
	if _, err := c.git(a.Name, "fetch", "-q", temp, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"); err != nil {
		return err
	}
	commit, err := c.git(a.Name, "rev-parse", ref+"^{commit}")
	if err != nil {
		return err
	}
	branch := a.branch()
	if _, err := c.git(a.Name, "show-ref", "--verify", "-q", "refs/heads/"+ref); err == nil && !keepBranch {
		c.verbose("Detected branch, setting deploy-branch to %s", ref)
		branch = ref
		err := c.h.changeApp(a.Name, func(a *App) error { a.Properties["git/deploy-branch"] = ref; return nil })
		if err != nil {
			return err
		}
	}
	_, err = c.git(a.Name, "update-ref", "refs/heads/"+branch, commit)
	return err
}

// fetch mirrors what the remote has, and moves the deploy branch to ref.
func (c *call) fetch(a *App, remote, ref string) error {
	branch := "refs/heads/" + a.branch()
	if ref == "" {
		_, err := c.git(a.Name, "fetch", "-q", "--update-head-ok", remote, "+"+branch+":"+branch)
		return err
	}
	if _, err := c.git(a.Name, "fetch", "-q", "--update-head-ok", remote, "+refs/*:refs/*"); err != nil {
		return err
	}
	_, err := c.git(a.Name, "update-ref", branch, ref+"^{commit}")
	return err
}

func (c *call) gitSet() error {
	valid := []string{"archive-max-files", "archive-max-size", "deploy-branch", "keep-git-dir", "rev-env-var", "source-image"}
	name, key, value := c.arg(0), c.arg(1), c.arg(2)
	if _, err := c.h.loadApp(name); err != nil {
		return err
	}
	if key == "" {
		return fail("No key specified")
	}
	if !slices.Contains(valid, key) {
		return fail("Invalid key specified, valid keys include: %s", strings.Join(valid, ", "))
	}
	return c.setProperty(name, "git", key, value)
}

// setProperty sets a property, or takes it away when the value is empty; for
// rev-env-var an empty value is kept, and means none.
func (c *call) setProperty(name, plugin, key, value string) error {
	if value != "" {
		c.info2Quiet("Setting %s to %s", key, value)
	} else {
		c.info2Quiet("Unsetting %s", key)
	}
	return c.h.changeApp(name, func(a *App) error {
		if value == "" && key != "rev-env-var" {
			delete(a.Properties, plugin+"/"+key)
			return nil
		}
		a.Properties[plugin+"/"+key] = value
		return nil
	})
}

// gitFromImage answers git:from-image: a commit that holds only a Dockerfile,
// and a build of it.
func (c *call) gitFromImage() error {
	c.option("--force", "--build-dir=")
	name, image := c.arg(0), c.arg(1)
	a, err := c.h.loadApp(name)
	if err != nil {
		return err
	}
	if image == "" {
		return fail("Please specify a docker image")
	}
	c.info1("Generating build context")
	if _, err := c.ask("image", "inspect", image); err != nil {
		c.info1("Pulling image")
		if err := c.pullImage(image); err != nil {
			return fail("Failed to pull image: %s", image)
		}
	} else {
		c.info1("Image exists on host, skipping pull")
	}
	work, err := os.MkdirTemp("", "dokku-git-from-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	dockerfile := fmt.Sprintf("FROM %s\nLABEL com.dokku.docker-image-labeler/alternate-tags=[\\\"%s\\\"]\n", image, image)
	if err := os.WriteFile(filepath.Join(work, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	commit, err := c.commitTree(a, work)
	if err != nil {
		return c.asGit(err)
	}
	err = c.h.changeApp(name, func(a *App) error { a.Properties["git/source-image"] = image; return nil })
	if err != nil {
		return err
	}
	if err := c.receive(name, commit); err != nil {
		return err
	}
	return c.h.changeApp(name, func(a *App) error { a.Source, a.SourceMetadata = "docker-image", image; return nil })
}

// commitTree makes a commit of a folder on the app's deploy branch.
func (c *call) commitTree(a *App, dir string) (string, error) {
	index := filepath.Join(dir, ".index")
	run := *c
	run.env = append(slices.Clone(c.env), "GIT_INDEX_FILE="+index, "GIT_AUTHOR_NAME=Dokku", "GIT_AUTHOR_EMAIL=automated@dokku.sh",
		"GIT_COMMITTER_NAME=Dokku", "GIT_COMMITTER_EMAIL=automated@dokku.sh")
	if _, err := run.git(a.Name, "--work-tree="+dir, "add", "Dockerfile"); err != nil {
		return "", err
	}
	tree, err := run.git(a.Name, "write-tree")
	if err != nil {
		return "", err
	}
	args := []string{"commit-tree", tree, "-m", "Automated commit"}
	if parent, err := run.git(a.Name, "rev-parse", "--verify", "-q", "refs/heads/"+a.branch()); err == nil {
		args = append(args, "-p", parent)
	}
	commit, err := run.git(a.Name, args...)
	if err != nil {
		return "", err
	}
	_, err = run.git(a.Name, "update-ref", "refs/heads/"+a.branch(), commit)
	return commit, err
}
