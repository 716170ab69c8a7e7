package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/restore"
)

// unfinishedError is the error of a restore that was interrupted, with what it left and how to go on.
type unfinishedError struct{ hints []string }

func (e *unfinishedError) Error() string { return "interrupted" }

// unfinished is the job of a journal, to go on with or to remove what it made.
func (p *program) unfinished(c *cli.Context, service string, remove bool) (*restore.Job, *repository.Repository, error) {
	if !backup.ValidServiceName(service) {
		return nil, nil, usage(c.Command, "%q is not the name of a service", service)
	}
	journal, err := p.journals().Open(service)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &backup.Problem{
			Message: fmt.Sprintf("there is no unfinished restore into %s", service),
			Hints:   []string{"begin one: dokku backup:restore ID " + service},
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if err := p.outlast(c.Context, journal.Mark); err != nil {
		return nil, nil, errors.Join(err, journal.Close())
	}
	repo, entry, err := p.chosen(c.Context, journal.Request.Store, string(journal.Request.Backup))
	if err != nil && remove && journal.Request.Replace == "" { // without the backup, or its key, it can still be removed
		lost := backup.Service{Type: journal.Request.Type, Name: journal.Request.Backup.Service()}
		entry.Manifest, err = &backup.Manifest{Services: []backup.Service{lost}}, nil
	}
	if err != nil {
		return nil, nil, errors.Join(err, journal.Close())
	}
	job, err := p.newJob(repo, entry, journal.Request)
	if err != nil {
		return nil, nil, errors.Join(err, journal.Close())
	}
	job.Journal = journal
	p.hand(job, repo, c.Int("jobs"))
	return job, repo, nil
}

// outlastWait is how long --resume and --abort wait for programs that a killed run had started: a build may take minutes.
const outlastWait = 10 * time.Minute

// outlast waits until nothing runs any more that a killed run had started: it would undo what is done next. Helper containers it
// ends, since nobody reads what they write.
func (p *program) outlast(ctx context.Context, mark string) error {
	deadline := time.Now().Add(outlastWait)
	for told := false; ; told = true {
		helpers, err := p.host.ListByLabel(ctx, dokku.HelperLabel+"="+mark)
		if err != nil {
			return err
		}
		for _, helper := range helpers {
			if err := p.host.Kill(ctx, helper.ID); err != nil {
				return err
			}
		}
		left, err := dokku.Outlived(mark)
		if err != nil || len(left) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return &backup.Problem{
				Message: "what the killed run had started is still running: " + strings.Join(left, ", "),
				Hints:   []string{"wait for it to end, or end it, and try again"}, Code: backup.ExitLocked,
			}
		}
		if !told {
			p.ui.Step("Waiting for what the killed run had started: %s", left[0])
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (p *program) resume(c *cli.Context, service string, asJSON bool) error {
	job, repo, err := p.unfinished(c, service, false)
	if err == nil {
		err = repo.NeedKey()
	}
	if err != nil {
		return err
	}
	if job.Practice {
		job.Journal.Close()
		return &backup.Problem{Message: service + " belongs to a practice run, which is not gone on with", Hints: []string{"remove it: dokku backup:practice --cleanup"}}
	}
	p.ui.Heading("Going on with the restore of %s into %s", job.Backup, service)
	return p.runRestore(c, job, repo, asJSON, restore.Resume)
}

func (p *program) abort(c *cli.Context, service string) error {
	job, _, err := p.unfinished(c, service, true)
	if err != nil {
		return err
	}
	p.ui.Step("Removing what the restore into %s made", service)
	if err := restore.Abort(c.Context, job); err != nil {
		return errors.Join(err, job.Journal.Close())
	}
	p.ui.Heading("Removed: nothing of the restore into %s is left", service)
	return nil
}
