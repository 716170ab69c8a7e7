package dokku

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Container is what `docker inspect` says of a container.
type Container struct {
	ID       string
	Name     string // without Docker's leading slash
	ImageID  string // sha256:...
	Image    string // as it was asked for, such as postgres:15.18
	Created  time.Time
	Running  bool
	Status   string // running, exited, created ...
	Env      map[string]string
	Labels   map[string]string
	Networks []Network // Docker's default network first, then by name
	Mounts   []Mount
}

// Network is a container's place in one network.
type Network struct {
	Name    string
	Address string // IPv4, else IPv6; empty when not running
}

// Mount is a folder of the host, or a volume, inside a container.
type Mount struct {
	Source      string `json:"Source"`
	Destination string `json:"Destination"`
}

// Image is what `docker inspect` says of an image.
type Image struct {
	ID      string    // sha256:...
	Created time.Time // zero when it is not a real time: buildpacks write 1980; a release without a build renews it
	Env     map[string]string
	Labels  map[string]string
	Layers  []string // digests of the file system's layers, the lowest first

	built time.Time // when the newest layer that holds files was made; zero when not known
}

// Address is the first address at which the host can reach the container, empty when there is none.
func (c Container) Address() string {
	for _, n := range c.Networks {
		if n.Address != "" {
			return n.Address
		}
	}
	return ""
}

// Container inspects one container. One that does not exist matches ErrNotFound.
func (h *Host) Container(ctx context.Context, idOrName string) (Container, error) {
	out, err := h.inspect(ctx, idOrName)
	if err != nil {
		return Container{}, fmt.Errorf("inspect container %q: %w", idOrName, err)
	}
	found, err := parseContainers(out)
	if err != nil {
		return Container{}, fmt.Errorf("inspect container %q: %w", idOrName, err)
	}
	if len(found) != 1 {
		return Container{}, fmt.Errorf("inspect container %q: %w", idOrName, ErrNotFound)
	}
	return found[0], nil
}

// Image inspects one image by id or reference. One that does not exist matches ErrNotFound.
func (h *Host) Image(ctx context.Context, ref string) (Image, error) {
	out, err := h.inspect(ctx, ref)
	if err != nil {
		return Image{}, fmt.Errorf("inspect image %q: %w", ref, err)
	}
	image, err := parseImage(out)
	if err != nil {
		return Image{}, fmt.Errorf("inspect image %q: %w", ref, err)
	}
	return image, nil
}

// builtAt is when the newest layer that holds files was made. Unlike Image.Created it is not renewed when Dokku releases
// an image again, which only puts labels on: that is what a start after a stop does. It is zero when not known, as for
// herokuish, whose releases add files.
func (h *Host) builtAt(ctx context.Context, image Image) time.Time {
	if image.Labels["com.dokku.builder-type"] == "herokuish" {
		return time.Time{}
	}
	out, err := h.Run(ctx, h.docker("history", "--no-trunc", "--human=false", "--format", "{{.CreatedAt}} {{.Size}}", image.ID))
	if err != nil {
		return time.Time{} // one piece of evidence less, no more
	}
	return parseHistory(out)
}

func parseHistory(out []byte) time.Time {
	var newest time.Time
	for line := range strings.Lines(string(out)) {
		created, size, _ := strings.Cut(strings.TrimSpace(line), " ")
		t, err := time.Parse(time.RFC3339, created)
		if err == nil && size != "0" && t.After(newest) && t.After(firstDocker) {
			newest = t.UTC()
		}
	}
	return newest
}

// Containers are the app's containers that serve or served its processes, stopped ones included; not those of
// `dokku run`, cron tasks, builds and release tasks: those lack the second label or have another value. Source:
// plugins/scheduler-docker-local/scheduler-deploy, since before Dokku 0.30.
func (h *Host) Containers(ctx context.Context, app string) ([]Container, error) {
	return h.ListByLabel(ctx, "com.dokku.app-name="+app, "com.dokku.container-type=deploy")
}

// listTries is how often ListByLabel looks again when a container was removed while it looked.
const listTries = 3

// ListByLabel are the containers, stopped ones included, that have all the labels, each given as "key" or "key=value".
func (h *Host) ListByLabel(ctx context.Context, labels ...string) ([]Container, error) {
	for try := 1; ; try++ {
		out, err := h.Run(ctx, h.listByLabel(labels))
		if err != nil {
			return nil, fmt.Errorf("list containers: %w", err)
		}
		ids := strings.Fields(string(out))
		if len(ids) == 0 {
			return nil, nil
		}
		out, err = h.inspect(ctx, ids...)
		if errors.Is(err, ErrNotFound) && try < listTries {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("inspect containers: %w", err)
		}
		return parseContainers(out)
	}
}

func (h *Host) listByLabel(labels []string) []string {
	argv := h.docker("ps", "--all", "--quiet", "--no-trunc")
	for _, label := range labels {
		argv = append(argv, "--filter", "label="+label)
	}
	return argv
}

func (h *Host) inspect(ctx context.Context, refs ...string) ([]byte, error) {
	out, err := h.Run(ctx, h.docker(append([]string{"inspect"}, refs...)...))
	var failed *RunError
	if errors.As(err, &failed) && noSuch(failed) {
		return nil, ErrNotFound
	}
	return out, err
}

// noSuch tells whether the engine did not know what it was asked for.
func noSuch(failed *RunError) bool {
	return strings.Contains(strings.ToLower(failed.Detail), "no such")
}

// inspected is the part of Docker's JSON that is used, of a container and of an image.
type inspected struct {
	ID      string `json:"Id"`
	Name    string
	Image   string
	Created string // RFC 3339; an image may have none
	State   *struct {
		Status  string
		Running bool
	}
	Config struct {
		Image  string
		Env    []string
		Labels map[string]string
	}
	HostConfig      struct{ NetworkMode string }
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
	}
	Mounts []Mount
	RootFS struct{ Layers []string }
}

func parseContainers(out []byte) ([]Container, error) {
	var all []inspected
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&all); err != nil {
		return nil, fmt.Errorf("read the engine's answer: %w", err)
	}
	var containers []Container
	for _, in := range all {
		if in.State == nil {
			continue // an image or a network of that name
		}
		created, _ := time.Parse(time.RFC3339Nano, in.Created)
		containers = append(containers, Container{
			ID: in.ID, Name: strings.TrimPrefix(in.Name, "/"),
			ImageID: in.Image, Image: in.Config.Image,
			Created: created, Running: in.State.Running, Status: in.State.Status,
			Env: parseEnv(in.Config.Env), Labels: in.Config.Labels,
			Networks: in.networks(), Mounts: in.Mounts,
		})
	}
	return containers, nil
}

func (in inspected) networks() []Network {
	var networks []Network
	for name, n := range in.NetworkSettings.Networks {
		address := n.IPAddress
		if address == "" {
			address = n.GlobalIPv6Address
		}
		if in.HostConfig.NetworkMode == "host" && in.State.Running {
			address = "127.0.0.1"
		}
		networks = append(networks, Network{name, address})
	}
	slices.SortFunc(networks, func(a, b Network) int {
		if (a.Name == "bridge") != (b.Name == "bridge") {
			if a.Name == "bridge" {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return networks
}

// firstDocker is older than any image: an earlier creation time is a fixed one for reproducible builds.
var firstDocker = time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)

func parseImage(out []byte) (Image, error) {
	var all []inspected
	if err := json.Unmarshal(out, &all); err != nil {
		return Image{}, fmt.Errorf("read the engine's answer: %w", err)
	}
	if len(all) != 1 || all[0].State != nil {
		return Image{}, ErrNotFound
	}
	in := all[0]
	created, err := time.Parse(time.RFC3339Nano, in.Created)
	if err != nil || created.Before(firstDocker) {
		created = time.Time{}
	}
	return Image{
		ID: in.ID, Created: created,
		Env: parseEnv(in.Config.Env), Labels: in.Config.Labels, Layers: in.RootFS.Layers,
	}, nil
}

func parseEnv(env []string) map[string]string {
	m := make(map[string]string, len(env))
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		m[name] = value
	}
	return m
}

// EngineVersion is the version of the Docker engine that answers.
func (h *Host) EngineVersion(ctx context.Context) (string, error) {
	out, err := h.Run(ctx, h.docker("version", "--format", "{{.Server.Version}}"))
	return strings.TrimSpace(string(out)), err
}
