package retention

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/settings"
	"github.com/dokku-backup/dokku-backup/internal/stores"
)

// KeepEverything is the rule of an owner that has none and does not want the host's.
const KeepEverything = "off"

// Rules are the rules that were set.
type Rules struct{ Settings settings.Settings }

// Rule is what holds for a service in a place.
type Rule struct {
	backup.Retention        // zero: everything is kept
	Owner            string // service or host, "" when nothing was set
}

// None tells whether everything is kept.
func (r Rule) None() bool { return r.Retention == backup.Retention{} }

// settingOf is the setting that holds a place's rule.
func settingOf(at string) string {
	if at == stores.Here {
		return "retention"
	}
	return "retention@" + at
}

// Set sets the rule of an owner for a place, as Parse reads it; "" takes it back.
func (r Rules) Set(owner settings.Owner, at, rule string) error {
	return r.Settings.Set(owner, settingOf(at), rule)
}

// Forget removes the rules for a store that is removed: another one of that name begins without.
func (r Rules) Forget(at string) error {
	owners, err := r.Settings.Owners()
	if err != nil {
		return err
	}
	for _, owner := range owners {
		if err := r.Set(owner, at, ""); err != nil {
			return err
		}
	}
	return nil
}

// Of is the rule for a service in a place: a store's own, else that of here; the service's goes before the host's. One that cannot be read is a
// *backup.Problem.
func (r Rules) Of(service, at string) (Rule, error) {
	for _, key := range []string{settingOf(at), settingOf(stores.Here)} {
		for _, owner := range []settings.Owner{settings.Service(service), settings.Host} {
			if owner == settings.Service("") {
				continue
			}
			value, err := r.Settings.Get(owner, key)
			if err != nil {
				return Rule{}, err
			}
			if value == "" {
				continue
			}
			found := Rule{Owner: "service"}
			if owner == settings.Host {
				found.Owner = "host"
			}
			if found.Retention, err = Parse(value); err != nil {
				return Rule{}, &backup.Problem{
					Message: fmt.Sprintf("the retention that is set for %s cannot be read, so nothing is removed: %v", service, err),
					Hints:   []string{"set it again: dokku backup:retention " + service + " --keep-daily 14 ..."},
				}
			}
			return found, nil
		}
	}
	return Rule{}, nil
}

// Parse reads the text of a rule: a backup.Retention as JSON, "off", or "" for none. What it does not know, since a newer program
// wrote it, may be what keeps a backup: it is an error.
func Parse(value string) (backup.Retention, error) {
	var r backup.Retention
	if value == "" || value == KeepEverything {
		return r, nil
	}
	in := json.NewDecoder(bytes.NewReader([]byte(value)))
	in.DisallowUnknownFields()
	if err := in.Decode(&r); err != nil {
		return backup.Retention{}, err
	}
	return r, r.Check()
}
