package dokku

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// All that a restore makes bears its mark, a random word, so that nothing else is ever removed: a service and an app have it
// as the variable MarkKey in their environment, a network as the value of the label MarkLabel.
const (
	MarkKey   = "DOKKU_BACKUP_RESTORE"
	MarkLabel = "com.dokku-backup.restore"
)

// bears tells whether what was found is the mark. Nothing bears the empty mark: what has none would.
func bears(found, mark string) bool { return mark != "" && found == mark }

func notOurs(what, name string) error {
	return &backup.Problem{
		Message: fmt.Sprintf("%s %q does not bear the mark of this restore; it was left as it is", what, name),
		Err:     ErrNotOurs,
	}
}

// Leftovers are the services, apps, networks and containers that bear the mark, in words such as "app cows-practice". A service
// that is stopped is not among them: it has no container.
func (h *Host) Leftovers(ctx context.Context, mark string) ([]string, error) {
	containers, err := h.ListByLabel(ctx)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, c := range containers {
		if bears(c.Env[MarkKey], mark) {
			left = append(left, describe(c))
		}
	}
	networks, err := h.Run(ctx, h.docker("network", "ls", "--filter", "label="+MarkLabel+"="+mark, "--format", "{{.Name}}"))
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	for _, name := range strings.Fields(string(networks)) {
		left = append(left, "network "+name)
	}
	apps, err := h.markedApps(ctx, mark)
	for _, name := range apps {
		left = append(left, "app "+name)
	}
	slices.Sort(left)
	return left, err
}

// describe names a service by its container, any other container as such.
func describe(c Container) string {
	typ := c.Labels["dokku.service"]
	if name, is := strings.CutPrefix(c.Name, "dokku."+typ+"."); is && typ != "" {
		return "service " + Service{typ, name}.String()
	}
	return "container " + c.Name
}

// markedApps asks every app for its config; one that goes away meanwhile is none.
func (h *Host) markedApps(ctx context.Context, mark string) ([]string, error) {
	out, err := h.Run(ctx, h.dokku("apps:list"))
	if err != nil {
		return nil, fmt.Errorf("list apps: %w", err)
	}
	var mu sync.Mutex
	marked := map[string]bool{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, app := range parseLines(out) {
		g.Go(func() error {
			config, err := h.Config(ctx, app)
			if errors.Is(err, ErrNoApp) {
				return nil
			}
			if bears(config[MarkKey], mark) {
				mu.Lock()
				defer mu.Unlock()
				marked[app] = true
			}
			return err
		})
	}
	err = g.Wait()
	return slices.Collect(maps.Keys(marked)), err
}
