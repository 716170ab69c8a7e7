package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/settings"
)

func (p *program) setCommand() *cli.Command {
	var keys strings.Builder
	for _, of := range []scope{ofService, ofApp, ofHost} {
		fmt.Fprintf(&keys, "\n\nKeys of %s:", map[scope]string{ofService: "a service", ofApp: "an app", ofHost: "the host"}[of])
		for _, s := range settingsTable() {
			if s.of != of {
				continue
			}
			fmt.Fprintf(&keys, "\n  %-14s %s", s.key, s.usage)
			if s.preset != "" {
				fmt.Fprintf(&keys, "; %s if not set", s.preset)
			}
		}
	}
	return &cli.Command{
		Name: "set", ArgsUsage: "[--global|<service>|<app>] <key> [<value>]", Usage: "Set or clear a property of a service or an app or the host",
		Description: "Sets a property; without a value it is cleared. The key says whether a service or an app is meant.\n" +
			"With --global it holds for all services, or apps, that have no value of their own." + keys.String(),
		UsageText: `dokku backup:set happycows on-deploy before
dokku backup:set --global timeout 90
dokku backup:set happycows-db check-sql "SELECT count(*) > 100 FROM cows"`,
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "global", Usage: "set what holds where a service or an app has no value of its own"}},
		Action: p.set,
	}
}

func (p *program) set(c *cli.Context) error {
	args := c.Args().Slice()
	name := ""
	if !c.Bool("global") && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch {
	case name == "" && !c.Bool("global"):
		return usage(c.Command, "takes a service or an app, or --global, then a key and a value")
	case len(args) == 0 || args[0] == "":
		return inDokkusWords("set", "No property specified")
	case len(args) > 2:
		return usage(c.Command, "takes one value, not %d; put one with blanks into quotes", len(args)-1)
	}
	value := strings.Join(args[1:], "")
	s, known := keyOf(args[0])
	if !known {
		return inDokkusWords("set", "Invalid property specified, valid properties include: "+strings.Join(validKeys(c.Bool("global")), ", "))
	}
	if value != "" && s.check != nil {
		if err := s.check(value); err != nil {
			return usage(c.Command, "%s: %v", s.key, err)
		}
	}
	owner, whose, err := p.settingOwner(c.Context, c.Command, s, name)
	if err != nil {
		return err
	}
	if err := p.settingsStore().Set(owner, s.key, value); err != nil {
		return err
	}
	if value == "" {
		p.ui.Heading("Unsetting %s%s", s.key, whose)
	} else {
		p.ui.Heading("Setting %s to %s%s", s.key, value, whose)
	}
	if s.key == "metrics-file" {
		p.hourlyChanged(c.Context)
	}
	return p.warnContradiction(owner, s)
}

// inDokkusWords is the problem of a command that was called wrongly, in the words of Dokku's own commands (CommandPropertySet in its
// plugins/common/properties.go, ReportSingleApp in plugins/common/common.go).
func inDokkusWords(command, message string) error {
	return &backup.Problem{Message: message, Hints: []string{"see how it is used: dokku backup:help " + command}}
}

// validKeys are the keys, sorted as Dokku does it.
func validKeys(global bool) []string {
	var keys []string
	for _, s := range settingsTable() {
		if s.global || !global {
			keys = append(keys, s.key)
		}
	}
	slices.Sort(keys)
	return keys
}

// settingOwner is what a key is set for by the name that was given, "" for the host. Where an app and a service bear that name, whose
// says which one the key is of.
func (p *program) settingOwner(ctx context.Context, command *cli.Command, s setting, name string) (owner settings.Owner, whose string, err error) {
	switch {
	case name == "" && !s.global:
		return "", "", inDokkusWords("set", "Property cannot be specified globally")
	case name == "":
		return settings.Host, "", nil
	case s.of == ofHost:
		return "", "", usage(command, "%s is of the host: dokku backup:set --global %s VALUE", s.key, s.key)
	}
	service, notService := p.host.Find(ctx, name)
	app, err := p.isApp(ctx, name)
	both := app && notService == nil
	switch {
	case err != nil:
		return "", "", err
	case s.of == ofService && notService == nil:
		if both {
			whose = " of service " + service.String()
		}
		return settings.Service(service.Name), whose, nil
	case s.of == ofService && app && !errors.Is(notService, dokku.ErrAmbiguous):
		return "", "", &backup.Problem{
			Message: fmt.Sprintf("%s is of a service, and %s is an app", s.key, name), Hints: []string{"see its services: dokku backup:report " + name},
		}
	case s.of == ofService:
		return "", "", notService
	case app:
		if both {
			whose = " of app " + name
		}
		return settings.App(name), whose, nil
	case notService == nil:
		return "", "", &backup.Problem{
			Message: fmt.Sprintf("%s is of an app, and %s is a service", s.key, name),
			Hints:   []string{fmt.Sprintf("see the apps linked to it: dokku %s:links %s", service.Type, service.Name)},
		}
	}
	return "", "", &backup.Problem{
		Message: fmt.Sprintf("app %q does not exist", name), Hints: []string{"see all apps: dokku apps:list"}, Code: backup.ExitNoApp, Err: dokku.ErrNoApp,
	}
}

// isApp tells whether there is an app of this name. Dokku takes any name for a path below its own folder.
func (p *program) isApp(ctx context.Context, name string) (bool, error) {
	if strings.ContainsAny(name, "/:") || strings.HasPrefix(name, ".") {
		return false, nil
	}
	return p.host.AppExists(ctx, name)
}

// warnContradiction tells where what was just set does nothing because of another value.
func (p *program) warnContradiction(owner settings.Owner, s setting) error {
	first, second := "stall-timeout", "timeout"
	if s.of == ofApp {
		first, second = "on-deploy-mode", "on-deploy"
	}
	if s.key != first && s.key != second || s.of == ofApp && owner == settings.Host {
		return nil
	}
	one, err := p.holding(owner, first)
	if err != nil {
		return err
	}
	other, err := p.holding(owner, second)
	if err != nil {
		return err
	}
	stall, _ := strconv.Atoi(one)
	total, _ := strconv.Atoi(other)
	switch {
	case s.of == ofService && stall >= total:
		p.ui.Warn("stall-timeout is %d and timeout %d minutes: a run is given up before it can count as stalled", stall, total)
	case one == "block" && (other == "after" || other == "off" && s.key == first):
		p.ui.Warn("on-deploy-mode block does nothing while on-deploy is %s: only a backup before a deploy can hold it up", other)
	}
	return nil
}
