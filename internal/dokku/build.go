package dokku

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// SyncCode brings the code of commit sha (in full) into the app's repository from a git bundle or a remote, and puts the deploy
// branch on it, whatever the app's repository held before. It builds nothing. That the branch is on exactly this commit is
// checked: `git:sync` has been seen to fail without an error.
func (h *Host) SyncCode(ctx context.Context, app, source, sha string) error {
	if !validAppName(app) {
		return noApp(app)
	}
	if err := h.aloud(ctx, io.Discard, "git:sync", app, source, sha); err != nil {
		return fmt.Errorf("bring commit %s to app %q: %w", sha, app, err)
	}
	a := &App{Name: app}
	if err := h.report(ctx, "git:report", app, a.parseGit); err != nil {
		return err
	}
	// Not git:report's SHA: that is of HEAD, which need not be the deploy branch, and short before Dokku 0.35.
	out, err := h.Run(ctx, []string{"git", "--git-dir", h.Repository(app), "rev-parse", "--verify", "refs/heads/" + a.Git.Branch + "^{commit}"})
	if err != nil {
		return fmt.Errorf("look at branch %q of app %q: %w", a.Git.Branch, app, err)
	}
	if head := strings.TrimSpace(string(out)); head != sha {
		return &backup.Problem{
			Message: fmt.Sprintf("the deploy branch %q of app %q is at commit %s after git:sync, not at %s; nothing was built", a.Git.Branch, app, head, sha),
		}
	}
	return nil
}

// Build builds and deploys what the app's deploy branch holds. All that Dokku says goes to log. An error means that the app does
// not run this code: it did not build, or did not stay up.
func (h *Host) Build(ctx context.Context, app string, log io.Writer) error {
	err := h.aloud(ctx, log, "ps:rebuild", app)
	var failed *RunError
	if errors.As(err, &failed) {
		// After the reason comes the command line of the script that found it.
		failed.Detail, _, _ = strings.Cut(failed.Detail, "; parallel: This job failed:")
	}
	if err != nil {
		return fmt.Errorf("build app %q: %w", app, err)
	}
	return nil
}

// aloud runs a dokku command whose output may be told: all of it goes to log, and where stderr does not say what failed, as that
// of git in Dokku does not, the end of stdout is in the error.
func (h *Host) aloud(ctx context.Context, log io.Writer, args ...string) error {
	var stdout tail
	both := &locked{w: log}
	err := h.Exec(ctx, Command{Argv: h.dokku(args...), Stdout: io.MultiWriter(&stdout, both), Stderr: both})
	var failed *RunError
	if errors.As(err, &failed) && failed.Detail == "" {
		failed.Detail = redact(stdout.lastLines(), nil)
	}
	return err
}

// locked is a writer for two streams.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
