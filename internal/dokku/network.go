package dokku

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// How long RemoveNetwork waits for the containers that are just being removed to leave.
const (
	leavePause = 250 * time.Millisecond
	leaveTries = 40
)

// CreateNetwork makes a network that lets nothing out: its containers reach each other and the host reaches them, no more. One
// that is there with the same mark is fine, one with another mark is a backup.Problem matching ErrExists.
func (h *Host) CreateNetwork(ctx context.Context, name, mark string) error {
	found, there, err := h.networkMark(ctx, name)
	if err != nil {
		return err
	}
	if there && bears(found, mark) {
		return nil
	}
	if there {
		return exists("network", name, nil)
	}
	if _, err := h.Run(ctx, h.docker("network", "create", "--internal", "--label", MarkLabel+"="+mark, name)); err != nil {
		return fmt.Errorf("create network %q: %w", name, err)
	}
	return nil
}

// RemoveNetwork removes a network that bears the mark, after a moment for its containers to leave it. One that does not bear it is
// a backup.Problem matching ErrNotOurs, one that does not exist is fine.
func (h *Host) RemoveNetwork(ctx context.Context, name, mark string) error {
	found, there, err := h.networkMark(ctx, name)
	if err != nil || !there {
		return err
	}
	if !bears(found, mark) {
		return notOurs("network", name)
	}
	for try := 1; ; try++ {
		_, err := h.Run(ctx, h.docker("network", "rm", name))
		if err == nil || said(err, "not found") {
			return nil
		}
		if !said(err, "has active endpoints") || try == leaveTries {
			return fmt.Errorf("remove network %q: %w", name, err)
		}
		select {
		case <-time.After(leavePause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// networkMark is the mark of a network, and whether there is such a network.
func (h *Host) networkMark(ctx context.Context, name string) (mark string, there bool, err error) {
	out, err := h.Run(ctx, h.docker("network", "inspect", "--format", `{{index .Labels "`+MarkLabel+`"}}`, name))
	if said(err, "not found") || said(err, "No such network") {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("inspect network %q: %w", name, err)
	}
	return strings.TrimSpace(string(out)), true, nil
}
