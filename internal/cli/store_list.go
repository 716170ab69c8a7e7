package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store"
	"github.com/dokku-backup/dokku-backup/internal/stores"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) storeListCommand() *cli.Command {
	return &cli.Command{
		Name: "store-list", Usage: "List stores with what they hold and how far they are behind",
		Description: `Asks each store what it holds: whether it can be reached, objects, bytes, its newest backup, and how many of the backups that
are here it lacks. Ends with 3 when a store cannot be reached or is behind.`,
		UsageText: "dokku backup:store-list\ndokku backup:store-list --format json",
		Flags:     []cli.Flag{formatFlag()},
		Action:    p.storeList,
	}
}

// storeState is a store as store-list shows it.
type storeState struct {
	Name     string    `json:"name"`
	URL      string    `json:"url"`
	ReadOnly bool      `json:"read_only"`
	State    string    `json:"state"` // ok, behind, unreachable
	Why      string    `json:"why,omitempty"`
	Objects  int64     `json:"objects"`
	Bytes    int64     `json:"bytes"`
	Backups  int       `json:"backups"`
	Newest   backup.ID `json:"newest,omitempty"`
	Behind   int       `json:"behind"` // backups that are here and not whole there
}

func (p *program) storeList(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	if c.NArg() > 0 {
		return usage(c.Command, "takes no argument")
	}
	all, err := p.stores().All()
	if err != nil {
		return err
	}
	states := []storeState{}
	for _, r := range all {
		state, err := p.storeState(c.Context, r)
		if err != nil {
			return err
		}
		states = append(states, state)
	}
	if asJSON {
		err = p.printJSON(states)
	} else {
		err = p.printStores(states)
	}
	if err != nil {
		return err
	}
	for _, s := range states {
		if s.State != "ok" {
			return warnings{}
		}
	}
	return nil
}

// storeState asks a store. What is wrong with it is in the state; an error is of this host.
func (p *program) storeState(ctx context.Context, r stores.Remote) (storeState, error) {
	state := storeState{Name: r.Name, URL: r.URL, ReadOnly: r.ReadOnly, State: "ok"}
	repo, err := p.openRepository(ctx)
	if err != nil {
		return state, err
	}
	err = p.askStore(ctx, r, repo, &state)
	if ctx.Err() != nil {
		return state, context.Cause(ctx)
	}
	if err != nil {
		state.State, state.Why = "unreachable", repository.Told(err).Message
	} else if state.Behind > 0 {
		state.State = "behind"
	}
	return state, nil
}

func (p *program) askStore(ctx context.Context, r stores.Remote, repo *repository.Repository, state *storeState) error {
	s, err := p.stores().Open(ctx, r, repo)
	if err != nil {
		return err
	}
	defer s.Close()
	there, err := repo.At(s).Look(ctx)
	if err != nil {
		return err
	}
	state.Objects, state.Bytes, state.Backups = there.Objects, there.Bytes, len(there.Backups)
	if len(there.Backups) > 0 {
		state.Newest = there.Backups[0]
	}
	if r.ReadOnly {
		return nil
	}
	lacking, err := repo.Lacking(ctx, there)
	if err != nil {
		return err
	}
	unwanted, err := p.unwanted(ctx, r.Name, repo, repo.At(s))
	for _, id := range lacking {
		if !unwanted[id] {
			state.Behind++
		}
	}
	return err
}

func (p *program) printStores(states []storeState) error {
	if len(states) == 0 {
		p.print("No stores: backups are on this host alone. Add one: dokku backup:store-add NAME URL")
		return nil
	}
	rows := [][]string{{"NAME", "WHERE", "OBJECTS", "SIZE", "BACKUPS", "NEWEST", "STATE"}}
	for _, s := range states {
		words, newest := s.State, "-"
		switch {
		case s.State == "unreachable":
			words += ": " + ui.FirstWords(s.Why)
		case s.Behind > 0:
			words = fmt.Sprintf("lacks %s; send: dokku backup:sync %s", ui.Plural(s.Behind, "backup"), s.Name)
		case s.ReadOnly:
			words += ", read only"
		}
		if s.Newest != "" {
			newest = ui.Age(time.Since(s.Newest.Time())) + " ago"
		}
		rows = append(rows, []string{s.Name, s.URL, ui.Count(s.Objects), ui.Bytes(s.Bytes), ui.Count(int64(s.Backups)), newest, words})
	}
	return ui.Table(p.stdout, rows)
}

// storeLines are the stores as the recovery kit shows them: name and URL, no secrets.
func (p *program) storeLines() ([]string, error) {
	all, err := p.stores().All()
	var lines []string
	for _, r := range all {
		lines = append(lines, r.Name+"  "+r.URL)
	}
	return lines, err
}

func (p *program) storeCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "store-check", ArgsUsage: "<store>", Usage: "Prove a store again",
		Description: `Tries a store as store-add did: writes, reads back, lists, overwrites and deletes objects of its own, and breaks an upload off.
What backups it holds is not touched.`,
		UsageText: "dokku backup:store-check offsite",
		Flags:     []cli.Flag{formatFlag()},
		Action:    p.storeCheck,
	}
}

func (p *program) storeCheck(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	r, repo, err := p.storeArgument(c)
	if err != nil {
		return err
	}
	release, err := p.stores().Hold(c.Context, r.Name) // what a cut-off upload leaves is swept
	if err != nil {
		return err
	}
	defer release()
	s, err := p.stores().Open(c.Context, r, repo)
	if err != nil {
		return err
	}
	defer s.Close()
	proof, err := p.prove(c.Context, r.Name, s, asJSON)
	if asJSON && proof != nil {
		err = errors.Join(err, p.printJSON(proof))
	}
	return err
}

// storeArgument is the store that the command's argument names, with this host's repository, which opens its secrets.
func (p *program) storeArgument(c *cli.Context) (stores.Remote, *repository.Repository, error) {
	name, err := argument(c)
	if err != nil {
		return stores.Remote{}, nil, err
	}
	if name == "" {
		return stores.Remote{}, nil, usage(c.Command, "which store? see them: dokku backup:store-list")
	}
	r, err := p.stores().Get(name)
	if err != nil {
		return r, nil, err
	}
	repo, err := p.openRepository(c.Context)
	return r, repo, err
}

// prove tries the store and prints each step. The error is a *backup.Problem when the store cannot be trusted.
func (p *program) prove(ctx context.Context, name string, s *store.Store, quiet bool) (*store.Proof, error) {
	p.ui.Step("Proving %s", name)
	proof, err := store.Prove(ctx, s.Probe(), func(step store.Step) {
		switch {
		case step.OK && step.Warning != "":
			p.ui.Warn("%-12s %s", step.Name, step.Warning)
		case step.OK && !quiet:
			p.ui.Detail("%-12s %s", step.Name, cmp.Or(step.Found, "ok"))
		case !step.OK && step.Meaning == "":
			p.ui.Detail("%-12s %s", step.Name, step.Reason)
		case !step.OK:
			p.ui.Warn("%-12s %s; %s", step.Name, step.Reason, step.Meaning)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, left := range proof.Left {
		p.ui.Warn("left behind there, since it could not be removed: %s", left)
	}
	if err := proof.Err(); err != nil {
		return &proof, stores.ErrorOf(name, err)
	}
	return &proof, nil
}

func (p *program) storeRemoveCommand() *cli.Command {
	return &cli.Command{
		Name: "store-remove", ArgsUsage: "<store>", Usage: "Send no more backups to a store",
		Description: `Forgets a store and its secrets on this host. The backups that it holds are not touched: they can be read again by adding it again.`,
		UsageText:   "dokku backup:store-remove offsite",
		Action:      p.storeRemove,
	}
}

func (p *program) storeRemove(c *cli.Context) error {
	name, err := argument(c)
	if err != nil {
		return err
	}
	r, err := p.stores().Get(name)
	if err != nil {
		return err
	}
	release, err := p.stores().Hold(c.Context, r.Name)
	if err != nil {
		return err
	}
	defer release()
	if err := p.stores().Remove(r.Name); err != nil {
		return err
	}
	if err := p.rules().Forget(r.Name); err != nil {
		return err
	}
	p.ui.Heading("Removed store %s; the backups in %s are still there", r.Name, r.URL)
	p.ui.Detail("Add it again: dokku backup:store-add %s '%s'", r.Name, r.URL)
	p.hourlyChanged(c.Context)
	return nil
}
