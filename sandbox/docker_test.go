package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestRealEngine deploys and exports on a real Docker engine, where there is
// one; its names are unlikely ones, since an engine may be shared.
func TestRealEngine(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := exec.CommandContext(ctx, "docker", "version").Run(); err != nil {
		t.Skipf("no Docker engine answers: %v", err)
	}
	h := newHost(t, "--docker")
	git := t.TempDir()
	ids := appRepository(t, git)
	service, app := "sandbox-test-"+hostID(h.dir), "sandbox-test-"+hostID(h.dir)
	h.must(t, "dokku", "postgres:create", service)
	baseImage(t, h, service)
	h.must(t, "dokku", "apps:create", app)
	h.must(t, "dokku", "postgres:link", service, app)
	h.must(t, "dokku", "git:sync", "--build", app, git+"/happycows", ids["first"])
	image := h.must(t, "docker", "inspect", "--format", "{{.Image}}", app+".web.1")
	if got := h.must(t, "docker", "exec", app+".web.1", "ls", "/app/db/migrate"); got != "001_cows.sql\n" {
		t.Errorf("files of the deployed app: got %q", got)
	}
	if _, _, code := h.run(t, "dokku", "git:sync", "--build", app, git+"/happycows", ids["crash"]); code != 1 {
		t.Errorf("failed deploy: exit %d, want 1", code)
	}
	if got := h.must(t, "docker", "inspect", "--format", "{{.Image}}", app+".web.1"); got != image {
		t.Errorf("container after a failed deploy: got %s, want %s", got, image)
	}
	if dump := h.must(t, "dokku", "postgres:export", service); !strings.HasPrefix(dump, "PGDMP") {
		t.Errorf("export begins with %q, want PGDMP", dump[:min(5, len(dump))])
	}
	h.must(t, "dokku", "--force", "apps:destroy", app)
	h.must(t, "dokku", "--force", "postgres:destroy", service)
}

// baseImage gives the service's image the name that the app's Dockerfile has from the transcripts, where the engine has no
// image of that name.
func baseImage(t *testing.T, h *host, service string) {
	const base = "postgres:15.18"
	if _, _, code := h.run(t, "docker", "image", "inspect", base); code == 0 {
		return
	}
	container := strings.TrimSpace(h.must(t, "dokku", "postgres:info", service, "--id"))
	h.must(t, "docker", "tag", strings.TrimSpace(h.must(t, "docker", "inspect", "--format", "{{.Image}}", container)), base)
	t.Cleanup(func() { h.run(t, "docker", "rmi", base) })
}
