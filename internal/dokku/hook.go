package dokku

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// hookTime bounds a hook: it runs inside somebody's deploy, which must not wait for it.
const hookTime = 8 * time.Second

// Hook records in the ledger what Dokku's trigger name tells, called with args:
//
//	post-extract APP SOURCE_DIR REV              a build of REV begins
//	post-release-builder BUILDER APP IMAGE       an image is ready to be deployed
//	post-app-rename-setup OLD NEW                an app gets a new name; the old one is deleted next
//	post-delete APP ...                          an app is gone
//
// It takes 8 seconds at most. Its errors are for a warning: the caller must end with 0 all the same, because a trigger
// that fails fails the deploy.
func (h *Host) Hook(ctx context.Context, name string, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	l := h.Ledger()
	switch name {
	case "post-extract":
		run, err := h.run()
		if err != nil {
			return err
		}
		return l.RecordExtract(ctx, run, arg(0), arg(2))
	case "post-release-builder":
		run, err := h.run()
		if err != nil {
			return err
		}
		image, err := h.Image(ctx, arg(2))
		if err != nil {
			return err
		}
		// herokuish puts the app's config into layers of the image at each release.
		return l.RecordRelease(ctx, run, arg(1), image, arg(0) == "herokuish")
	case "post-app-rename-setup":
		return l.Rename(ctx, arg(0), arg(1))
	case "post-delete":
		return l.Delete(ctx, arg(0))
	}
	return fmt.Errorf("%q is not a hook of this plugin", name)
}

// Building is the commit that the dokku run which called this program builds, or has built, of the app; empty when it has built nothing, as
// a restart has not.
func (h *Host) Building(app string) (commit string, err error) {
	run, err := h.run()
	if err != nil {
		return "", err
	}
	entries, err := h.Ledger().Entries(app)
	if err != nil {
		return "", err
	}
	extracted, _ := last(entries, func(e Entry) bool { return e.Image == "" && e.Run == run })
	return extracted.Commit, nil
}

// Linked are the services of a type that an app is linked to; none where its plugin is not there.
func (h *Host) Linked(ctx context.Context, typ, app string) ([]Service, error) {
	if !h.hasSubcommand(typ, "app-links") {
		return nil, nil
	}
	out, err := h.Run(ctx, h.dokku(typ+":app-links", app))
	if err != nil {
		return nil, appError(app, err)
	}
	var services []Service
	for _, name := range parseLines(out) {
		if backup.ValidServiceName(name) {
			services = append(services, Service{typ, name})
		}
	}
	return services, nil
}

// run names the dokku run that called this program. Process ids come round again, so the time at which the process
// started, in ticks since boot, and the boot's own id belong to the name: else a release could be taken for that of a
// build that failed long ago.
func (h *Host) run() (string, error) {
	if h.pid == "" {
		return "", errors.New("DOKKU_PID is not set: hooks are called by dokku")
	}
	stat, err := os.ReadFile("/proc/" + h.pid + "/stat")
	if err != nil {
		return h.pid, nil
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return h.pid, nil
	}
	// proc(5): the start time is field 22; field 2, the program's name, may hold blanks and ends at the last ')'.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return h.pid, nil
	}
	return h.pid + "-" + fields[19] + "-" + strings.TrimSpace(string(boot)), nil
}
