package dokku

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Link links a service to an app, without a restart. The app gets its address as the variable <alias>_URL; where alias is empty
// under the type's usual name, such as DATABASE_URL, or, when that is taken, under one with a colour. A service that is linked
// already is fine.
func (h *Host) Link(ctx context.Context, s Service, app, alias string) error {
	_, err := h.Run(ctx, h.link(s, app, alias))
	if said(err, "Already linked as") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("link service %q to app %q: %w", s, app, err)
	}
	return nil
}

func (h *Host) link(s Service, app, alias string) []string {
	argv := h.dokku(s.Type+":link", s.Name, app, "--no-restart")
	if alias != "" {
		argv = append(argv, "--alias", alias)
	}
	return argv
}

// Unlink takes a link away, without a restart. A service that is not linked is fine.
func (h *Host) Unlink(ctx context.Context, s Service, app string) error {
	_, err := h.Run(ctx, h.dokku(s.Type+":unlink", s.Name, app, "--no-restart"))
	if err != nil && !said(err, "Not linked to app") {
		return fmt.Errorf("unlink service %q from app %q: %w", s, app, err)
	}
	return nil
}

// said tells whether err is a program's that had these words.
func said(err error, words string) bool {
	var failed *RunError
	return errors.As(err, &failed) && strings.Contains(failed.Detail, words)
}
