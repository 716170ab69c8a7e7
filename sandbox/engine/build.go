package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// build is one `docker build`: it carries out FROM, COPY, ADD, WORKDIR, ENV,
// EXPOSE, CMD, ENTRYPOINT, USER, LABEL and ARG of the Dockerfile's last stage.
// RUN is not carried out, except that `RUN false` fails.
type build struct {
	e       *Engine
	context string
	root    string
	args    map[string]string
	image   *Image
	base    string // id of the image built upon, "" for scratch
	copies  bool
	out     io.Writer
}

// Build makes an image from a Dockerfile and a folder, with more labels, and
// names it. Its id depends on the app's name and the folder's content only.
func (e *Engine) Build(dockerfile, context, tag string, labels, args map[string]string, out io.Writer) (*Image, error) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return nil, fmt.Errorf("unable to prepare context: %w", err)
	}
	stage, err := os.MkdirTemp(filepath.Join(e.Dir, "images"), ".build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(stage)
	b := &build{e: e, context: context, root: filepath.Join(stage, "root"), args: args, out: out}
	b.image = &Image{Created: now(), Architecture: runtime.GOARCH, Os: "linux"}
	if err := os.Mkdir(b.root, 0o755); err != nil {
		return nil, err
	}
	steps := instructions(string(text))
	for n, s := range steps {
		fmt.Fprintf(out, "Step %d/%d : %s\n", n+1, len(steps), s)
		name, rest, _ := strings.Cut(s, " ")
		if err := b.step(strings.ToUpper(name), strings.TrimSpace(rest)); err != nil {
			return nil, err
		}
	}
	return b.finish(stage, tag, labels)
}

// finish gives the built files their id and their place.
func (b *build) finish(stage, tag string, labels map[string]string) (*Image, error) {
	unlock, err := b.e.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	i := b.image
	i.ID = b.base
	if b.copies || b.base == "" {
		sum := sha256.New()
		fmt.Fprintf(sum, "%s\n%s\n", labels["com.dokku.app-name"], b.base)
		if err := digestTree(sum, b.context); err != nil {
			return nil, err
		}
		i.ID = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	}
	home := strings.TrimSuffix(b.e.imagePath(i.ID), ".json")
	if old, err := b.e.image(i.ID); err == nil {
		i.Created, i.RepoTags = old.Created, old.RepoTags
	} else if err := os.Rename(stage, home); err != nil {
		return nil, err
	}
	if i.ID != b.base || i.Sandbox.Root == "" {
		i.Sandbox.Root = filepath.Join(home, "root")
	}
	all := map[string]string{}
	for _, m := range []map[string]string{i.Config.Labels, labels} {
		for k, v := range m {
			all[k] = v
		}
	}
	i.Config.Labels = all
	fmt.Fprintf(b.out, "Successfully built %s\n", strings.TrimPrefix(i.ID, "sha256:")[:12])
	if tag == "" {
		return i, b.e.saveImage(i)
	}
	fmt.Fprintf(b.out, "Successfully tagged %s\n", normalTag(tag))
	return i, b.e.tag(i, tag)
}

// instructions are a Dockerfile's lines without comments, continued lines
// joined.
func instructions(text string) []string {
	var steps []string
	more := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		part, continued := strings.CutSuffix(line, `\`)
		if more {
			steps[len(steps)-1] += strings.TrimSpace(part)
		} else {
			steps = append(steps, part)
		}
		more = continued
	}
	return steps
}

func (b *build) step(name, rest string) error {
	rest = os.Expand(rest, func(k string) string {
		if v, ok := b.args[k]; ok {
			return v
		}
		if v := envValue(b.image.Config.Env, k); v != "" {
			return v
		}
		return "$" + k
	})
	c := &b.image.Config
	switch name {
	case "FROM":
		return b.from(strings.Fields(rest)[0])
	case "COPY", "ADD":
		return b.copy(strings.Fields(rest))
	case "RUN":
		if rest == "false" {
			//lint:ignore ST1005 Docker's own words
			return fmt.Errorf("The command '/bin/sh -c false' returned a non-zero code: 1")
		}
	case "WORKDIR":
		c.WorkingDir = b.inside(rest)
		b.image.Sandbox.Paths = append(b.image.Sandbox.Paths, c.WorkingDir)
		return os.MkdirAll(filepath.Join(b.root, c.WorkingDir), 0o755)
	case "ENV", "LABEL":
		k, v, ok := strings.Cut(rest, "=")
		if !ok {
			k, v, _ = strings.Cut(rest, " ")
		}
		v = strings.Trim(strings.TrimSpace(v), `"`)
		if name == "ENV" {
			c.Env = mergeEnv([]string{k + "=" + v}, c.Env)
			return nil
		}
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[k] = v
	case "EXPOSE":
		port, _, _ := strings.Cut(rest, "/")
		c.ExposedPorts = map[string]struct{}{port + "/tcp": {}}
	case "CMD":
		c.Cmd = command(rest)
	case "ENTRYPOINT":
		c.Entrypoint = command(rest)
	case "USER":
		c.User = rest
	}
	return nil
}

// command reads the exec form or the shell form of CMD and ENTRYPOINT.
func command(s string) []string {
	var argv []string
	if json.Unmarshal([]byte(s), &argv) == nil {
		return argv
	}
	return []string{"/bin/sh", "-c", s}
}

// from starts a stage anew on the named image.
func (b *build) from(ref string) error {
	b.image.Config, b.image.Sandbox, b.base, b.copies = Config{}, ImagePrivate{}, "", false
	if err := os.RemoveAll(b.root); err != nil {
		return err
	}
	if ref == "scratch" {
		return os.Mkdir(b.root, 0o755)
	}
	base, err := b.e.pull(ref)
	if err != nil {
		return fmt.Errorf("pull access denied for %s, repository does not exist or may require 'docker login'", ref)
	}
	b.image.Config, b.image.Sandbox, b.base = base.Config, base.Sandbox, base.ID
	// The image's own files only: an app's image is no database server's.
	b.image.Sandbox.Postgres = ""
	if base.Sandbox.Postgres != "" {
		b.base, b.image.Config.Entrypoint, b.copies = base.ID, nil, true
	}
	if base.Sandbox.Root == "" {
		return os.Mkdir(b.root, 0o755)
	}
	return copyInto(base.Sandbox.Root, b.root)
}

// inside makes a path of the Dockerfile absolute.
func (b *build) inside(path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join("/", b.image.Config.WorkingDir, path)
	}
	return filepath.Clean(path)
}

func (b *build) copy(words []string) error {
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		if strings.HasPrefix(words[0], "--from") {
			return fmt.Errorf("the sandbox cannot build stages: %s", strings.Join(words, " "))
		}
		words = words[1:]
	}
	if len(words) < 2 {
		return fmt.Errorf("COPY needs a source and a destination")
	}
	b.copies = true
	sources, to := words[:len(words)-1], words[len(words)-1]
	target := b.inside(to)
	for _, src := range sources {
		from := filepath.Join(b.context, src)
		info, err := os.Stat(from)
		if err != nil {
			return fmt.Errorf("COPY failed: file not found in build context or excluded by .dockerignore: stat %s: file does not exist", src)
		}
		dest := target
		if info.IsDir() {
			if err := copyInto(from, filepath.Join(b.root, dest)); err != nil {
				return err
			}
		} else {
			if at, err := os.Stat(filepath.Join(b.root, dest)); strings.HasSuffix(to, "/") || err == nil && at.IsDir() {
				dest = filepath.Join(dest, filepath.Base(src))
			}
			if err := copyFile(from, filepath.Join(b.root, dest), info.Mode()); err != nil {
				return err
			}
		}
		if err := b.holds(dest); err != nil {
			return err
		}
	}
	return nil
}

// holds notes which paths inside the container the image's files have.
func (b *build) holds(path string) error {
	paths := []string{path}
	if path == "/" {
		entries, err := os.ReadDir(b.root)
		if err != nil {
			return err
		}
		paths = nil
		for _, e := range entries {
			paths = append(paths, "/"+e.Name())
		}
	}
	b.image.Sandbox.Paths = append(b.image.Sandbox.Paths, paths...)
	return nil
}

func copyFile(from, to string, mode fs.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, mode.Perm())
}

// digestTree hashes names, kinds and content of what dir holds.
func digestTree(to io.Writer, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(to, "%s %o %d\n", name, info.Mode()&(fs.ModeSymlink|0o100), info.Size())
		if !info.Mode().IsRegular() {
			target, _ := os.Readlink(path)
			fmt.Fprintln(to, target)
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(to, f)
		return err
	})
}
