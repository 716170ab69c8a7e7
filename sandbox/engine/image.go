package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"

	"github.com/dokku-backup/dokku-backup/sandbox/postgres"
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

// addPostgresImages makes an image postgres:VERSION for each server on this
// machine, with the settings of the official image.
func (e *Engine) addPostgresImages() error {
	servers, err := postgres.Servers()
	if err != nil {
		return err
	}
	for _, s := range servers {
		if _, err := e.image("postgres:" + s.Version); err == nil {
			continue
		}
		sum := sha256.Sum256([]byte("postgres:" + s.Version))
		i := &Image{ID: "sha256:" + hex.EncodeToString(sum[:]), Created: now(), Architecture: runtime.GOARCH, Os: "linux",
			Config: Config{Env: s.Env(), Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"postgres"}, StopSignal: "SIGINT",
				ExposedPorts: map[string]struct{}{"5432/tcp": {}}},
			Sandbox: ImagePrivate{Postgres: s.Bin}}
		if err := e.tag(i, "postgres:"+s.Version); err != nil {
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
	if s, err := postgres.OfTag(tag); err == nil && repo == "postgres" {
		i, err := e.image("postgres:" + s.Version)
		if err != nil {
			return nil, err
		}
		return i, e.tag(i, ref)
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
