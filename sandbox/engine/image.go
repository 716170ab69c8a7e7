package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sort"
	"strings"

	"github.com/dokku-backup/dokku-backup/sandbox/state"
)

// Image is an image as `docker image inspect` shows it; Sandbox holds what
// Docker would not show.
type Image struct {
	ID           string `json:"Id"`
	RepoTags     []string
	RepoDigests  []string
	Parent       string
	Created      string
	Config       Config
	Architecture string
	Os           string
	Size         int64
	Sandbox      ImagePrivate
}

// ImagePrivate is what the stand-in itself needs to know about an image.
type ImagePrivate struct {
	// Root is the folder with the image's files, "" for a database server's.
	Root string
	// Paths are the folders and files inside the container that Root holds.
	Paths []string
	// Postgres is the bin folder of the server that the image stands for.
	Postgres string
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func (e *Engine) imagePath(id string) string {
	return filepath.Join(e.Dir, "images", strings.TrimPrefix(id, "sha256:")+".json")
}

func (e *Engine) saveImage(i *Image) error { return state.Write(e.imagePath(i.ID), i) }

// images returns all images, the newest first.
func (e *Engine) images() ([]*Image, error) {
	ids, err := state.Names(filepath.Join(e.Dir, "images"))
	if err != nil {
		return nil, err
	}
	var all []*Image
	for _, id := range ids {
		i := &Image{}
		if err := state.Read(e.imagePath(id), i); err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Created > all[j].Created })
	return all, nil
}

// normalTag adds Docker's default tag to a reference that has none.
func normalTag(ref string) string {
	if strings.Contains(ref[strings.LastIndex(ref, "/")+1:], ":") {
		return ref
	}
	return ref + ":latest"
}

// image finds an image by tag or by (the start of) its id.
func (e *Engine) image(ref string) (*Image, error) {
	all, err := e.images()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if slices.Contains(i.RepoTags, normalTag(ref)) {
			return i, nil
		}
	}
	id := strings.TrimPrefix(ref, "sha256:")
	for _, i := range all {
		if len(id) >= 4 && strings.HasPrefix(strings.TrimPrefix(i.ID, "sha256:"), id) {
			return i, nil
		}
	}
	return nil, fmt.Errorf("image %q: %w", ref, ErrNotFound)
}

// tag makes name mean the image, and no other image any more.
func (e *Engine) tag(i *Image, name string) error {
	name = normalTag(name)
	all, err := e.images()
	if err != nil {
		return err
	}
	for _, other := range all {
		n := slices.Index(other.RepoTags, name)
		if n < 0 || other.ID == i.ID {
			continue
		}
		other.RepoTags = slices.Delete(other.RepoTags, n, n+1)
		if err := e.saveImage(other); err != nil {
			return err
		}
	}
	if !slices.Contains(i.RepoTags, name) {
		i.RepoTags = append(i.RepoTags, name)
	}
	return e.saveImage(i)
}

// PostgresServers maps each PostgreSQL that Debian's packages put on this
// machine, by full version such as 15.18, to its bin folder.
func PostgresServers() (map[string]string, error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return nil, err
	}
	servers := map[string]string{}
	for _, bin := range bins {
		out, err := exec.Command(bin, "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("ask %q for its version: %w", bin, err)
		}
		if m := regexp.MustCompile(`\(PostgreSQL\) (\d+\.\d+)`).FindSubmatch(out); m != nil {
			servers[string(m[1])] = filepath.Dir(bin)
		}
	}
	return servers, nil
}

// addPostgresImages makes an image postgres:VERSION for each server on this
// machine, with the settings of the official image.
func (e *Engine) addPostgresImages() error {
	servers, err := PostgresServers()
	if err != nil {
		return err
	}
	for version, bin := range servers {
		if _, err := e.image("postgres:" + version); err == nil {
			continue
		}
		major, _, _ := strings.Cut(version, ".")
		data := "/var/lib/postgresql/data"
		if len(major) == 2 && major >= "18" {
			data = "/var/lib/postgresql/" + major + "/docker"
		}
		sum := sha256.Sum256([]byte("postgres:" + version))
		i := &Image{ID: "sha256:" + hex.EncodeToString(sum[:]), Created: now(), Architecture: runtime.GOARCH, Os: "linux",
			Config: Config{
				Env: []string{"PATH=" + defaultPath + ":/usr/lib/postgresql/" + major + "/bin", "PGDATA=" + data,
					"LANG=en_US.utf8", "PG_MAJOR=" + major},
				Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"postgres"}, StopSignal: "SIGINT",
			},
			Sandbox: ImagePrivate{Postgres: bin}}
		if err := e.tag(i, "postgres:"+version); err != nil {
			return err
		}
	}
	return nil
}

// pull stands for a registry that holds every version of every PostgreSQL
// major that this machine has, and nothing else.
func (e *Engine) pull(ref string) (*Image, error) {
	if i, err := e.image(ref); err == nil {
		return i, nil
	}
	repo, tag, _ := strings.Cut(normalTag(ref), ":")
	major, _, _ := strings.Cut(tag, ".")
	all, err := e.images()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if repo == "postgres" && slices.Contains(i.Config.Env, "PG_MAJOR="+major) {
			return i, e.tag(i, ref)
		}
	}
	return nil, fmt.Errorf("manifest for %s not found: manifest unknown: manifest unknown: %w", normalTag(ref), ErrNotFound)
}

// removeImage takes the tag away, and the image when that was its last.
func (e *Engine) removeImage(i *Image, ref string) error {
	if n := slices.Index(i.RepoTags, normalTag(ref)); n >= 0 {
		i.RepoTags = slices.Delete(i.RepoTags, n, n+1)
	} else {
		i.RepoTags = nil
	}
	if len(i.RepoTags) > 0 {
		return e.saveImage(i)
	}
	if i.Sandbox.Root != "" {
		if err := os.RemoveAll(filepath.Dir(i.Sandbox.Root)); err != nil {
			return err
		}
	}
	return os.Remove(e.imagePath(i.ID))
}
