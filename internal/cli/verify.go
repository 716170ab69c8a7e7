package cli

import (
	"errors"
	"io/fs"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
)

func (p *program) verifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", ArgsUsage: "<id or service>", Usage: "Read a backup and check every byte of it",
		Description: `Reads every segment of a backup, checks it against its name, and counts and digests the rows of every table again.
The result is kept with the backup. It does not prove that the app works with the data: that is what a restore shows.`,
		UsageText: "dokku backup:verify happycows-db\ndokku backup:verify --all",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "verify all backups"}, formatFlag()},
		Action:    p.verify,
	}
}

// verdict is the result of verify as JSON.
type verdict struct {
	ID backup.ID `json:"id"`
	backup.Verified
}

func (p *program) verify(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	repo, entries, err := p.toVerify(c)
	if err != nil {
		return err
	}
	release, err := p.runs().Share()
	if err != nil {
		return err
	}
	defer release()
	verdicts := []verdict{}
	damaged := 0
	for _, e := range entries {
		result, err := p.verifyOne(c, repo, e)
		if err != nil {
			return err
		}
		if !result.OK() {
			damaged++
		}
		verdicts = append(verdicts, verdict{e.ID, result})
	}
	if asJSON {
		if err := p.printJSON(verdicts); err != nil {
			return err
		}
	}
	if damaged > 0 {
		return &backup.Problem{
			Message: count(damaged, "backup") + " of " + count(len(verdicts), "backup") + " cannot be restored as recorded",
			Hints:   []string{"earlier and later backups may be whole: dokku backup:verify --all", "make a new one now: dokku backup:create " + entries[0].ID.Service()},
		}
	}
	return nil
}

func (p *program) toVerify(c *cli.Context) (*repository.Repository, []repository.Entry, error) {
	name, err := argument(c)
	switch {
	case err != nil:
		return nil, nil, err
	case name == "" && !c.Bool("all"):
		return nil, nil, usage(c.Command, "which backup? give an id or a service, or --all")
	case name != "" && c.Bool("all"):
		return nil, nil, usage(c.Command, "either a name or --all")
	case name != "":
		repo, entry, err := p.chosen(c.Context, name)
		return repo, []repository.Entry{entry}, err
	}
	repo, err := p.openRepository(c.Context)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return nil, nil, noBackups("any service")
	}
	if err != nil {
		return nil, nil, err
	}
	entries, err := repo.List(c.Context, "")
	return repo, entries, err
}

func (p *program) verifyOne(c *cli.Context, repo *repository.Repository, e repository.Entry) (backup.Verified, error) {
	p.ui.Step("Verifying %s", e.ID)
	if e.Manifest == nil {
		p.ui.Warn("%s", e.Err)
		return backup.Verified{At: time.Now().UTC(), Problems: []string{e.Err.Error()}}, nil
	}
	progress := p.ui.Progress(e.Manifest.Stored.Raw)
	result, err := repo.Verify(c.Context, e.Manifest, func(n int64) { progress.Add(int(n)) })
	progress.Done()
	if err != nil {
		return result, err
	}
	result.At = time.Now().UTC().Truncate(time.Second)
	if err := repo.SetVerified(c.Context, e.ID, result); err != nil {
		return result, err
	}
	for _, problem := range result.Problems {
		p.ui.Warn("%s", problem)
	}
	if result.OK() {
		p.ui.Heading("%s is whole: %s read, sizes, rows and digests are as recorded", e.ID, count(result.Segments, "segment"))
	}
	return result, nil
}
