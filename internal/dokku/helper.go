package dokku

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// HelperLabel marks every helper container; its value is the purpose that the caller gave. ListByLabel(ctx, HelperLabel)
// finds what a killed run left behind.
const HelperLabel = "com.dokku-backup.helper"

// Helper is a program of a service's own image, run in a container beside the service: it reaches the service on
// 127.0.0.1, is outside of its limits, and can be killed.
type Helper struct {
	Name      string   // of the container
	Purpose   string   // value of HelperLabel, such as the id of a backup
	Container string   // id of the service's container, whose network it joins
	Image     string   // image id: unlike a name it is never pulled, and always what the service runs
	Stdin     bool     // it reads the standard input of the docker command
	Folder    string   // host's path (Host.HostPath) of the folder that it sees as /out; empty: none
	CPUShares int      // weight against other containers, Docker's default being 1024; 0: that default
	Secrets   []string // names of variables; their values come from Command.Secrets, never through argv
	Program   string
	Args      []string
}

// HelperRun is the argv of a helper. It runs in the foreground and is removed when it ends.
func (h *Host) HelperRun(p Helper) []string {
	argv := h.docker("run", "--rm", "--name", p.Name, "--label", HelperLabel+"="+p.Purpose,
		"--network", "container:"+p.Container)
	if p.Stdin {
		argv = append(argv, "--interactive")
	}
	if p.CPUShares > 0 {
		argv = append(argv, "--cpu-shares", strconv.Itoa(p.CPUShares))
	}
	for _, name := range p.Secrets {
		argv = append(argv, "-e", name)
	}
	if p.Folder != "" {
		argv = append(argv, "-v", p.Folder+":/out")
	}
	argv = append(argv, "--entrypoint", p.Program, p.Image)
	return append(argv, p.Args...)
}

// Kill ends a container by name or id, and removes it: one whose client died before it was started would stay otherwise, whatever --rm says.
// One that never was, or is being removed, is not an error.
func (h *Host) Kill(ctx context.Context, name string) error {
	_, err := h.Run(ctx, h.docker("rm", "--force", name))
	var failed *RunError
	if errors.As(err, &failed) {
		detail := strings.ToLower(failed.Detail)
		if strings.Contains(detail, "no such container") || strings.Contains(detail, "already in progress") {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("kill container %q: %w", name, err)
	}
	return nil
}
