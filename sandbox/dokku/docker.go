package dokku

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
)

// docker is the command that DOCKER_BIN stands for on this host.
func (c *call) docker(args ...string) *exec.Cmd {
	program := "docker"
	if !c.h.Docker {
		program = c.h.path("bin/docker")
	}
	cmd := exec.CommandContext(c.ctx, program, args...)
	cmd.Env = c.env
	return cmd
}

// ask runs a docker command and returns what it prints.
func (c *call) ask(args ...string) (string, error) {
	cmd := c.docker(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// stream runs a docker command on the caller's own input and output, and ends
// as it does.
func (c *call) stream(args ...string) error {
	cmd := c.docker(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.out, c.err
	return c.runToEnd(cmd)
}

// labelled is the label that lets `down` find what this sandbox made.
func (h *Host) labelled() string { return "sandbox=" + h.ID }

// containers returns the ids of an app's containers that ps's further
// arguments select.
func (c *call) containers(app string, more ...string) ([]string, error) {
	out, err := c.ask(append([]string{"ps", "-q", "--no-trunc", "--filter", "label=com.dokku.app-name=" + app,
		"--filter", "label=com.dokku.container-type=deploy"}, more...)...)
	return strings.Fields(out), err
}
