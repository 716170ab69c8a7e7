package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/stores"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// maxTimeout is how many minutes a run may be given at most.
const maxTimeout = 1440

func (p *program) createCommand() *cli.Command {
	return &cli.Command{
		Name: "create", ArgsUsage: "[<service>]", Usage: "Back up a service with the commit that its app runs",
		Description: `Captures all databases of a service in one snapshot, its roles, the commit that each linked app really runs
and that app's config, as one backup. Service and app are not changed and go on running.
The last line on stdout is the id of the backup.`,
		UsageText: `dokku backup:create happycows-db
dokku backup:create happycows-db --note "before the spring release"`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "note", Usage: "words to find the backup by"},
			&cli.IntFlag{Name: "timeout", Usage: "`MINUTES` after which the run is given up, 1 to 1440 (default as set for the service, else 60)"},
			&cli.BoolFlag{Name: "pin", Usage: "never remove this backup; see pin"},
			formatFlag(),
		},
		Action: p.create,
	}
}

func (p *program) create(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	minutes := c.Int("timeout")
	if c.IsSet("timeout") && (minutes < 1 || minutes > maxTimeout) {
		return usage(c.Command, "--timeout is 1 to %d minutes, not %d", maxTimeout, minutes)
	}
	name, err := argument(c)
	if err != nil {
		return err
	}
	service, err := p.service(c.Context, name)
	if err != nil {
		return err
	}
	m, err := p.backUp(c.Context, order{
		service: service, note: c.String("note"), trigger: backup.Manual, timeout: time.Duration(minutes) * time.Minute, pin: c.Bool("pin"),
	})
	if err != nil {
		return err
	}
	return p.created(m, asJSON)
}

// sendNew sends a backup that was just made, and what stores lack of earlier ones, to every store; to none while upload is off.
func (p *program) sendNew(ctx context.Context, service dokku.Service) ([]stores.Sent, error) {
	if upload, err := p.isOn(service.Name, "upload"); err != nil || !upload {
		return nil, err
	}
	stores, err := p.stores().Addressed()
	if err != nil || len(stores) == 0 {
		return nil, err
	}
	repo, err := p.openRepository(ctx)
	if err != nil {
		return nil, err
	}
	return p.sendTo(ctx, repo, stores, false)
}

// notCreated adds to a failure that no hint was written for what it left, and where to look.
func notCreated(err error, service dokku.Service) error {
	var problem *backup.Problem
	var damage *repository.DamageError
	var path *fs.PathError
	var failed *dokku.RunError
	if errors.As(err, &problem) && errors.As(err, &failed) { // what a program that failed leaves depends on what it was run for
		told := *problem
		told.Hints = append([]string{"nothing was kept of this run, earlier backups are intact"}, problem.Hints...)
		return &told
	}
	if errors.As(err, &problem) || errors.As(err, &damage) || errors.As(err, &path) {
		return err
	}
	return &backup.Problem{
		Message: err.Error(),
		Hints: []string{
			"nothing was kept of this run, earlier backups are intact",
			fmt.Sprintf("see what the server says, and try again: dokku %s:logs %s", service.Type, service.Name),
		},
		Err: err,
	}
}

// service is the service that is named, or, on a terminal, chosen from a list.
func (p *program) service(ctx context.Context, name string) (dokku.Service, error) {
	if name == "" {
		all, err := p.host.Services(ctx)
		if err != nil {
			return dokku.Service{}, err
		}
		names := make([]string, len(all))
		for i, s := range all {
			names[i] = s.String()
		}
		if name, err = p.choose(ctx, "Back up which service?", names, "dokku backup:create SERVICE"); err != nil {
			return dokku.Service{}, err
		}
	}
	service, err := p.host.Find(ctx, name)
	if err != nil {
		return dokku.Service{}, err
	}
	if service.Type != "postgres" {
		return dokku.Service{}, &backup.Problem{
			Message: fmt.Sprintf("%s cannot be backed up: this version knows services of type postgres only", service),
		}
	}
	return service, nil
}

// created prints what was made.
func (p *program) created(m *made, asJSON bool) error {
	service := m.Services[0].Name
	p.ui.Heading("%s", m.words())
	for _, w := range m.Warnings {
		p.ui.Warn("%s", w)
	}
	p.ui.Detail("Prove it:   dokku backup:practice %s", service)
	p.ui.Detail("Restore it: dokku backup:restore %s NEW-SERVICE", service)
	if asJSON {
		if err := p.printJSON(struct {
			*backup.Manifest
			Stores []stores.Sent `json:"stores,omitempty"`
		}{m.Manifest, m.stores}); err != nil {
			return err
		}
	} else {
		p.print("%s", m.ID)
	}
	if !m.whole() {
		return warnings{}
	}
	return nil
}

// words say in a line what was made.
func (m *made) words() string {
	lacking := ""
	for _, s := range m.stores {
		if !s.OK() {
			lacking += ", missing at " + s.Store
		}
	}
	state := stateWords(m.Manifest)
	if lacking != "" {
		state += " here" + lacking
	}
	return fmt.Sprintf("%s is %s: %s as %s in %s", m.ID, state, ui.Bytes(m.Stored.Raw), ui.Bytes(m.Stored.New+m.Stored.Reused),
		ui.Took(time.Duration(m.Timings.Total)*time.Millisecond))
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
