package backup

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

const idTime = "20060102T150405Z"

var (
	idForm      = regexp.MustCompile(`^([A-Za-z0-9_-]+)-(\d{8}T\d{6}Z)$`)
	serviceForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	appForm     = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)
)

// ID names one backup: the service's name, a hyphen, and the second (UTC) at which the capture began, such as
// happycows-db-20261121T074700Z.
type ID string

// NewID is the id of a backup of service begun at t.
func NewID(service string, t time.Time) ID {
	return ID(service + "-" + t.UTC().Format(idTime))
}

// ParseID reads an id. It refuses anything that could not have come from NewID, so that an id is always safe
// to use as part of a path.
func ParseID(s string) (ID, error) {
	m := idForm.FindStringSubmatch(s)
	if m == nil {
		return "", fmt.Errorf("%q is not the id of a backup (an id looks like happycows-db-20261121T074700Z)", s)
	}
	if _, err := time.Parse(idTime, m[2]); err != nil {
		return "", fmt.Errorf("%q is not the id of a backup: it holds no valid time", s)
	}
	return ID(s), nil
}

// Service is the name of the service that the id was made for.
func (id ID) Service() string {
	if len(id) < len(idTime)+2 {
		return ""
	}
	return string(id[:len(id)-len(idTime)-1])
}

// Time is the second at which the capture began.
func (id ID) Time() time.Time {
	if len(id) < len(idTime) {
		return time.Time{}
	}
	t, err := time.Parse(idTime, string(id[len(id)-len(idTime):]))
	if err != nil {
		return time.Time{}
	}
	return t
}

// ValidServiceName tells whether Dokku would accept s as the name of a service. Source: SERVICE_PATTERN check of the
// official datastore plugins, `[A-Za-z0-9_-]+`.
func ValidServiceName(s string) bool { return serviceForm.MatchString(s) }

// SplitService is the type, "" for any, and the name of a service, "" for all, of a name that may bear a type: postgres:happycows-db. One that no service
// can have is a *Problem.
func SplitService(service string) (typ, name string, err error) {
	typ, name, typed := strings.Cut(service, ":")
	if !typed {
		typ, name = "", service
	}
	if (name != "" || typed) && !ValidServiceName(name) {
		return "", "", &Problem{
			Message: fmt.Sprintf("%q is neither the id of a backup nor the name of a service", service),
			Hints:   []string{"see all backups: dokku backup:list"},
		}
	}
	return typ, name, nil
}

// ValidAppName tells whether Dokku would accept s as the name of a new app. Source: IsValidAppName in its plugins/common/common.go.
func ValidAppName(s string) bool { return appForm.MatchString(s) }
