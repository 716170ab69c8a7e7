package dokku

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// What a caller may match with errors.Is. Each comes wrapped in a backup.Problem that says it in the user's words.
var (
	ErrBadName   = errors.New("not a valid name")
	ErrNoApp     = errors.New("no such app")
	ErrNoService = errors.New("no such service")
	ErrAmbiguous = errors.New("several services have this name")
	ErrNoExport  = errors.New("services of this type cannot be exported")
	ErrStopped   = errors.New("service is stopped")
	ErrOldDokku  = errors.New("this Dokku is too old")
	ErrNotFound  = errors.New("no such container or image")
	ErrExists    = errors.New("the name is taken")
	ErrNoImage   = errors.New("the image cannot be had")
	ErrNotOurs   = errors.New("not made by this restore")
)

func badName(name string) error {
	return &backup.Problem{
		Message: fmt.Sprintf("%q is not a valid service name", name),
		Hints:   []string{"valid are letters, digits, - and _, as in happycows-db or postgres:happycows-db"},
		Err:     ErrBadName,
	}
}

func noApp(name string) error {
	return &backup.Problem{
		Message: fmt.Sprintf("app %q does not exist", name),
		Hints:   []string{"see all apps: dokku apps:list"},
		Code:    backup.ExitNoApp,
		Err:     ErrNoApp,
	}
}

func noService(name string, suggestions []string) error {
	p := &backup.Problem{Message: fmt.Sprintf("service %q does not exist", name), Err: ErrNoService}
	if len(suggestions) > 0 {
		p.Message += "; did you mean " + strings.Join(suggestions, " or ") + "?"
	} else {
		p.Hints = []string{"see all services: dokku postgres:list"}
	}
	return p
}

func ambiguous(name string, found []Service) error {
	full := make([]string, len(found))
	for i, s := range found {
		full[i] = s.String()
	}
	return &backup.Problem{
		Message: fmt.Sprintf("%d services are named %q: %s", len(found), name, strings.Join(full, ", ")),
		Hints:   []string{"name its type as well, as in " + full[0]},
		Err:     ErrAmbiguous,
	}
}

func noExport(s Service) error {
	return &backup.Problem{
		Message: fmt.Sprintf("%s cannot be backed up: the %s plugin has no export", s, s.Type),
		Err:     ErrNoExport,
	}
}

// Stopped is the problem of a service that has to run for what was asked.
func Stopped(s Service) error {
	return &backup.Problem{
		Message: fmt.Sprintf("%s is stopped; start it with: dokku %s:start %s", s, s.Type, s.Name),
		Err:     ErrStopped,
	}
}
