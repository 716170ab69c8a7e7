package dokku

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// App is what Dokku's reports say of an app. Which commit of it runs they do not know: that is Deployed.
type App struct {
	Name           string
	CreatedAt      time.Time // zero when not known
	DeploySource   string    // git-push, git-sync, docker-image, an archive's type; empty when never deployed
	DeployMetadata string    // of the last deploy that succeeded and was given it: commit, URL#commit, image or URL; may hold a token
	Git            Git
	Deployed       bool              // has ever been deployed
	Running        bool              // at least one of its processes runs, by whatever scheduler
	Config         map[string]string // names and values; the values are secrets
	Scale          map[string]int    // process type -> number
	Domains        []string
	Ports          []string // scheme:host-port:container-port, as set by hand
	PortsDetected  []string // the same, found by Dokku; empty before Dokku 0.31
	Storage        []string // host-path:container-path
	Missing        []string // reports that failed, so that their fields above are not known: domains, ports, scale, storage
}

// Git is `git:report`.
type Git struct {
	SHA           string    // head of the deploy branch, not what runs; short before Dokku 0.35; empty when there is none
	Branch        string    // the deploy branch
	BranchUpdated time.Time // last change of the branch in the app's repository; zero when not known
	RevEnvVar     string    // name of GIT_REV, which can be changed; empty when switched off
	SourceImage   string    // of git:from-image
}

// AppExists tells whether the app exists.
func (h *Host) AppExists(ctx context.Context, name string) (bool, error) {
	_, err := h.Run(ctx, h.dokku("apps:exists", name))
	if exitCode(err) == exitNoApp {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for app %q: %w", name, err)
	}
	return true, nil
}

// exitNoApp is Dokku's exit code for an app that does not exist.
const exitNoApp = 20

// App asks Dokku all about an app. One that does not exist is a backup.Problem matching ErrNoApp.
func (h *Host) App(ctx context.Context, name string) (*App, error) {
	if !validAppName(name) {
		return nil, noApp(name)
	}
	a := &App{Name: name}
	var mu sync.Mutex // of a.Missing
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	optional := func(what string, parse func(out []byte), commands ...string) {
		g.Go(func() error {
			for _, command := range commands {
				if out, err := h.Run(gctx, h.dokku(command, name)); err == nil {
					parse(out)
					return nil
				}
			}
			mu.Lock()
			defer mu.Unlock()
			a.Missing = append(a.Missing, what)
			return nil
		})
	}
	g.Go(func() error { return h.report(gctx, "apps:report", name, a.parseApps) })
	g.Go(func() error { return h.report(gctx, "git:report", name, a.parseGit) })
	g.Go(func() error { return h.report(gctx, "ps:report", name, a.parsePs) })
	g.Go(func() (err error) { a.Config, err = h.Config(gctx, name); return err })
	optional("scale", a.parseScale, "ps:scale")
	optional("domains", a.parseDomains, "domains:report")
	optional("ports", a.parsePorts, "ports:report", "proxy:report") // the latter is Dokku 0.30's
	optional("storage", a.parseStorage, "storage:list")
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.Sort(a.Missing)
	return a, ctx.Err()
}

// Config is the app's own config, names and values, without the host's global one. It is secret.
func (h *Host) Config(ctx context.Context, app string) (map[string]string, error) {
	out, err := h.Run(ctx, h.dokku("config:export", "--format", "json", app))
	if err != nil {
		return nil, appError(app, err)
	}
	var config map[string]string
	if json.Unmarshal(out, &config) != nil { // whose error would quote values
		return nil, fmt.Errorf("look at app %q: dokku config:export printed no JSON object", app)
	}
	return config, nil
}

// report runs a command about the app and hands its output to parse.
func (h *Host) report(ctx context.Context, command, app string, parse func(out []byte)) error {
	out, err := h.Run(ctx, h.dokku(command, app))
	if err != nil {
		return appError(app, err)
	}
	parse(out)
	return nil
}

func appError(app string, err error) error {
	if exitCode(err) == exitNoApp {
		return noApp(app)
	}
	return fmt.Errorf("look at app %q: %w", app, err)
}

func (a *App) parseApps(out []byte) {
	r := parseReport(out)
	a.CreatedAt = r.time("app created at")
	a.DeploySource = r["app deploy source"]
	a.DeployMetadata = r["app deploy source metadata"]
}

func (a *App) parseGit(out []byte) {
	r := parseReport(out)
	a.Git = Git{
		SHA:           r["git sha"],
		Branch:        r.first("git computed deploy branch", "git deploy branch", "git global deploy branch"),
		BranchUpdated: r.time("git last updated at"),
		RevEnvVar:     r["git rev env var"],
		SourceImage:   r["git source image"],
	}
	if !isSHA(a.Git.SHA) {
		a.Git.SHA = "" // git's answer for a repository without a commit is the word HEAD
	}
}

func (a *App) parsePs(out []byte) {
	r := parseReport(out)
	a.Deployed = r["deployed"] == "true"
	a.Running = r["running"] == "true" || r["running"] == "mixed"
}

func (a *App) parseScale(out []byte) { a.Scale = parseScale(out) }

func (a *App) parseDomains(out []byte) { a.Domains = parseReport(out).list("domains app vhosts") }

func (a *App) parsePorts(out []byte) {
	r := parseReport(out)
	a.Ports = append(r.list("ports map"), r.list("proxy port map")...)
	a.PortsDetected = r.list("ports map detected")
}

func (a *App) parseStorage(out []byte) { a.Storage = parseLines(out) }

// sourceImage is what was deployed instead of a commit of the user's: the image of git:from-image or the URL of
// git:from-archive, of which only host and path are kept, because the rest may hold a token.
func (a *App) sourceImage() string {
	switch {
	case a.Git.SourceImage != "" || a.DeploySource == "" || a.DeploySource == "git-push" || a.DeploySource == "git-sync":
		return a.Git.SourceImage
	case a.DeploySource == "docker-image":
		return a.DeployMetadata
	}
	u, err := url.Parse(a.DeployMetadata)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// validAppName refuses what could not be an app's name and would be dangerous in a path or as an argument. Source:
// IsValidAppName and IsValidAppNameOld of Dokku's plugins/common, widened to what older hosts still hold.
func validAppName(name string) bool {
	return name != "" && !strings.ContainsAny(name, "/: \t\n'\"\\") && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "-")
}

// isSHA tells whether s looks like a commit: 7 to 64 lower case hexadecimal digits.
func isSHA(s string) bool {
	return len(s) >= 7 && len(s) <= 64 && strings.Trim(s, "0123456789abcdef") == ""
}
