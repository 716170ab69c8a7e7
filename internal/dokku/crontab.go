package dokku

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// WriteCrontab makes Dokku ask all plugins for their lines anew (trigger cron-entries) and write its user's crontab. Since 0.36 that is the
// trigger scheduler-cron-write, whose empty scheduler means all apps; before it was cron-write (plugins/cron and
// plugins/scheduler-docker-local in Dokku). One that a Dokku does not know does nothing.
func (h *Host) WriteCrontab(ctx context.Context) error {
	for _, trigger := range []string{"cron-write", "scheduler-cron-write"} {
		// Dokku names its temporary files by the variable, and stops without it.
		if _, err := h.Run(ctx, []string{"plugn", "trigger", trigger}, "DOKKU_PID="+h.pid); err != nil {
			return fmt.Errorf("let Dokku write its crontab: %w", err)
		}
	}
	return nil
}

// Crontab is the crontab of this user. known is false where it cannot be seen.
func (h *Host) Crontab(ctx context.Context) (text string, known bool) {
	out, err := h.Run(ctx, []string{"crontab", "-l"})
	if errors.Is(err, exec.ErrNotFound) {
		return "", false
	}
	var failed *RunError
	if errors.As(err, &failed) && bytes.Contains([]byte(failed.Detail), []byte("no crontab for")) {
		return "", true
	}
	return string(out), err == nil
}
