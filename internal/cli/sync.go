package cli

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
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

// sent is what came of sending to a store.
type sent struct {
	Store    string `json:"store"`
	State    string `json:"state"` // confirmed; missing: not all backups are there
	Why      string `json:"why,omitempty"`
	Backups  int    `json:"backups"`    // that were sent
	Bytes    int64  `json:"sent_bytes"` // all that was written there
	Requests int64  `json:"requests"`   // puts, gets, lists and deletes
	Took     int64  `json:"took_ms"`
	problem  error
}

func (s sent) ok() bool { return s.problem == nil }

func (p *program) sync(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	name, err := argument(c)
	if err != nil {
		return err
	}
	stores, err := p.addressed()
	if err != nil {
		return err
	}
	if name != "" {
		r, err := p.remote(name)
		if err != nil {
			return err
		}
		if r.ReadOnly {
			return readOnly(r)
		}
		stores = []remote{r}
	}
	if len(stores) == 0 {
		return &backup.Problem{Message: "there is no store to send backups to", Hints: []string{"add one: dokku backup:store-add NAME URL"}}
	}
	repo, err := p.openRepository(c.Context)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return noBackups("any service")
	}
	if err != nil {
		return err
	}
	results, err := p.sendTo(c.Context, repo, stores, true)
	if err != nil {
		return err
	}
	if asJSON {
		if err := p.printJSON(results); err != nil {
			return err
		}
	}
	for _, s := range results {
		if !s.ok() {
			return warnings{}
		}
	}
	return nil
}

// sendTo sends what each store lacks, and prints how it went. With look the stores are listed, whatever is remembered of them. A store that
// fails does not keep the others from being sent to; an error is of this host, or of a run that was interrupted.
func (p *program) sendTo(ctx context.Context, repo *repository.Repository, stores []remote, look bool) ([]sent, error) {
	release, err := p.runs().Share() // so that no clean-up takes segments away
	if err != nil {
		return nil, err
	}
	defer release()
	limitMemory(memoryLimit)
	results := make([]sent, len(stores))
	for i, r := range stores {
		p.ui.Step("Sending to %s (%s)", r.Name, r.kind())
		results[i] = p.sendToOne(ctx, repo, r, look)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p.printSent(results[i])
	}
	return results, nil
}

// sendLacking sends to the stores that lack a backup, as far as is remembered of them.
func (p *program) sendLacking(ctx context.Context) error {
	stores, err := p.addressed()
	if err != nil || len(stores) == 0 {
		return err
	}
	repo, err := p.openRepository(ctx)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := p.summaries(ctx, repo, here, "")
	if err != nil {
		return err
	}
	keptHere, err := p.keptHere(all)
	if err != nil {
		return err
	}
	copies, err := p.copies()
	if err != nil {
		return err
	}
	lacks := map[string]bool{}
	for _, s := range all {
		if !s.Unreadable && !keptHere[s.ID.Service()] {
			for _, name := range missing(copies.of(s.ID)) {
				lacks[name] = true
			}
		}
	}
	stores = slices.DeleteFunc(stores, func(r remote) bool { return !lacks[r.Name] })
	if len(stores) == 0 {
		return nil
	}
	_, err = p.sendTo(ctx, repo, stores, false)
	return err
}

func (p *program) sendToOne(ctx context.Context, repo *repository.Repository, r remote, look bool) (result sent) {
	began := time.Now()
	result = sent{Store: r.Name, State: "confirmed"}
	release, err := p.holdStore(ctx, r.Name)
	if err == nil {
		defer release()
		err = p.send(ctx, repo, r, look, &result)
	}
	result.Took = time.Since(began).Milliseconds()
	if err != nil {
		result.State, result.Why, result.problem = "missing", told(err).Message, err
	}
	return result
}

func (p *program) send(ctx context.Context, repo *repository.Repository, r remote, look bool, result *sent) error {
	mirror, s, err := p.mirror(ctx, r, repo)
	if err != nil {
		return err
	}
	defer s.Close()
	progress := p.ui.Progress(0)
	mirror.Progress = func(n int64) { progress.Add(int(n)) }
	if look {
		mirror.Copy.Looked = time.Time{}
	}
	if mirror.Copy.Unwanted, err = p.unwanted(ctx, r.Name, repo, repo.At(s)); err != nil {
		return err
	}
	err = mirror.Sync(ctx)
	progress.Done()
	counts := s.Counts()
	result.Backups = mirror.Sent
	result.Bytes, result.Requests = counts.Sent, counts.Put+counts.Get+counts.List+counts.Delete
	return err
}

// told is an error as a person is told it.
func told(err error) *backup.Problem {
	var problem *backup.Problem
	var other *repository.OtherWriterError
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &other):
		return &backup.Problem{
			Message: other.Error() + "; two hosts never write to one place",
			Hints: []string{
				"give this host a place of its own: another path or prefix",
				"or, when that host is gone: dokku backup:store-add NAME URL --take-over",
			}, Err: err,
		}
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	told := &backup.Problem{Message: message, Err: err}
	if errors.As(err, new(*repository.DamageError)) {
		told.Hints = []string{"find out what is damaged: dokku backup:verify --all"}
	}
	return told
}

// printSent says how sending to a store went.
func (p *program) printSent(s sent) {
	if s.ok() {
		what := "nothing was lacking"
		if s.Bytes > 0 {
			what = ui.Bytes(s.Bytes) + " sent in " + ui.Took(time.Duration(s.Took)*time.Millisecond)
		}
		p.ui.Detail("confirmed; %s", what)
		return
	}
	problem := told(s.problem)
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
