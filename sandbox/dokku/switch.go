package dokku

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// switchOver makes new containers the app's and retires the old ones. Dokku
// tells the old ones to end at once and removes them 60 seconds later; here
// they are removed as soon as they have ended.
func (c *call) switchOver(app, tree string, started []upcoming, old []string) error {
	c.info1("Running post-deploy")
	c.proxy(app)
	c.info1("Renaming containers")
	for _, u := range started {
		if err := c.rename(u); err != nil {
			return err
		}
	}
	c.info1("Checking for postdeploy task")
	c.verbose("No postdeploy task found, skipping")
	err := c.h.changeApp(app, func(a *App) error { a.Deployed, a.Restore = true, true; return nil })
	if err != nil {
		return err
	}
	if err := c.writeCrontab([]string{app}); err != nil {
		return err
	}
	if err := c.trigger(tree, "post-deploy", app, "", "", "latest"); err != nil {
		return err
	}
	if len(old) == 0 {
		return nil
	}
	c.info1("Shutting down old containers in 60 seconds")
	for _, id := range old {
		_, stopped := c.ask("stop", "-t", "5", id)
		_, removed := c.ask("rm", "-f", id)
		err = errors.Join(err, stopped, removed)
	}
	return err
}

func (c *call) proxy(app string) {
	c.info1("Ensuring network configuration is in sync for %s", app)
	c.proxyBuild(app)
}

// rename gives a new container its name, which an old one may have.
func (c *call) rename(u upcoming) error {
	if previous, err := c.ask("inspect", "--format", "{{.Id}}", u.final); err == nil {
		moved := fmt.Sprintf("%s.%d", u.final, time.Now().Unix())
		c.verbose("Found previous container(s) (%.12s) named %s", previous, u.final)
		c.verbose("Renaming container (%.12s) %s to %s", previous, u.final, moved)
		if _, err := c.ask("rename", u.final, moved); err != nil {
			// Two deploys within a second.
			if _, err := c.ask("rename", u.final, moved+"."+previous[:6]); err != nil {
				return err
			}
		}
	}
	c.verbose("Renaming container %s (%.12s) to %s", u.name, u.id, u.final)
	_, err := c.ask("rename", u.name, u.final)
	return err
}

// procfile is the Procfile of the app's latest build: process type to command.
func (h *Host) procfile(app string) (map[string]string, error) {
	text, err := os.ReadFile(h.lib("data/apps/" + app + ".Procfile"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	commands := map[string]string{}
	for line := range strings.Lines(string(text)) {
		process, command, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && !strings.HasPrefix(process, "#") {
			commands[strings.TrimSpace(process)] = strings.TrimSpace(command)
		}
	}
	return commands, nil
}

// openrestyLabels are the labels that the openresty plugin puts on web
// containers; nothing here reads them, but `docker inspect` shows them.
func openrestyLabels(a *App) []string {
	vars := map[string]string{
		"access-log-path": "/var/log/nginx/" + a.Name + "-access.log", "bind-address-ipv6": "::", "client-body-timeout": "60s",
		"client-header-timeout": "60s", "client-max-body-size": "1m", "domains": a.Name + ".dokku.me",
		"error-log-path": "/var/log/nginx/" + a.Name + "-error.log", "hsts": "true", "hsts-include-subdomains": "true",
		"hsts-max-age": "15724800", "hsts-preload": "false", "https-port": "443", "keepalive-timeout": "75s", "letsencrypt": "false",
		"lingering-timeout": "5s", "port-mapping": a.ports()[0].String(), "proxy-buffer-size": "4k", "proxy-buffering": "on",
		"proxy-buffers": "8 4k", "proxy-busy-buffer-size": "8k", "proxy-connect-timeout": "60s", "proxy-read-timeout": "60s",
		"proxy-send-timeout": "60s", "send-timeout": "60s", "underscore-in-headers": "off",
		"x-forwarded-for-value": "$remote_addr", "x-forwarded-port-value": "$server_port", "x-forwarded-proto-value": "$scheme",
	}
	if network := a.Properties["network/initial-network"]; network != "" {
		vars["initial-network"] = network
	}
	var labels []string
	for _, k := range inOrder(vars) {
		labels = append(labels, "--label=openresty."+k+"="+vars[k])
	}
	return slices.Clip(labels)
}
