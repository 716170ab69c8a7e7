package cli

import "context"

// hook is what Dokku's triggers call. A hook never fails a deploy: its error is a warning, and the exit code is 0.
func (p *program) hook(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if err := p.host.Hook(ctx, args[0], args[1:]); err != nil {
		p.ui.Warn("backup: %s: %s", args[0], err)
	}
	return nil
}
