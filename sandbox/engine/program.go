package engine

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// program is what a shim starts: one process of this machine that stands for
// one inside a container.
type program struct {
	// Container is the id of the container whose main program this is, or ""
	// for one started by `docker exec`.
	Container string
	// Lock is held while the program runs; one from `docker exec` adds its
	// shim's process id to the path. Dir is the engine's folder.
	Lock, Dir string
	Argv, Env []string
	WorkDir   string
	// User is the uid and gid to become, or nil to stay.
	User *[2]uint32
	// Stdin says whether the program reads what the docker command is given.
	Stdin bool
	// Log receives the output, "" for none; Attached says that the docker
	// command does.
	Log      string
	Attached bool
}

// where holds the facts that arguments and environment are rewritten by.
type where struct {
	roots []Mount           // folders inside the container -> this machine's
	peers map[string]string // host names -> addresses
	own   string            // the address that stands for 127.0.0.1
}

// rewrite makes s, written for the inside of a container, mean the same on
// this machine.
func (w where) rewrite(s string) string {
	for _, m := range w.roots {
		if m.Destination == "/" {
			continue
		}
		path := regexp.MustCompile(`(^|^-[A-Za-z]|[\s'"=:<>(,])` + regexp.QuoteMeta(m.Destination) + `($|[/\s'"):&;|,])`)
		s = path.ReplaceAllString(s, "${1}"+escape(m.Source)+"${2}")
	}
	names := make([]string, 0, len(w.peers))
	for name := range w.peers {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		s = replaceHost(s, regexp.QuoteMeta(name), w.peers[name])
	}
	if w.own != "" {
		s = replaceHost(s, `127\.0\.0\.1|localhost`, w.own)
	}
	return s
}

// replaceHost replaces a host name that stands alone, after an option letter,
// or in a URL or connection string.
func replaceHost(s, pattern, address string) string {
	host := regexp.MustCompile(`(^|^-h|[@=\s'"/,])(?:` + pattern + `)($|[:/\s'"?,])`)
	return host.ReplaceAllString(s, "${1}"+escape(address)+"${2}")
}

func escape(replacement string) string { return strings.ReplaceAll(replacement, "$", "$$") }

// whereIs collects the rewriting facts for programs of c. own is the address
// that 127.0.0.1 means in it.
func (e *Engine) whereIs(c *Container) (where, error) {
	all, err := e.Containers()
	if err != nil {
		return where{}, err
	}
	w := where{own: c.address(), peers: e.peers(c, all)}
	w.roots = append(w.roots, c.Mounts...)
	w.roots = append(w.roots, c.Sandbox.Roots...)
	sort.SliceStable(w.roots, func(i, j int) bool { return len(w.roots[i].Destination) > len(w.roots[j].Destination) })
	if ref, ok := strings.CutPrefix(c.HostConfig.NetworkMode, "container:"); ok {
		target, err := e.Container(ref)
		if err != nil {
			return where{}, err
		}
		w.own, w.peers = target.address(), e.peers(target, all)
	}
	return w, nil
}

// prepare makes the program that argv means inside c, with extra environment
// entries and as the given user ("" is the container's).
func (e *Engine) prepare(c *Container, argv, env []string, as string) (*program, error) {
	w, err := e.whereIs(c)
	if err != nil {
		return nil, err
	}
	p := &program{Dir: e.Dir, WorkDir: c.Sandbox.WorkDir}
	values := map[string]string{"PATH": defaultPath, "HOME": "/root", "HOSTNAME": c.Config.Hostname, "PGHOST": e.socketDir(c)}
	for _, kv := range append(append([]string{}, c.Config.Env...), env...) {
		k, v, _ := strings.Cut(kv, "=")
		values[k] = w.rewrite(v)
	}
	if c.Sandbox.Postgres != "" {
		values["PATH"] = c.Sandbox.Postgres + ":" + values["PATH"]
	}
	if c.address() != "" {
		values["BIND"] = c.address()
	}
	// A locale that this machine lacks would only bring warnings.
	if values["LANG"] == "en_US.utf8" {
		values["LANG"] = "C.UTF-8"
	}
	for k, v := range values {
		p.Env = append(p.Env, k+"="+v)
	}
	sort.Strings(p.Env)
	for _, a := range argv {
		p.Argv = append(p.Argv, w.rewrite(a))
	}
	p.Argv = plainUser(p.Argv)
	found, err := lookPath(p.Argv[0], values["PATH"], p.WorkDir)
	if err != nil {
		return nil, err
	}
	p.Argv[0] = found
	p.User = numericUser(as)
	return p, nil
}

// plainUser drops the change of user that the official image's programs are
// often called through: there is one user here.
func plainUser(argv []string) []string {
	switch {
	case len(argv) > 2 && (argv[0] == "gosu" || argv[0] == "su-exec"):
		return argv[2:]
	case argv[0] == "su":
		for i, a := range argv {
			if a == "-c" && i+1 < len(argv) {
				return []string{"sh", "-c", argv[i+1]}
			}
		}
	}
	return argv
}

// numericUser reads "uid[:gid]"; only root can become somebody else, and names
// mean nothing outside their image.
func numericUser(as string) *[2]uint32 {
	u, g, both := strings.Cut(as, ":")
	uid, err := strconv.ParseUint(u, 10, 32)
	if err != nil || os.Getuid() != 0 {
		return nil
	}
	gid := uint64(0)
	if both {
		if gid, err = strconv.ParseUint(g, 10, 32); err != nil {
			return nil
		}
	}
	return &[2]uint32{uint32(uid), uint32(gid)}
}

// serverUser is the user that a database server runs as: PostgreSQL refuses
// root. It is nil for an ordinary user, who can run it.
func serverUser() (*[2]uint32, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return numericUser(u.Uid + ":" + u.Gid), nil
		}
	}
	return nil, fmt.Errorf("no user postgres or nobody to run a database server as")
}

// missingProgram is the error for a program that a container does not have.
type missingProgram struct{ name string }

func (m missingProgram) Error() string {
	return fmt.Sprintf("unable to start container process: exec: %q: executable file not found in $PATH: unknown", m.name)
}

func lookPath(name, path, dir string) (string, error) {
	if strings.Contains(name, "/") {
		full := name
		if !filepath.IsAbs(full) {
			full = filepath.Join(dir, name)
		}
		if _, err := exec.LookPath(full); err != nil {
			return "", missingProgram{name}
		}
		return full, nil
	}
	for _, d := range filepath.SplitList(path) {
		if full, err := exec.LookPath(filepath.Join(d, name)); err == nil {
			return full, nil
		}
	}
	return "", missingProgram{name}
}
