package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/settings"
)

// hook is what Dokku's triggers call, by way of hooks/. Those that make backups end with an error when there is none; what then becomes of
// the deploy hooks/post-build decides. The others never fail a deploy: their error is a warning, and the exit code is 0.
func (p *program) hook(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return nil
	}
	name, args := args[0], args[1:]
	arg := func(i int) string { return strings.Join(args[min(i, len(args)):min(i+1, len(args))], "") }
	var err error
	switch name {
	case "post-build": // BUILDER APP SOURCE_DIR
		return p.beforeDeploy(ctx, arg(1))
	case "post-deploy": // APP PORT ADDRESS TAG
		return p.afterDeploy(ctx, arg(0))
	case "service-action": // ACTION TYPE SERVICE
		return p.beforeDestroy(ctx, arg(1), arg(2))
	case "report": // APP
		return p.reportApp(ctx, arg(0))
	case "post-app-clone-setup", "post-app-rename-setup", "post-delete": // OLD NEW, OLD NEW, APP TAG
		err = p.follow(ctx, name, args, arg(0), arg(1))
	default:
		err = p.host.Hook(ctx, name, args)
	}
	if err != nil {
		p.ui.Warn("backup: %s: %s", name, err)
	}
	return nil
}

// follow keeps what is recorded of an app, and set for it, with its name. A rename deletes the old name last, for which nothing is kept any
// more by then. A clone has the settings alone, since its image is built anew.
func (p *program) follow(ctx context.Context, hook string, args []string, app, newName string) error {
	if strings.Contains(app+newName, "/") {
		return fmt.Errorf("%q is no app", app)
	}
	s, old, other := p.settingsStore(), settings.App(app), settings.App(newName)
	switch hook {
	case "post-app-clone-setup":
		return s.Copy(old, other)
	case "post-app-rename-setup":
		// An app of the new name may have gone while the plugin was disabled.
		return errors.Join(p.host.Hook(ctx, hook, args), s.Remove(other), s.Rename(old, other))
	}
	return errors.Join(p.host.Hook(ctx, hook, args), s.Remove(old))
}
