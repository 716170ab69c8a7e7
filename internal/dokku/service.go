package dokku

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Service is a datastore service by its name.
type Service struct {
	Type string // postgres, redis ...: the name of its plugin
	Name string
}

// String is the full name, as in postgres:happycows-db.
func (s Service) String() string { return s.Type + ":" + s.Name }

// ServiceInfo is what `<type>:info` says of a service.
type ServiceInfo struct {
	DSN            string   // holds the password
	ContainerID    string   // may be empty or outdated when not running
	Apps           []string // linked to it
	Status         string   // Docker's status of the container, or "missing"
	Image          string   // postgres:15.18; empty when not running
	InitialNetwork string   // empty: Docker's default network
}

// Running tells whether the service can be spoken to.
func (i ServiceInfo) Running() bool { return i.Status == "running" }

// serviceCommands are the subcommands that make a plugin a datastore: all official datastore plugins have them, and no
// core plugin has all of them.
var serviceCommands = []string{"create", "info", "link", "links", "list", "unlink"}

// Types are the enabled datastore plugins in alphabetical order.
func (h *Host) Types() ([]string, error) {
	entries, err := os.ReadDir(h.PluginsEnabled)
	if err != nil {
		return nil, fmt.Errorf("list the enabled plugins: %w", err)
	}
	var types []string
	for _, e := range entries {
		lacks := func(command string) bool { return !h.hasSubcommand(e.Name(), command) }
		if !slices.ContainsFunc(serviceCommands, lacks) {
			types = append(types, e.Name())
		}
	}
	return types, nil
}

func (h *Host) hasSubcommand(plugin, command string) bool {
	info, err := os.Stat(filepath.Join(h.PluginsEnabled, plugin, "subcommands", command))
	return err == nil && info.Mode().IsRegular()
}

// unimplemented is the list of subcommands that a datastore plugin has only as stubs. Source: the file `config` of the
// official plugins, such as dokku-memcached.
var unimplemented = regexp.MustCompile(`(?m)^\s*(?:export )?PLUGIN_UNIMPLEMENTED_SUBCOMMANDS=\(([^)]*)\)`)

// exports tells whether the type's plugin really has an export.
func (h *Host) exports(typ string) bool {
	if !h.hasSubcommand(typ, "export") {
		return false
	}
	config, err := os.ReadFile(filepath.Join(h.PluginsEnabled, typ, "config"))
	if err != nil {
		return true // a newer plugin without this file; its export itself will say
	}
	stubs := unimplemented.FindSubmatch(config)
	return stubs == nil || !slices.Contains(strings.Fields(strings.ReplaceAll(string(stubs[1]), `"`, "")), "export")
}

// Services lists the services of all types, by type and name. Where a plugin fails, the services of the others are
// returned together with the error.
func (h *Host) Services(ctx context.Context) ([]Service, error) {
	types, err := h.Types()
	if err != nil {
		return nil, err
	}
	found := make([][]Service, len(types))
	failed := make([]error, len(types))
	var g errgroup.Group
	g.SetLimit(4)
	for i, typ := range types {
		g.Go(func() error {
			out, err := h.Run(ctx, h.dokku(typ+":list"))
			if err != nil {
				failed[i] = fmt.Errorf("list %s services: %w", typ, err)
			}
			for _, name := range parseLines(out) {
				if backup.ValidServiceName(name) {
					found[i] = append(found[i], Service{typ, name})
				}
			}
			return nil
		})
	}
	_ = g.Wait()
	return slices.Concat(found...), errors.Join(failed...)
}

// Find looks up a service that can be backed up by "happycows-db" or "postgres:happycows-db". Its errors are
// backup.Problems matching ErrBadName (told before any program is run), ErrNoService, ErrAmbiguous and ErrNoExport.
func (h *Host) Find(ctx context.Context, name string) (Service, error) {
	typ, short, typed := strings.Cut(name, ":")
	if !typed {
		typ, short = "", name
	}
	if !backup.ValidServiceName(short) || typed && !backup.ValidServiceName(typ) {
		return Service{}, badName(name)
	}
	services, err := h.Services(ctx)
	found, suggestions := pick(typ, short, services)
	switch {
	case len(found) > 1:
		return Service{}, ambiguous(short, found)
	case len(found) == 0 && err != nil:
		return Service{}, err
	case len(found) == 0:
		return Service{}, noService(name, suggestions)
	case !h.exports(found[0].Type):
		return Service{}, noExport(found[0])
	}
	return found[0], nil
}

// pick finds the services called name, of one type unless typ is empty, and, where there is none, what was perhaps meant:
// the name under another type, else names that come close.
func pick(typ, name string, services []Service) (found []Service, suggestions []string) {
	var elsewhere, names []string
	for _, s := range services {
		switch {
		case s.Name != name:
			names = append(names, s.Name)
		case typ == "" || s.Type == typ:
			found = append(found, s)
		default:
			elsewhere = append(elsewhere, s.String())
		}
	}
	if len(found) > 0 || len(elsewhere) > 0 {
		return found, elsewhere
	}
	slices.Sort(names)
	return nil, closest(name, slices.Compact(names))
}

// Info asks the service's plugin about it.
func (h *Host) Info(ctx context.Context, s Service) (ServiceInfo, error) {
	out, err := h.Run(ctx, h.dokku(s.Type+":info", s.Name))
	if err != nil {
		return ServiceInfo{}, fmt.Errorf("look at service %q: %w", s, err)
	}
	return parseInfo(out), nil
}

func parseInfo(out []byte) ServiceInfo {
	r := parseReport(out)
	return ServiceInfo{
		DSN:            r["dsn"],
		ContainerID:    r["id"],
		Apps:           r.list("links"),
		Status:         r["status"],
		Image:          r["version"],
		InitialNetwork: r["initial network"],
	}
}
