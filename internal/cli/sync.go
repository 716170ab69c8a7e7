package cli

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/stores"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) syncCommand() *cli.Command {
	return &cli.Command{
		Name: "sync", ArgsUsage: "[<store>]", Usage: "Send to stores what they lack",
		Description: `Lists a store, or all of them, and sends the backups that it lacks: only segments that are not there, each backup's manifest last.
What was cut off goes on where it stopped. Backups that were deleted here stay in the store. Not sent is what the store's own retention would
remove there, and backups of services whose upload is off.`,
		UsageText: "dokku backup:sync\ndokku backup:sync offsite",
		Flags:     []cli.Flag{formatFlag()},
		Action:    p.sync,
	}
}

func (p *program) sync(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	name, err := argument(c)
	if err != nil {
		return err
	}
	to, err := p.stores().Addressed()
	if err != nil {
		return err
	}
	if name != "" {
		r, err := p.stores().Get(name)
		if err != nil {
			return err
		}
		if r.ReadOnly {
			return stores.ReadOnly(r)
		}
		to = []stores.Remote{r}
	}
	if len(to) == 0 {
		return &backup.Problem{Message: "there is no store to send backups to", Hints: []string{"add one: dokku backup:store-add NAME URL"}}
	}
	repo, err := p.openRepository(c.Context)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return noBackups("any service")
	}
	if err != nil {
		return err
	}
	results, err := p.sendTo(c.Context, repo, to, true)
	if err != nil {
		return err
	}
	if asJSON {
		if err := p.printJSON(results); err != nil {
			return err
		}
	}
	for _, s := range results {
		if !s.OK() {
			return warnings{}
		}
	}
	return nil
}

// sendTo sends what each store lacks, and prints how it went. With look the stores are listed, whatever is remembered of them. A store that
// fails does not keep the others from being sent to; an error is of this host, or of a run that was interrupted.
func (p *program) sendTo(ctx context.Context, repo *repository.Repository, to []stores.Remote, look bool) ([]stores.Sent, error) {
	release, err := p.runs().Share() // so that no clean-up takes segments away
	if err != nil {
		return nil, err
	}
	defer release()
	limitMemory(memoryLimit)
	results := make([]stores.Sent, len(to))
	for i, r := range to {
		p.ui.Step("Sending to %s (%s)", r.Name, r.Kind())
		results[i] = p.send(ctx, repo, r, look)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p.printSent(results[i])
	}
	return results, nil
}

// sendLacking sends to the stores that lack a backup, as far as is remembered of them.
func (p *program) sendLacking(ctx context.Context) error {
	to, err := p.stores().Addressed()
	if err != nil || len(to) == 0 {
		return err
	}
	repo, err := p.openRepository(ctx)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := p.stores().Summaries(ctx, repo, here, "")
	if err != nil {
		return err
	}
	keptHere, err := p.keptHere(all)
	if err != nil {
		return err
	}
	copies, err := p.stores().Copies()
	if err != nil {
		return err
	}
	lacks := map[string]bool{}
	for _, s := range all {
		if !s.Unreadable && !keptHere[s.ID.Service()] {
			for _, name := range stores.Missing(copies.Of(s.ID)) {
				lacks[name] = true
			}
		}
	}
	to = slices.DeleteFunc(to, func(r stores.Remote) bool { return !lacks[r.Name] })
	if len(to) == 0 {
		return nil
	}
	_, err = p.sendTo(ctx, repo, to, false)
	return err
}

func (p *program) send(ctx context.Context, repo *repository.Repository, r stores.Remote, look bool) stores.Sent {
	var progress *ui.Progress
	sent := p.stores().Send(ctx, r, stores.Sending{
		From: repo, Look: look,
		Unwanted: func(ctx context.Context, store string, there *repository.Repository) (map[backup.ID]bool, error) {
			return p.unwanted(ctx, store, repo, there)
		},
		Progress: func() func(int64) {
			progress = p.ui.Progress(0)
			return func(n int64) { progress.Add(int(n)) }
		},
	})
	if progress != nil {
		progress.Done()
	}
	return sent
}

// printSent says how sending to a store went.
func (p *program) printSent(s stores.Sent) {
	if s.OK() {
		what := "nothing was lacking"
		if s.Bytes > 0 {
			what = ui.Bytes(s.Bytes) + " sent in " + ui.Took(time.Duration(s.Took)*time.Millisecond)
		}
		p.ui.Detail("confirmed; %s", what)
		return
	}
	problem := repository.Told(s.Err)
	p.ui.Warn("%s: %s", s.Store, problem.Message)
	for _, hint := range problem.Hints {
		p.ui.Warn("%s", hint)
	}
	if s.Bytes > 0 {
		p.ui.Warn("%s were sent and stay there; the rest is sent by the next backup or by: dokku backup:sync %s", ui.Bytes(s.Bytes), s.Store)
	} else {
		p.ui.Warn("it is tried again by the next backup or by: dokku backup:sync %s", cmp.Or(s.Store, "STORE"))
	}
}
