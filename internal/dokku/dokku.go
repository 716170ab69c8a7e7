// Package dokku is the host: what Dokku and Docker know about services, apps, containers and images, and which commit
// of an app really runs. Start at New; Find and Info lead to a service, App and Deployed to an app, Container and
// HelperRun to the engine. Everything is asked through the `dokku` and `docker` programs, and asking changes nothing: apart from
// its helper containers the package then writes in one place only, the Ledger.
//
// What a restore changes on the host is what begins with a verb that says so: CreateService and CreateApp to start with, SetConfig
// and its like, SyncCode, Link, Build. DestroyService, DestroyApp and RemoveNetwork remove only what bears the mark of their
// restore (MarkKey).
package dokku

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Host is one Dokku host as the environment of a plugin describes it. It is safe for concurrent use.
type Host struct {
	LibRoot        string // DOKKU_LIB_ROOT: plugins, properties and data
	LibHostRoot    string // DOKKU_LIB_HOST_ROOT: LibRoot as the Docker engine sees it, for bind mounts
	Root           string // DOKKU_ROOT: a bare repository an app
	LogsDir        string // DOKKU_LOGS_DIR
	PluginsEnabled string // PLUGIN_ENABLED_PATH
	Docker         string // DOCKER_BIN
	Dokku          string // the dokku program

	pid     string   // DOKKU_PID: the dokku run that called this program, empty outside of one
	environ []string // for child processes, cleaned
}

// New describes the host by an environment such as os.Environ gives, with Dokku's own defaults where a variable is not
// set (source: the `dokku` script and the `config` file of the official datastore plugins).
func New(environ []string) *Host {
	env := make(map[string]string, len(environ))
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	get := func(name, fallback string) string {
		if env[name] != "" {
			return env[name]
		}
		return fallback
	}
	lib := get("DOKKU_LIB_ROOT", "/var/lib/dokku")
	return &Host{
		LibRoot:        lib,
		LibHostRoot:    get("DOKKU_LIB_HOST_ROOT", lib),
		Root:           get("DOKKU_ROOT", "/home/dokku"),
		LogsDir:        get("DOKKU_LOGS_DIR", "/var/log/dokku"),
		PluginsEnabled: get("PLUGIN_ENABLED_PATH", filepath.Join(get("PLUGIN_PATH", filepath.Join(lib, "plugins")), "enabled")),
		Docker:         get("DOCKER_BIN", "docker"),
		Dokku:          "dokku",
		pid:            env["DOKKU_PID"],
		environ:        cleanEnviron(environ),
	}
}

// DataDir is where this plugin keeps its data.
func (h *Host) DataDir() string { return filepath.Join(h.LibRoot, "data", "backup") }

// Repository is the app's bare git repository.
func (h *Host) Repository(app string) string { return filepath.Join(h.Root, app) }

// HostPath is path as the Docker engine sees it, which is what a bind mount needs: the two differ where Dokku itself
// runs in a container.
func (h *Host) HostPath(path string) string {
	rel, err := filepath.Rel(h.LibRoot, path)
	if err != nil || !filepath.IsLocal(rel) {
		return path
	}
	return filepath.Join(h.LibHostRoot, rel)
}

// Version is Dokku's version, such as 0.38.27. A Dokku older than 0.30 is a backup.Problem matching ErrOldDokku.
func (h *Host) Version(ctx context.Context) (string, error) {
	out, err := h.Run(ctx, h.dokku("version"))
	if err != nil {
		return "", err
	}
	version := strings.TrimPrefix(strings.TrimSpace(string(out)), "dokku version ")
	if tooOld(version) {
		return "", &backup.Problem{
			Message: fmt.Sprintf("Dokku %s is too old: version 0.30 or later is needed", version),
			Hints:   []string{"upgrade it as described at https://dokku.com/docs/getting-started/upgrading/"},
			Err:     ErrOldDokku,
		}
	}
	return version, nil
}

// tooOld tells whether version is below 0.30. What is not a number, such as a development build, is not too old.
func tooOld(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	m, err := strconv.Atoi(minor)
	return major == "0" && err == nil && m < 30
}

func (h *Host) dokku(args ...string) []string { return append([]string{h.Dokku}, args...) }

func (h *Host) docker(args ...string) []string { return append([]string{h.Docker}, args...) }
