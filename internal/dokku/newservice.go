package dokku

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// NewService is a service to be made.
type NewService struct {
	Service
	Image        string // without a tag, such as postgres
	ImageVersion string // the tag, such as 15.18
	Network      string // the network that it is in instead of Docker's default one; empty: that one
	Mark         string
}

// SplitImage takes a reference such as postgres:15.18 apart at its tag, which is "latest" where there is none.
func SplitImage(ref string) (image, version string) {
	at := strings.LastIndex(ref, ":")
	if at < 0 || strings.Contains(ref[at:], "/") { // a registry's port
		return ref, "latest"
	}
	return ref[:at], ref[at+1:]
}

// ServiceExists tells whether the service exists, running or not.
func (h *Host) ServiceExists(ctx context.Context, s Service) (bool, error) {
	out, err := h.Run(ctx, h.dokku(s.Type+":list"))
	if err != nil {
		return false, fmt.Errorf("look for service %q: %w", s, err)
	}
	return slices.Contains(parseLines(out), s.Name), nil
}

// CreateService makes a service, which runs when this returns. A name that is taken is a backup.Problem matching ErrExists, an
// image that cannot be had one matching ErrNoImage; nothing was made then. After any other error, and after a cancel, the
// service may be there in part: DestroyService takes it away.
func (h *Host) CreateService(ctx context.Context, n NewService) error {
	_, err := h.Run(ctx, h.createService(n)) // its output, which holds the password, is not looked at
	var failed *RunError
	if !errors.As(err, &failed) {
		return err
	}
	switch {
	case strings.Contains(failed.Detail, "already exists"):
		return exists("service", n.String(), err)
	case strings.Contains(failed.Detail, "pull failed"), strings.Contains(failed.Detail, "Not running pull command"):
		return noImage(n.Image+":"+n.ImageVersion, failed)
	}
	return fmt.Errorf("create service %q: %w", n, err)
}

func (h *Host) createService(n NewService) []string {
	argv := h.dokku(n.Type+":create", n.Name, "--image", n.Image, "--image-version", n.ImageVersion, "--custom-env", MarkKey+"="+n.Mark)
	if n.Network != "" {
		argv = append(argv, "--initial-network", n.Network)
	}
	return argv
}

// DestroyService removes a service with its data, if it bears the mark; a backup.Problem matching ErrNotOurs says that it does
// not. One that does not exist is fine, one that an app is linked to is an error.
func (h *Host) DestroyService(ctx context.Context, s Service, mark string) error {
	there, err := h.ServiceExists(ctx, s)
	if err != nil || !there {
		return err
	}
	found, err := h.serviceMark(ctx, s)
	if err != nil {
		return fmt.Errorf("look at service %q: %w", s, err)
	}
	if !bears(found, mark) {
		return notOurs("service", s.String())
	}
	if _, err := h.Run(ctx, h.dokku("--force", s.Type+":destroy", s.Name)); err != nil {
		return fmt.Errorf("destroy service %q: %w", s, err)
	}
	return nil
}

// serviceMark is the mark in the environment of the service's container. A service that is stopped, or whose making was cut
// short, has none: then it is what the plugin notes for the next container, in the file ENV (service_commit_config in
// common-functions of the official plugins).
func (h *Host) serviceMark(ctx context.Context, s Service) (string, error) {
	if info, err := h.Info(ctx, s); err == nil && info.ContainerID != "" {
		c, err := h.Container(ctx, info.ContainerID)
		if !errors.Is(err, ErrNotFound) {
			return c.Env[MarkKey], err
		}
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	env, err := os.ReadFile(filepath.Join(h.servicesDir(), s.Type, s.Name, "ENV"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return parseEnv(strings.Split(string(env), "\n"))[MarkKey], err
}

// servicesDir is where the official plugins keep their services' data (PLUGIN_DATA_ROOT in their file config).
func (h *Host) servicesDir() string { return filepath.Join(h.LibRoot, "services") }

func exists(what, name string, cause error) error {
	return &backup.Problem{
		Message: fmt.Sprintf("%s %q exists already", what, name),
		Hints:   []string{"give a name that is free"},
		Err:     errors.Join(ErrExists, cause),
	}
}

func noImage(ref string, failed *RunError) error {
	return &backup.Problem{
		Message: fmt.Sprintf("image %s is not on this host and cannot be pulled: %s", ref, failed.Detail),
		Hints:   []string{"see what is wrong: docker pull " + ref},
		Err:     errors.Join(ErrNoImage, failed),
	}
}
