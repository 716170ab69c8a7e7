package dokku

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// SetConfig adds values to an app's config, without a restart. The values go by standard input, to `config:import`. Before
// Dokku 0.37, which brought that, they go to `config:set --encoded`, where anybody who may list the host's processes sees them in
// base64 while it runs; Dokku has no other way. The mark of an app is left alone. An error names variables, never values.
func (h *Host) SetConfig(ctx context.Context, app string, values map[string]string) error {
	values = maps.Clone(values)
	delete(values, MarkKey)
	if len(values) == 0 {
		return nil
	}
	content, err := json.Marshal(values)
	if err != nil {
		return err
	}
	// What they print is dropped: it has all the values.
	err = h.Exec(ctx, Command{Argv: h.dokku("config:import", "--no-restart", "--format", "json", app, "-"), Stdin: bytes.NewReader(content)})
	if unknownCommand(err) {
		err = h.Exec(ctx, Command{Argv: h.configSet(app, values)})
	}
	if err != nil {
		return fmt.Errorf("set config of app %q: %w", app, withoutValues(err, values))
	}
	return nil
}

// UnsetConfig removes values from an app's config, without a restart. A key that is not there is fine.
func (h *Host) UnsetConfig(ctx context.Context, app string, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return h.change(ctx, app, append([]string{"config:unset", "--no-restart", app}, keys...)...)
}

func (h *Host) configSet(app string, values map[string]string) []string {
	argv := h.dokku("config:set", "--no-restart", "--encoded", app)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		argv = append(argv, key+"="+base64.StdEncoding.EncodeToString([]byte(values[key])))
	}
	return argv
}

// withoutValues cuts the values out of a program's error.
func withoutValues(err error, values map[string]string) error {
	var failed *RunError
	if !errors.As(err, &failed) {
		return err
	}
	var secrets []string
	for _, value := range values {
		secrets = append(secrets, "="+value)
	}
	return &RunError{Name: failed.Name, Code: failed.Code, Detail: redact(failed.Detail, secrets)}
}

// unknownCommand tells whether this Dokku lacks the command. Source: execute_dokku_cmd in the `dokku` script.
func unknownCommand(err error) bool {
	var failed *RunError
	return errors.As(err, &failed) && strings.Contains(failed.Detail, "is not a dokku command")
}

// SetInitialNetwork sets the network that the app's containers are in from their start, instead of Docker's default one.
func (h *Host) SetInitialNetwork(ctx context.Context, app, network string) error {
	return h.change(ctx, app, "network:set", app, "initial-network", network)
}

// SetDeployBranch sets the branch that builds are made of.
func (h *Host) SetDeployBranch(ctx context.Context, app, branch string) error {
	return h.change(ctx, app, "git:set", app, "deploy-branch", branch)
}

// SetScale sets how many containers of each process type the next build starts; it starts and stops none itself. Types that are
// not named stay as they are: web=1 in a new app. Where the app's own app.json has a formation, that one counts.
func (h *Host) SetScale(ctx context.Context, app string, scale map[string]int) error {
	if len(scale) == 0 {
		return nil
	}
	args := []string{"ps:scale", "--skip-deploy", app}
	for _, process := range slices.Sorted(maps.Keys(scale)) {
		args = append(args, process+"="+strconv.Itoa(scale[process]))
	}
	return h.change(ctx, app, args...)
}

// SetPorts sets the port maps (scheme:host-port:container-port) of the app. Only those of http are set: others need a
// certificate, which a backup does not hold, or a port of the host of their own.
func (h *Host) SetPorts(ctx context.Context, app string, maps []string) error {
	var http []string
	for _, m := range maps {
		if strings.HasPrefix(m, "http:") {
			http = append(http, m)
		}
	}
	if len(http) == 0 {
		return nil
	}
	err := h.change(ctx, app, append([]string{"ports:set", app}, http...)...)
	if unknownCommand(err) { // Dokku 0.30
		err = h.change(ctx, app, append([]string{"proxy:ports-set", app}, http...)...)
	}
	return err
}

// change runs a dokku command that changes the app and says nothing of interest.
func (h *Host) change(ctx context.Context, app string, args ...string) error {
	_, err := h.Run(ctx, h.dokku(args...))
	if exitCode(err) == exitNoApp {
		return noApp(app)
	}
	if err != nil {
		return fmt.Errorf("change app %q: %w", app, err)
	}
	return nil
}
