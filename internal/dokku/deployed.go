package dokku

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// State is what an app's processes are doing.
type State string

const (
	StateRunning       State = "running"
	StateStopped       State = "stopped"
	StateScaledToZero  State = "scaled to zero"
	StateNeverDeployed State = "never deployed"
	StateDeploying     State = "deploying" // containers of two images run at once
)

// Deployment is what is deployed of an app, and how sure that is.
type Deployment struct {
	App         string
	Commit      string // as found, see Abbreviated; empty when not known
	Abbreviated bool   // Commit is a short SHA: resolve it in Host.Repository
	Certainty   backup.Certainty
	Evidence    []string  // short facts, each true, in the order weighed; they hold no secrets
	DeployedAt  time.Time // when the image was released, else when its container was made; zero when not known
	ImageID     string    // what runs or ran; empty when not known
	Branch      string    // the deploy branch
	Source      string    // git-push, git-sync, docker-image ...
	SourceImage string    // image of git:from-image, or URL of git:from-archive without credentials
	Running     bool
	State       State
}

// facts is all that the decision rests on.
type facts struct {
	app          App         // its reports
	containers   []Container // of its processes, stopped ones included
	images       []Image     // of the containers, as far as they still exist
	latest       Image       // dokku/<app>:latest, which the next container would be made from; zero when there is none
	ledger       []Entry
	ledgerFailed bool      // it is there and cannot be read
	sourceSet    time.Time // when DeployMetadata was written; zero when not known
}

// Deployed finds out which commit of the app is deployed. An app that does not exist is a backup.Problem matching
// ErrNoApp; one that was never deployed is no error.
func (h *Host) Deployed(ctx context.Context, app string) (Deployment, error) {
	if !validAppName(app) {
		return Deployment{}, noApp(app)
	}
	f := facts{app: App{Name: app}}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.report(gctx, "apps:report", app, f.app.parseApps) })
	g.Go(func() error { return h.report(gctx, "git:report", app, f.app.parseGit) })
	g.Go(func() (err error) { f.containers, err = h.Containers(gctx, app); return err })
	if err := g.Wait(); err != nil {
		return Deployment{}, err
	}
	// Each question costs a good part of a second, so the others are asked only where their answer matters.
	serving, found := f.serving()
	if !found {
		g, gctx := errgroup.WithContext(ctx)
		g.Go(func() error { return h.report(gctx, "ps:report", app, f.app.parsePs) })
		g.Go(func() error { return h.report(gctx, "ps:scale", app, f.app.parseScale) })
		if err := g.Wait(); err != nil {
			return Deployment{}, err
		}
	}
	var err error
	if f.ledger, err = h.Ledger().Entries(app); err != nil {
		f.ledgerFailed = true // a backup of an unknown commit is better than none
	}
	if f.images, f.latest, err = h.imagesOf(ctx, f); err != nil {
		return Deployment{}, err
	}
	if _, recorded := f.recorded(serving.ImageID); !recorded {
		if f.app.Config, err = h.Config(ctx, app); err != nil {
			return Deployment{}, err
		}
	}
	// Dokku has no command for this time. Where the file is not as expected the time is unknown, no more.
	// Source: PropertyWrite in Dokku's plugins/common/properties.go.
	property := filepath.Join(h.LibRoot, "config", "apps", app, "deploy-source-metadata")
	if info, err := os.Stat(property); err == nil {
		f.sourceSet = info.ModTime()
	}
	return weigh(f), nil
}

// imagesOf looks up the images of the app's containers, and dokku/<app>:latest, zero when there is none. An image that is
// gone is left out.
func (h *Host) imagesOf(ctx context.Context, f facts) (images []Image, latest Image, err error) {
	look := func(ref string) (Image, error) {
		image, err := h.Image(ctx, ref)
		if errors.Is(err, ErrNotFound) {
			return Image{}, nil
		}
		if _, recorded := f.recorded(image.ID); err == nil && !recorded {
			image.built = h.builtAt(ctx, image)
		}
		return image, err
	}
	seen := map[string]bool{}
	for _, c := range f.containers {
		if seen[c.ImageID] {
			continue
		}
		seen[c.ImageID] = true
		image, err := look(c.ImageID)
		if err != nil {
			return nil, Image{}, err
		}
		images = append(images, image)
	}
	latest, err = look("dokku/" + f.app.Name + ":latest")
	return images, latest, err
}
