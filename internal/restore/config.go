package restore

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// serviceHost is how a DSN in an app's config names a datastore service of the host, whatever its type: dokku-postgres-happycows-db,
// after the container dokku.postgres.happycows-db (common-functions of the official datastore plugins).
var serviceHost = regexp.MustCompile(`(?:@|//)(dokku-[a-z]+-[A-Za-z0-9-]+)`)

// hostName is the name that the DSN of a service has.
func hostName(s backup.Service) string {
	return "dokku-" + s.Type + "-" + strings.NewReplacer(".", "-", "_", "-").Replace(s.Name)
}

// LeadsTo tells whether a config value holds the address of a service.
func LeadsTo(value string, s backup.Service) bool {
	found := serviceHost.FindStringSubmatch(value)
	return found != nil && found[1] == hostName(s)
}

// settings are what an app gets of its old config.
type settings struct {
	config  map[string]string
	link    Link
	dropped map[string]string // key -> why
}

// ours are keys that Dokku sets itself, or this package.
func ours(key string) bool {
	return strings.HasPrefix(key, "DOKKU_") || key == "GIT_REV" || key == "NO_VHOST"
}

// newSettings works out the config of a new app from that of the old one. The address of the captured service comes from the
// new link; addresses of other services are left out: those would lead into production.
func newSettings(old map[string]string, captured backup.Service, r Request) (settings, error) {
	s := settings{config: map[string]string{}, dropped: map[string]string{}}
	wanted, err := wantedKeys(old, r.Config)
	if err != nil {
		return settings{}, err
	}
	host := hostName(captured)
	linked := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(old)) {
		value := old[key]
		found := serviceHost.FindStringSubmatch(value)
		_, replaced := r.Env[key]
		switch {
		case replaced:
		case found != nil && found[1] == host:
			linked[key] = value
		case ours(key) || !wanted(key):
		case found != nil:
			s.dropped[key] = "it leads to " + found[1] + ", which this backup does not hold"
		default:
			s.config[key] = value
		}
	}
	maps.Copy(s.config, r.Env)
	s.link = newLink(linked)
	return s, nil
}

// newLink takes the key that every app has for its first database, if it was in use, else one that was.
func newLink(linked map[string]string) Link {
	keys := slices.Sorted(maps.Keys(linked))
	keys = slices.DeleteFunc(keys, func(key string) bool { return !strings.HasSuffix(key, "_URL") })
	l := Link{Key: "DATABASE_URL", Also: linked}
	if _, used := linked[l.Key]; !used && len(keys) > 0 {
		l.Key = keys[0]
	}
	return l
}

func wantedKeys(old map[string]string, config string) (func(key string) bool, error) {
	switch config {
	case "all", "":
		return func(string) bool { return true }, nil
	case "none":
		return func(string) bool { return false }, nil
	}
	list, ok := strings.CutPrefix(config, "keys=")
	if !ok {
		return nil, &backup.Problem{Message: fmt.Sprintf("--config is all, none or keys=A,B, not %q", config)}
	}
	keys := strings.Split(list, ",")
	for _, key := range keys {
		if _, there := old[key]; !there {
			return nil, &backup.Problem{
				Message: fmt.Sprintf("the backup's config has no %q", key),
				Hints:   []string{"it has " + strings.Join(slices.Sorted(maps.Keys(old)), ", ")},
			}
		}
	}
	return func(key string) bool { return slices.Contains(keys, key) }, nil
}

// Readdress puts the server, user, password and database of a new DSN into a value that held the old one, and keeps what else
// that said: scheme and parameters.
func Readdress(old, dsn string) (string, error) {
	was, err := url.Parse(old)
	if err != nil {
		return "", fmt.Errorf("the old value is not a URL") // err would hold the password
	}
	now, err := url.Parse(dsn)
	if err != nil {
		return "", fmt.Errorf("the new address is not a URL")
	}
	was.User, was.Host, was.Path = now.User, now.Host, now.Path
	return was.String(), nil
}
