// Package dokku is the sandbox's stand-in for Dokku itself: the command lines
// `dokku` and `plugn`, and the triggers that Dokku fires at its plugins.
//
// It answers as Dokku 0.38.27 with dokku-postgres 1.48.0 do (the transcripts in
// testdata), and keeps one JSON file for each app and each service. Containers,
// images and networks are the business of whatever `docker` is: the stand-in
// of package engine or a real engine; this package calls the command only.
// Start at CLI.
package dokku

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dokku-backup/dokku-backup/sandbox/state"
)

// Version is the release of Dokku that is stood in for.
const Version = "0.38.27"

// Host is one sandbox: a Dokku host below a folder.
type Host struct {
	// Dir is the sandbox's folder, absolute.
	Dir string `json:"-"`
	// ID labels what this sandbox makes in a real engine.
	ID string
	// Docker says that a real engine is used.
	Docker bool
}

// Open reads the host that lives in dir.
func Open(dir string) (*Host, error) {
	h := &Host{Dir: dir}
	if err := state.Read(filepath.Join(dir, "sandbox.json"), h); err != nil {
		return nil, fmt.Errorf("%q holds no sandbox: %w", dir, err)
	}
	return h, nil
}

// Setup makes the folders of a new host and records it.
func (h *Host) Setup() error {
	for _, d := range []string{h.root(), h.logs(), h.plugins("available"), h.plugins("enabled"), h.lib("core-plugins/available/common"),
		h.lib("core-plugins/enabled"), h.lib("config"), h.lib("data/apps"), h.lib("services/postgres"), h.path("bin")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	// Dokku's own file of this name holds shell functions that plugins source.
	if err := os.WriteFile(h.lib("core-plugins/available/common/functions"), []byte(shellFunctions), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(h.lib("STABLE_VERSION"), []byte(Version+"\n"), 0o644); err != nil {
		return err
	}
	if err := h.addPostgresPlugin(); err != nil {
		return err
	}
	return state.Write(h.path("sandbox.json"), h)
}

func (h *Host) path(name string) string { return filepath.Join(h.Dir, name) }
func (h *Host) root() string            { return h.path("home/dokku") }
func (h *Host) lib(name string) string  { return filepath.Join(h.Dir, "var/lib/dokku", name) }
func (h *Host) logs() string            { return h.path("var/log/dokku") }

// plugins is the folder of the plugins available or enabled.
func (h *Host) plugins(kind string) string { return h.lib("plugins/" + kind) }

// lock waits for the named lock of this host.
func (h *Host) lock(name string) (unlock func(), err error) {
	return state.Lock(h.lib("data/." + name + ".lock"))
}

// environment is what subcommands and triggers find, beside the caller's own.
func (h *Host) environment() []string {
	name, group := "root", "root"
	if u, err := user.Current(); err == nil {
		name, group = u.Username, u.Gid
		if g, err := user.LookupGroupId(u.Gid); err == nil {
			group = g.Name
		}
	}
	pid := os.Getenv("DOKKU_PID")
	if pid == "" {
		pid = strconv.Itoa(os.Getpid())
	}
	return []string{
		"DOCKER_BIN=docker", "DOKKU_API_VERSION=1", "DOKKU_NOT_IMPLEMENTED_EXIT=10", "DOKKU_VALID_EXIT=0", "DOKKU_PID=" + pid,
		"DOKKU_LIB_ROOT=" + h.lib(""), "DOKKU_LIB_HOST_ROOT=" + h.lib(""), "DOKKU_ROOT=" + h.root(), "DOKKU_HOST_ROOT=" + h.root(),
		"DOKKU_LOGS_DIR=" + h.logs(), "DOKKU_LOGS_HOST_DIR=" + h.logs(), "DOKKU_SYSTEM_USER=" + name, "DOKKU_SYSTEM_GROUP=" + group,
		"PLUGIN_PATH=" + h.lib("plugins"), "PLUGIN_AVAILABLE_PATH=" + h.plugins("available"), "PLUGIN_ENABLED_PATH=" + h.plugins("enabled"),
		"PLUGIN_CORE_PATH=" + h.lib("core-plugins"), "PLUGIN_CORE_AVAILABLE_PATH=" + h.lib("core-plugins/available"),
		"PLUGIN_CORE_ENABLED_PATH=" + h.lib("core-plugins/enabled"), "SSH_USER=" + name, "SSH_NAME=default", "LANG=C.UTF-8",
		"PATH=" + h.path("bin") + ":" + withoutFolder(os.Getenv("PATH"), h.path("bin")),
	}
}

// withoutFolder takes a folder out of a PATH.
func withoutFolder(path, folder string) string {
	var kept []string
	for _, d := range filepath.SplitList(path) {
		if d != folder {
			kept = append(kept, d)
		}
	}
	return strings.Join(kept, ":")
}

// failure is an error as Dokku shows it, with the exit code it ends with. An
// empty message says that all has been said already.
type failure struct {
	code    int
	message string
}

func (f *failure) Error() string { return f.message }

func fail(format string, args ...any) error { return &failure{1, fmt.Sprintf(format, args...)} }

// ExitCode is the exit code that err asks for.
func ExitCode(err error) int {
	var f *failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		return f.code
	}
	return 1
}

// shellFunctions are the few functions of Dokku's common/functions that
// plugins in shell commonly use, with Dokku's output.
const shellFunctions = `#!/usr/bin/env bash
dokku_log_info1() { echo "-----> $*"; }
dokku_log_info2() { echo "=====> $*"; }
dokku_log_info1_quiet() { if [[ -z "$DOKKU_QUIET_OUTPUT" ]]; then echo "-----> $*"; fi; }
dokku_log_info2_quiet() { if [[ -z "$DOKKU_QUIET_OUTPUT" ]]; then echo "=====> $*"; fi; }
dokku_log_verbose() { echo "       $*"; }
dokku_log_verbose_quiet() { if [[ -z "$DOKKU_QUIET_OUTPUT" ]]; then echo "       $*"; fi; }
dokku_log_warn() { echo " !     $*" >&2; }
dokku_log_fail() { echo " !     $*" >&2; exit "${DOKKU_FAIL_EXIT_CODE:-1}"; }
dokku_log_quiet() { if [[ -z "$DOKKU_QUIET_OUTPUT" ]]; then echo "$*"; fi; }
verify_app_name() { dokku apps:exists "$1"; }
`

// Exports are the variables, beside PATH, that a shell needs to speak to this
// host, as KEY=value: programs look for them as they do on a Dokku host.
func (h *Host) Exports() []string {
	return []string{"DOKKU_ROOT=" + h.root(), "DOKKU_LIB_ROOT=" + h.lib(""), "DOKKU_LOGS_DIR=" + h.logs()}
}
