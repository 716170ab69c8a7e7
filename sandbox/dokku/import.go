package dokku

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/dokku-backup/dokku-backup/sandbox/postgres"
)

// pullImage brings an image. In a real engine one of PostgreSQL is made from
// this machine's files, since there may be no registry.
func (c *call) pullImage(image string) error {
	repo, tag, _ := strings.Cut(image, ":")
	if !c.h.Docker || repo != "postgres" {
		_, err := c.ask("pull", image)
		return err
	}
	server, err := postgres.OfTag(tag)
	if err != nil {
		return err
	}
	made := "postgres:" + server.Version
	if _, err := c.ask("image", "inspect", made); err != nil {
		if err := c.makePostgresImage(server, made); err != nil {
			return fmt.Errorf("make image %s: %w", made, err)
		}
	}
	_, err = c.ask("tag", made, image)
	return err
}

// makePostgresImage builds an image of an installed server that starts as the
// official one does. It stays in the engine: the next sandbox uses it too.
func (c *call) makePostgresImage(s postgres.Server, name string) error {
	dir, err := os.MkdirTemp("", "sandbox-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := writeRoot(filepath.Join(dir, "root.tar"), s); err != nil {
		return err
	}
	var dockerfile strings.Builder
	dockerfile.WriteString("FROM scratch\nADD root.tar /\n")
	for _, kv := range s.Env() {
		// The image has no locale but C.
		fmt.Fprintf(&dockerfile, "ENV %s\n", strings.Replace(kv, "en_US.utf8", "C.UTF-8", 1))
	}
	dockerfile.WriteString("EXPOSE 5432\nSTOPSIGNAL SIGINT\nENTRYPOINT [\"docker-entrypoint.sh\"]\nCMD [\"postgres\"]\n")
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile.String()), 0o644); err != nil {
		return err
	}
	_, err = c.ask("build", "-q", "-t", name, dir)
	return err
}

// entrypoint does what the official image's docker-entrypoint.sh does, as far
// as dokku-postgres needs it.
const entrypoint = `#!/bin/sh
set -e
case "$1" in -*) set -- postgres "$@" ;; esac
if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  chown -R postgres:postgres /var/lib/postgresql /var/run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
  initdb -U postgres --pwfile=/tmp/password --no-sync -E UTF8 --locale=C.UTF-8
  rm /tmp/password
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  printf "listen_addresses = '*'\n" >>"$PGDATA/postgresql.conf"
fi
exec "$@"
`

// programs are what the image has beside PostgreSQL.
var programs = []string{"bash", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "echo", "env", "false", "find", "grep", "gzip", "head",
	"id", "ls", "mkdir", "mkfifo", "mv", "printf", "ps", "rm", "sed", "setpriv", "sh", "sleep", "sort", "stat", "tail", "tar", "tee", "test",
	"touch", "tr", "true", "wc"}

// writeRoot writes the image's files as a tar: the server, a few programs, the
// libraries of all of them, time zones, and who is who.
func writeRoot(path string, s postgres.Server) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	t := &root{Writer: tar.NewWriter(out), has: map[string]bool{}}
	// Debian's /bin and /lib are links into /usr.
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := t.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: "usr/" + name, Mode: 0o777}); err != nil {
			return err
		}
	}
	files, err := serverFiles(s)
	if err != nil {
		return err
	}
	for _, p := range programs {
		if found, err := exec.LookPath(p); err == nil && !strings.HasPrefix(found, "/usr/local") {
			files = append(files, found)
		}
	}
	libraries, err := librariesOf(files)
	if err != nil {
		return err
	}
	for _, f := range append(files, libraries...) {
		if err := t.copy(f); err != nil {
			return err
		}
	}
	for _, dir := range []string{"var/lib/postgresql/", "var/run/postgresql/"} {
		if err := t.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755, Uid: 999, Gid: 999}); err != nil {
			return err
		}
	}
	if err := t.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n",
		"etc/group":  "root:x:0:\npostgres:x:999:\n", "usr/local/bin/docker-entrypoint.sh": entrypoint,
	} {
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			return err
		}
		if _, err := io.WriteString(t, text); err != nil {
			return err
		}
	}
	return t.Close()
}

// serverFiles are the files of a server, without what needs another language.
func serverFiles(s postgres.Server) ([]string, error) {
	var files []string
	other := regexp.MustCompile(`/(bitcode|pgxs|llvmjit|plperl|plpython|pltcl|[^/]*_plperl|[^/]*_plpython)`)
	for _, dir := range []string{filepath.Dir(s.Bin), fmt.Sprintf("/usr/share/postgresql/%d", s.Major), "/usr/share/zoneinfo", "/usr/lib/locale/C.utf8"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !other.MatchString(path) {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// librariesOf asks ldd which shared libraries programs and libraries need.
func librariesOf(files []string) ([]string, error) {
	dynamic := slices.DeleteFunc(slices.Clone(files), func(f string) bool {
		return strings.HasPrefix(f, "/usr/share/") || strings.HasSuffix(f, ".a") || strings.HasSuffix(f, ".control") || strings.HasSuffix(f, ".sql")
	})
	// It fails when one of the files is a script; the others are told anyway.
	out, err := exec.Command("ldd", dynamic...).Output()
	if len(out) == 0 {
		return nil, fmt.Errorf("ask for shared libraries: %w", err)
	}
	var libraries []string
	for _, m := range regexp.MustCompile(`(?m)(/\S+) \(0x`).FindAllSubmatch(out, -1) {
		libraries = append(libraries, string(m[1]))
	}
	return libraries, nil
}

// root is a tar of files under the names that they have on this machine.
type root struct {
	*tar.Writer
	has map[string]bool
}

// copy adds a file, with its content where it is a link.
func (t *root) copy(path string) error {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return err
	}
	if path = filepath.Join(dir, filepath.Base(path)); t.has[path] {
		return nil
	}
	t.has[path] = true
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	h := &tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}
