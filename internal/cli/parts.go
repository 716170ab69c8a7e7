package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/code"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/postgres"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/restore"
)

var _ restore.Repository = (*repository.Repository)(nil)

// newServices is the host as restore sees it, where services of one type are concerned.
type newServices struct {
	*program
	typ    string
	jobs   int    // tables at once; 0: as many as there are cores
	folder string // private, for helper containers
	mark   string
}

var _ restore.Services = newServices{}

func (s newServices) named(name string) dokku.Service { return dokku.Service{Type: s.typ, Name: name} }

// Exists implements restore.Services, as do those below.
func (s newServices) Exists(ctx context.Context, name string) (bool, error) {
	return s.host.ServiceExists(ctx, s.named(name))
}
func (s newServices) Room(context.Context) (int64, error) { return s.host.FreeSpace() }
func (s newServices) HasImage(ctx context.Context, image string) (bool, error) {
	return s.host.HasImage(ctx, image)
}
func (s newServices) FetchImage(ctx context.Context, image string) error {
	return s.host.PullImage(ctx, image)
}
func (s newServices) CreateNetwork(ctx context.Context, name, mark string) error {
	return s.host.CreateNetwork(ctx, name, mark)
}
func (s newServices) RemoveNetwork(ctx context.Context, name, mark string) error {
	return s.host.RemoveNetwork(ctx, name, mark)
}
func (s newServices) Create(ctx context.Context, n restore.NewService) error {
	image, version := dokku.SplitImage(n.Image)
	return s.host.CreateService(ctx, dokku.NewService{
		Service: s.named(n.Name), Image: image, ImageVersion: version, Network: n.Network, Mark: n.Mark,
	})
}
func (s newServices) Destroy(ctx context.Context, name, mark string) error {
	return s.host.DestroyService(ctx, s.named(name), mark)
}
func (s newServices) Leftovers(ctx context.Context, mark string) ([]string, error) {
	return s.host.Leftovers(ctx, mark)
}

// Open implements restore.Services.
func (s newServices) Open(ctx context.Context, name string) (restore.Server, error) {
	service := s.named(name)
	info, err := s.host.Info(ctx, service)
	if err != nil {
		return nil, err
	}
	if !info.Running() {
		return nil, dokku.Stopped(service)
	}
	container, err := s.host.Container(ctx, info.ContainerID)
	if err != nil {
		return nil, err
	}
	server, err := s.server(service, info, container)
	if err != nil {
		return nil, err
	}
	server.Tools = &dokku.Tools{
		Host: s.host, Container: container.ID, Image: container.ImageID, Purpose: s.mark, Folder: s.folder, Stall: restoreStall,
		Fallback: func(why error) {
			s.ui.Detail("no helper container could start (%v): loading through docker exec, which is slower", why)
		},
	}
	jobs := s.jobs
	if jobs == 0 {
		jobs = min(runtime.NumCPU(), maxJobs)
	}
	return newServer{server, jobs}, nil
}

// maxJobs is how many tables are loaded at once unless more are asked for: each needs some 30 MiB here and a server process there.
const maxJobs = 4

// newServer is the new service's server as restore sees it.
type newServer struct {
	*postgres.Server
	jobs int
}

var _ restore.Server = newServer{}

// Load implements restore.Server, as do those below.
func (s newServer) Load(ctx context.Context, service backup.Service, from restore.Repository, progress func(n int)) error {
	return s.Server.Load(ctx, service, from, postgres.Loading{Jobs: s.jobs, Progress: progress})
}

// newApps is the host as restore sees it, where apps are concerned.
type newApps struct {
	*program
	typ    string // of the service that they are linked to
	folder string // private, for bundles and logs
	repo   *repository.Repository
}

var _ restore.Apps = newApps{}

func (a newApps) service(name string) dokku.Service { return dokku.Service{Type: a.typ, Name: name} }

// Exists implements restore.Apps, as do those below.
func (a newApps) Exists(ctx context.Context, name string) (bool, error) {
	return a.host.AppExists(ctx, name)
}

func (a newApps) Create(ctx context.Context, n restore.NewApp) error {
	if err := a.host.CreateApp(ctx, n.Name, n.Mark); err != nil {
		return err
	}
	if n.Network != "" {
		if err := a.host.SetInitialNetwork(ctx, n.Name, n.Network); err != nil {
			return err
		}
	}
	if n.Branch != "" {
		if err := a.host.SetDeployBranch(ctx, n.Name, n.Branch); err != nil {
			return err
		}
	}
	if len(n.Config) > 0 {
		if err := a.host.SetConfig(ctx, n.Name, n.Config); err != nil {
			return err
		}
	}
	if err := a.host.SetPorts(ctx, n.Name, n.Ports); err != nil {
		return err
	}
	return a.host.SetScale(ctx, n.Name, n.Scale)
}

func (a newApps) Destroy(ctx context.Context, name, mark string, since time.Time) error {
	return a.host.DestroyApp(ctx, name, mark, since)
}

// Sync takes the code from the remote, or out of the backup's bundle, or else from what the app has already.
func (a newApps) Sync(ctx context.Context, name string, c restore.Code) error {
	switch {
	case c.Remote != "":
		err := a.host.SyncCode(ctx, name, c.Remote, c.Commit)
		var failed *dokku.RunError
		if errors.As(err, &failed) {
			return &backup.Problem{
				Message: fmt.Sprintf("commit %s cannot be had from the remote: %v", c.Commit, failed),
				Hints:   []string{"if it was pushed over by force: the backup's own commit needs no remote, leave out --from-remote"},
				Err:     err,
			}
		}
		return err
	case c.Bundle == nil:
		return a.host.SyncCode(ctx, name, a.host.Repository(name), c.Commit)
	}
	path := filepath.Join(a.folder, "code.bundle")
	defer os.Remove(path)
	if err := a.writeBundle(ctx, path, c); err != nil {
		return err
	}
	return a.host.SyncCode(ctx, name, path, c.Commit)
}

func (a newApps) writeBundle(ctx context.Context, path string, c restore.Code) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	in := a.repo.Reader(ctx, c.Bundle)
	defer in.Close()
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Link implements restore.Apps.
func (a newApps) Link(ctx context.Context, service, name string, l restore.Link) error {
	alias := strings.TrimSuffix(l.Key, "_URL")
	if l.Key == "DATABASE_URL" {
		alias = ""
	}
	if err := a.host.Link(ctx, a.service(service), name, alias); err != nil {
		return err
	}
	info, err := a.host.Info(ctx, a.service(service))
	if err != nil {
		return err
	}
	values := map[string]string{}
	for key, old := range l.Also {
		if values[key], err = restore.Readdress(old, info.DSN); err != nil {
			return fmt.Errorf("config %s: %w", key, err)
		}
	}
	if values[l.Key] == info.DSN {
		delete(values, l.Key)
	}
	if len(values) == 0 {
		return nil
	}
	return a.host.SetConfig(ctx, name, values)
}

// buildLines is how much of a failed build's log is shown.
const buildLines = 20

// Build builds and deploys the app; what that prints is shown only when it fails.
func (a newApps) Build(ctx context.Context, name string) error {
	var log bytes.Buffer
	err := a.host.Build(ctx, name, &log)
	if err == nil || ctx.Err() != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	for _, line := range lines[max(0, len(lines)-buildLines):] {
		a.ui.Detail("%s", line)
	}
	why := err.Error()
	var failed *dokku.RunError
	if errors.As(err, &failed) && failed.Detail != "" {
		why = failed.Detail
	}
	return &backup.Problem{
		Message: fmt.Sprintf("%s could not be built or deployed: %s", name, why),
		Hints:   []string{"see why: dokku ps:rebuild " + name + "; dokku logs " + name},
		Err:     err,
	}
}

// Health implements restore.Apps.
func (a newApps) Health(ctx context.Context, name string, want map[string]int) (backup.Health, error) {
	running, err := a.host.Processes(ctx, name)
	health := backup.Health{Processes: running}
	if err != nil {
		return health, err
	}
	for process, n := range want {
		if running[process] < n {
			health.Trouble = fmt.Sprintf("%d of %d %s processes run", running[process], n, process)
		}
	}
	return health, nil
}

// askWait is how long the app may take for one answer.
const askWait = 15 * time.Second

// Ask asks the web process itself, past the host's proxy, with a domain of the app as Host. A redirect is an answer.
func (a newApps) Ask(ctx context.Context, name, path string) (status int, took time.Duration, err error) {
	address, err := a.host.Web(ctx, name)
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/"+strings.TrimPrefix(path, "/"), nil)
	if err != nil {
		return 0, 0, err
	}
	if domains, err := a.host.Domains(ctx, name); err != nil {
		return 0, 0, err
	} else if len(domains) > 0 {
		request.Host = domains[0]
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, time.Since(began), nil
}

// Running implements restore.Apps. Where it is not known what runs, it is what the deploy branch holds.
func (a newApps) Running(ctx context.Context, name string) (string, error) {
	d, err := apps{a.host}.Deployed(ctx, name)
	if err != nil || d.Commit != "" || d.Branch == "" {
		return d.Commit, err
	}
	commit, err := apps{a.host}.resolve(name, d.Branch)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, code.ErrNoCommit) {
		return "", nil // it has no code
	}
	return commit.SHA, err
}

// colourKey is how a link names a service when the usual name is taken: service_alternative_alias of the official plugins.
var colourKey = regexp.MustCompile(`^DOKKU_[A-Z]+_[A-Z]+_URL$`)

// Relink implements restore.Apps: every config key that holds the address of from gets that of to, whatever it is called. What is
// done already stays, so that it can be repeated.
func (a newApps) Relink(ctx context.Context, name, from, to string) error {
	if err := a.host.Link(ctx, a.service(to), name, ""); err != nil {
		return err
	}
	info, err := a.host.Info(ctx, a.service(to))
	if err != nil {
		return err
	}
	config, err := a.host.Config(ctx, name)
	if err != nil {
		return err
	}
	leads := func(value, service string) bool {
		return restore.LeadsTo(value, backup.Service{Type: a.typ, Name: service})
	}
	values, extra, named := map[string]string{}, []string{}, false
	for key, value := range config {
		switch {
		case leads(value, from):
			if values[key], err = restore.Readdress(value, info.DSN); err != nil {
				return fmt.Errorf("config %s: %w", key, err)
			}
		case leads(value, to) && colourKey.MatchString(key):
			extra = append(extra, key)
		case leads(value, to):
			named = true
		}
	}
	if err := a.host.SetConfig(ctx, name, values); err != nil {
		return err
	}
	if named || len(values) > 0 { // the link's own key is not needed
		if err := a.host.UnsetConfig(ctx, name, extra); err != nil {
			return err
		}
	}
	if from == to { // the lost service's name again
		return nil
	}
	if there, err := a.host.ServiceExists(ctx, a.service(from)); err != nil || !there {
		return err
	}
	if info, err = a.host.Info(ctx, a.service(from)); err != nil || !slices.Contains(info.Apps, name) {
		return err
	}
	return a.host.Unlink(ctx, a.service(from), name)
}

// Verify implements restore.Server.
func (s newServer) Verify(ctx context.Context, service backup.Service, from restore.Repository, exact bool) (backup.Proof, error) {
	return s.Server.Verify(ctx, service, from, exact)
}
