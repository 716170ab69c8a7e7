package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketDir is where a database container keeps its Unix socket; for any other
// container it names no folder, so that nothing reaches this machine's own.
func (e *Engine) socketDir(c *Container) string { return filepath.Join(e.runDir(), c.ID[:12]) }

// isServer reports whether c's main program is a database server, as the
// official image's entry point decides it.
func (c *Container) isServer() bool {
	return c.Path == "docker-entrypoint.sh" && (len(c.Args) == 0 || c.Args[0] == "postgres" || strings.HasPrefix(c.Args[0], "-"))
}

// initServer makes the cluster before a server's first start: what the
// official image's entry point does. Unlike there no address is trusted without
// a password, since 127.0.0.1 cannot be told from other addresses here.
func (e *Engine) initServer(c *Container) error {
	p, err := e.prepare(c, []string{"initdb"}, nil, "")
	if err != nil {
		return err
	}
	if err := e.serverFolders(c, p); err != nil {
		return err
	}
	data := envValue(p.Env, "PGDATA")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
		return nil
	}
	password := filepath.Join(e.socketDir(c), "password")
	if err := os.WriteFile(password, []byte(envValue(p.Env, "POSTGRES_PASSWORD")+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(password)
	// initdb need not care for a power cut before the cluster was ever used;
	// the server itself syncs as always.
	initdb := exec.Command(p.Argv[0], "-D", data, "-U", "postgres", "--pwfile="+password, "--no-sync",
		"-E", "UTF8", "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256")
	initdb.Env, initdb.Dir, initdb.SysProcAttr = p.Env, "/", &syscall.SysProcAttr{}
	become(initdb.SysProcAttr, p.User)
	if p.User != nil {
		if err := os.Chown(password, int(p.User[0]), int(p.User[1])); err != nil {
			return err
		}
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	hba, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer hba.Close()
	_, err = hba.WriteString("host all all all scram-sha-256\n")
	return err
}

// serverFolders makes the server's data and socket folders its user's own, and
// sets p's user.
func (e *Engine) serverFolders(c *Container, p *program) (err error) {
	if p.User, err = serverUser(); err != nil {
		return err
	}
	data := envValue(p.Env, "PGDATA")
	for _, dir := range []string{data, e.socketDir(c)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.Chmod(e.runDir(), 0o755); err != nil || p.User == nil {
		return err
	}
	own := func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(p.User[0]), int(p.User[1]))
	}
	return errors.Join(filepath.WalkDir(data, own), filepath.WalkDir(e.socketDir(c), own))
}

// server is the main program of a database container.
func (e *Engine) server(c *Container) (*program, error) {
	args := c.Args
	if len(args) > 0 && args[0] == "postgres" {
		args = args[1:]
	}
	p, err := e.prepare(c, []string{"postgres"}, nil, "")
	if err != nil {
		return nil, err
	}
	p.Argv = append([]string{p.Argv[0], "-D", envValue(p.Env, "PGDATA"), "-c", "listen_addresses=" + c.address(), "-c", "port=5432",
		"-c", "unix_socket_directories=" + e.socketDir(c)}, args...)
	// Its user may not pass through the folders above the container's own.
	p.WorkDir = "/"
	p.User, err = serverUser()
	return p, err
}

// become makes a process that attr starts another user's. It keeps the right
// to pass through folders, since a sandbox may lie in a private one.
func become(attr *syscall.SysProcAttr, user *[2]uint32) {
	if user != nil {
		attr.Credential = &syscall.Credential{Uid: user[0], Gid: user[1]}
		attr.AmbientCaps = []uintptr{unix.CAP_DAC_OVERRIDE}
	}
}

// envValue is the value of key in env, or "".
func envValue(env []string, key string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			return v
		}
	}
	return ""
}
