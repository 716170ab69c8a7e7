package dokku

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// imageOf is the image that builds of an app make and containers start from.
func imageOf(app string) string { return "dokku/" + app + ":latest" }

// receive builds and deploys a revision, or, with none, what the deploy branch
// holds (Dokku's git_receive_app and git_build). Only a given revision is
// written to the app's config.
func (c *call) receive(app, rev string) error {
	unlock, err := c.h.lock("deploy-" + app)
	if err != nil {
		return err
	}
	err = c.build(app, rev)
	unlock()
	if err != nil {
		return err
	}
	args := []string{app}
	if rev != "" {
		args = append(args, rev)
	}
	return c.trigger("", "receive-app", args...)
}

func (c *call) build(app, rev string) error {
	a, err := c.h.loadApp(app)
	if err != nil {
		return err
	}
	if a.Locked {
		return fail("%s currently has a deploy lock in place. Exiting...", app)
	}
	if rev == "" {
		if rev, err = c.git(app, "rev-parse", "--verify", "-q", "refs/heads/"+a.branch()); err != nil {
			fmt.Fprintf(c.out, "-----> WARNING: Cannot build from '%s' as there are no commits stored at that branch.\n", a.branch())
			return &failure{1, ""}
		}
	} else if v := a.revVariable(); v != "" {
		if err := c.h.changeApp(app, func(a *App) error { a.Config[v] = rev; return nil }); err != nil {
			return err
		}
	}
	tree, err := os.MkdirTemp("", fmt.Sprintf("dokku-%d-git_build_app_repo.", os.Getpid()))
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	if err := os.Chmod(tree, 0o755); err != nil {
		return err
	}
	if err := c.extract(app, rev, tree); err != nil {
		return err
	}
	return c.buildTree(app, rev, tree)
}

// extract writes the files of a revision to a folder.
func (c *call) extract(app, rev, tree string) error {
	archive := exec.CommandContext(c.ctx, "git", "-c", "safe.directory=*", "-C", c.h.repo(app), "archive", rev)
	untar := exec.CommandContext(c.ctx, "tar", "-x", "-C", tree)
	pipe, err := archive.StdoutPipe()
	if err != nil {
		return err
	}
	archive.Stderr, untar.Stdin, untar.Stderr = c.out, pipe, c.err
	if err := archive.Start(); err != nil {
		return err
	}
	if err := errors.Join(untar.Run(), archive.Wait()); err != nil {
		return fmt.Errorf("extract %s: %w", rev, err)
	}
	return nil
}

// buildTree builds the image of an extracted tree, with the triggers in
// Dokku's order, then releases and deploys it.
func (c *call) buildTree(app, rev, tree string) error {
	if err := c.trigger(tree, "post-extract", app, tree, rev); err != nil {
		return err
	}
	builder := "dockerfile"
	if _, err := os.Stat(filepath.Join(tree, "Dockerfile")); err != nil {
		builder = "herokuish"
	}
	if err := c.trigger(tree, "pre-receive-app", app, builder, tree, rev); err != nil {
		return err
	}
	c.info1("Cleaning up...")
	released, neverReleased := c.ask("image", "inspect", "--format", "{{.Id}}", imageOf(app))
	if err := c.buildImage(app, builder, tree); err != nil {
		if neverReleased == nil {
			c.warn("Retagging old image %.12s as %s", released[min(len(released), len("sha256:")):], imageOf(app))
			_, _ = c.ask("image", "tag", released, imageOf(app))
		} else {
			c.warn("Removing invalid image tag %s", imageOf(app))
			_, _ = c.ask("image", "remove", "--force", "--no-prune", imageOf(app))
		}
		c.warn("App build failed")
		return err
	}
	err := c.h.changeApp(app, func(a *App) error { a.Builder = builder; return nil })
	if err != nil {
		return err
	}
	if err := c.keepProcfile(app, tree); err != nil {
		return err
	}
	return c.releaseAndDeploy(app, tree)
}

func (c *call) buildImage(app, builder, tree string) error {
	label := builder
	if builder == "dockerfile" {
		label = "Dockerfile"
	}
	c.info1("Building %s from %s", app, label)
	if err := c.trigger(tree, "pre-build", builder, app, tree); err != nil {
		return err
	}
	args := []string{"image", "build", "--label=org.label-schema.schema-version=1.0", "--label=org.label-schema.vendor=dokku",
		"--label=com.dokku.image-stage=build", "--label=com.dokku.builder-type=" + builder, "--label=com.dokku.app-name=" + app, "--label=dokku="}
	args = append(args, c.ours("--label=")...)
	if builder == "herokuish" {
		file, err := c.herokuish(tree)
		if err != nil {
			return err
		}
		defer os.Remove(file)
		args = append(args, "-f", file)
	}
	build := c.docker(append(args, "--tag", imageOf(app), tree)...)
	build.Stdout, build.Stderr = c.out, c.err
	if err := c.runToEnd(build); err != nil {
		return &failure{1, ""}
	}
	return c.inBuilder(app).trigger(tree, "post-build", builder, app, tree)
}

// inBuilder is the call with the app's config in its environment, as Dokku's
// builders export it before they build (config_export in builder-build).
func (c *call) inBuilder(app string) *call {
	a, err := c.h.loadApp(app)
	if err != nil {
		return c
	}
	inner := *c
	inner.env = slices.Clone(c.env)
	for _, name := range inOrder(a.Config) {
		inner.env = append(inner.env, name+"="+a.Config[name])
	}
	return &inner
}

// ours is the flag that marks what is made in a real engine as this sandbox's.
func (c *call) ours(flag string) []string {
	if !c.h.Docker {
		return nil
	}
	return []string{flag + c.h.labelled()}
}

// herokuish stands for the buildpack builder: the tree becomes /app as it is.
// It needs a Procfile, and the stand-in engine, whose programs are this
// machine's.
func (c *call) herokuish(tree string) (dockerfile string, err error) {
	if _, err := os.Stat(filepath.Join(tree, "Procfile")); err != nil {
		c.warn("Unable to select a buildpack")
		return "", &failure{1, ""}
	}
	if c.h.Docker {
		return "", fail("the sandbox has no buildpacks: on a real engine an app needs a Dockerfile")
	}
	f, err := os.CreateTemp("", "dokku-herokuish-")
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = f.WriteString("FROM scratch\nCOPY . /app\nWORKDIR /app\n")
	return f.Name(), err
}

// keepProcfile remembers the Procfile of the latest build, or that there is
// none.
func (c *call) keepProcfile(app, tree string) error {
	kept := c.h.lib("data/apps/" + app + ".Procfile")
	text, err := os.ReadFile(filepath.Join(tree, "Procfile"))
	if errors.Is(err, os.ErrNotExist) {
		text, err = nil, nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(kept, text, 0o644)
}
