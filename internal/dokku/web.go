package dokku

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Web is the address, as IP:port, at which this host reaches the app's web process without the proxy: the newest running web
// container. The error matches ErrNotFound when none runs.
func (h *Host) Web(ctx context.Context, app string) (string, error) {
	containers, err := h.Containers(ctx, app)
	if err != nil {
		return "", err
	}
	var web Container
	for _, c := range containers {
		if c.Running && c.Labels["com.dokku.process-type"] == "web" && c.Address() != "" && !c.Created.Before(web.Created) {
			web = c
		}
	}
	if web.ID == "" {
		return "", fmt.Errorf("look for a web process of app %q: %w", app, ErrNotFound)
	}
	port := web.Env["PORT"]
	if port == "" { // Dokku sets it from the first port map that has a port of the container
		if port, err = h.webPort(ctx, app); err != nil {
			return "", err
		}
	}
	return net.JoinHostPort(web.Address(), port), nil
}

// Domains are those that the proxy serves the app under.
func (h *Host) Domains(ctx context.Context, app string) ([]string, error) {
	a := &App{Name: app}
	err := h.report(ctx, "domains:report", app, a.parseDomains)
	return a.Domains, err
}

// webPort is the container's port in the app's port maps; those set by hand come first. 5000 is Dokku's own default.
func (h *Host) webPort(ctx context.Context, app string) (string, error) {
	a := &App{Name: app}
	err := h.report(ctx, "ports:report", app, a.parsePorts)
	if unknownCommand(err) { // Dokku 0.30
		err = h.report(ctx, "proxy:report", app, a.parsePorts)
	}
	if err != nil {
		return "", err
	}
	for _, m := range append(a.Ports, a.PortsDetected...) {
		if parts := strings.Split(m, ":"); len(parts) == 3 {
			return parts[2], nil
		}
	}
	return "5000", nil
}

// Processes counts the app's running containers by process type, those aside that a deploy has replaced and that end within a
// minute.
func (h *Host) Processes(ctx context.Context, app string) (map[string]int, error) {
	containers, err := h.Containers(ctx, app)
	if err != nil {
		return nil, err
	}
	return countProcesses(app, containers), nil
}

// countProcesses goes by the containers' names. Dokku names them app.type.number, and adds a time to those that are replaced.
func countProcesses(app string, containers []Container) map[string]int {
	running := map[string]int{}
	for _, c := range containers {
		typ := c.Labels["com.dokku.process-type"]
		number, is := strings.CutPrefix(c.Name, app+"."+typ+".")
		if _, err := strconv.Atoi(number); is && err == nil && c.Running {
			running[typ]++
		}
	}
	return running
}

// FreeSpace is how many bytes are free for the data of new services.
func (h *Host) FreeSpace() (int64, error) {
	dir := h.servicesDir()
	var stat unix.Statfs_t
	err := unix.Statfs(dir, &stat)
	if errors.Is(err, unix.ENOENT) { // no service was ever made
		dir = h.LibRoot
		err = unix.Statfs(dir, &stat)
	}
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * stat.Bsize, nil
}

// HasImage tells whether the engine has the image.
func (h *Host) HasImage(ctx context.Context, ref string) (bool, error) {
	_, err := h.Run(ctx, h.docker("image", "inspect", "--format", "{{.Id}}", ref))
	var failed *RunError
	if errors.As(err, &failed) && noSuch(failed) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for image %s: %w", ref, err)
	}
	return true, nil
}

// PullImage gets an image from its registry. One that cannot be had is a backup.Problem matching ErrNoImage.
func (h *Host) PullImage(ctx context.Context, ref string) error {
	_, err := h.Run(ctx, h.docker("pull", "--quiet", ref))
	var failed *RunError
	if errors.As(err, &failed) {
		return noImage(ref, failed)
	}
	return err
}
