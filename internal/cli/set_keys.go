package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/settings"
)

// scope is what a key is set for.
type scope string

const (
	ofService scope = "service"
	ofApp     scope = "app"
	ofHost    scope = "host"
)

// setting is a key that backup:set knows.
type setting struct {
	key    string
	of     scope
	global bool   // --global sets what holds where the service or the app has no value of its own
	preset string // what holds where nothing is set
	check  func(value string) error
	usage  string
}

// settingsTable are all keys, in the order of the help.
func settingsTable() []setting {
	return []setting{
		{"automatic", ofService, true, "on", onOff, "on or off: whether its schedules run"},
		{"upload", ofService, true, "on", onOff, "on or off: whether its backups are sent to stores"},
		{"timeout", ofService, true, "60", checkMinutes, "minutes after which a run is given up (1 to 1440)"},
		{"stall-timeout", ofService, true, "5", checkMinutes, "minutes without any data after which a run is given up (1 to 1440)"},
		{"alert-after", ofService, true, "", checkAgeOrOff, "36h, 2d or off: tell when there is no good backup younger than that; as its schedules have it if not set"},
		{"on-destroy", ofService, false, "off", onOff, "on or off: make a last, pinned backup before it is destroyed"},
		{"health-path", ofService, false, "", validPath, "path that a restored app must answer below 400; / with any answer but a failure if not set"},
		{"check-sql", ofService, false, "", nil, "queries, a line each: the first value must not be false, 0, empty or NULL"},
		{"check-http", ofService, false, "", validPath, "paths, a line each, that a restored app must answer below 400"},
		{"on-deploy", ofApp, false, "off", oneOf("before", "after", "both", "off"), "before, after, both or off: back up the services linked to it at each deploy"},
		{"on-deploy-mode", ofApp, true, "warn", oneOf("warn", "block"), "warn or block: what a backup that fails before a deploy does to the deploy"},
		{"max-age", ofApp, true, "", checkAge, "10m: a deploy takes a good backup younger than that instead of making one"},
		{"metrics-file", ofHost, true, "", promFile, "where to write figures for node_exporter's textfile collector; nowhere if not set"},
	}
}

// keyOf is a key of the table.
func keyOf(key string) (setting, bool) {
	table := settingsTable()
	i := slices.IndexFunc(table, func(s setting) bool { return s.key == key })
	if i < 0 {
		return setting{}, false
	}
	return table[i], true
}

func (p *program) settingsStore() settings.Settings {
	return settings.Settings{Dir: filepath.Join(p.host.DataDir(), "settings")}
}

// setting is the value of a key that holds for a service: its own, else the host's, else the table's. A name that can be no service's
// has none of its own.
func (p *program) setting(service, key string) (string, error) {
	if !backup.ValidServiceName(service) {
		return p.holding(settings.Host, key)
	}
	return p.holding(settings.Service(service), key)
}

// appSetting is the value of a key that holds for an app.
func (p *program) appSetting(app, key string) (string, error) {
	return p.holding(settings.App(app), key)
}

// hostSetting is the value of a key that holds for the host.
func (p *program) hostSetting(key string) (string, error) {
	return p.holding(settings.Host, key)
}

func (p *program) holding(owner settings.Owner, key string) (string, error) {
	s, known := keyOf(key)
	if !known {
		return "", fmt.Errorf("there is no setting %q", key)
	}
	value, err := p.settingsStore().Get(owner, key)
	if err == nil && value == "" && s.global {
		value, err = p.settingsStore().Get(settings.Host, key)
	}
	if value == "" {
		value = s.preset
	}
	return value, err
}

// isOn tells whether a switch of a service, such as upload, is on.
func (p *program) isOn(service, key string) (bool, error) {
	value, err := p.setting(service, key)
	return value == "on", err
}

func checkAge(value string) error {
	_, err := backup.ParseAge(value)
	return err
}

func checkAgeOrOff(value string) error {
	if value == "off" {
		return nil
	}
	d, err := backup.ParseAge(value)
	if err == nil && d == 0 {
		err = fmt.Errorf("%q is never kept: write a duration such as 36h, or off", value)
	}
	return err
}

func checkMinutes(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxTimeout {
		return fmt.Errorf("%q is not a number of minutes from 1 to %d", value, maxTimeout)
	}
	return nil
}

func onOff(value string) error { return oneOf("on", "off")(value) }

func oneOf(values ...string) func(string) error {
	return func(value string) error {
		if slices.Contains(values, value) {
			return nil
		}
		last := len(values) - 1
		return fmt.Errorf("%q is not %s or %s", value, strings.Join(values[:last], ", "), values[last])
	}
}

// promFile takes what the collector reads: files that end in .prom (node_exporter's collector/textfile.go).
func promFile(value string) error {
	if !filepath.IsAbs(value) || filepath.Ext(value) != ".prom" {
		return fmt.Errorf("%q is not the full path of a file that ends in .prom, as the collector wants it", value)
	}
	return nil
}

func validPath(value string) error {
	for _, line := range splitLines(value) {
		if !strings.HasPrefix(line, "/") || strings.ContainsAny(line, " \t") {
			return fmt.Errorf("%q is not a path: it begins with / and has no blanks", line)
		}
	}
	return nil
}

func splitLines(value string) []string {
	var lines []string
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
