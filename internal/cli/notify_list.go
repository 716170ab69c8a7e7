package cli

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/notify"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) notifyListCommand() *cli.Command {
	return &cli.Command{
		Name: "notify-list", Usage: "List receivers of notifications",
		Description: "Shows whom this host tells, of what, and when each was last told or could not be. Of an address only what is no secret is shown.",
		UsageText:   "dokku backup:notify-list\ndokku backup:notify-list --format json",
		Flags:       []cli.Flag{formatFlag()},
		Action:      p.notifyList,
	}
}

// receiverState is a receiver as notify-list shows it.
type receiverState struct {
	Name       string    `json:"name"`
	Kind       string    `json:"kind"`
	Address    string    `json:"address"`
	Events     []string  `json:"events"`
	Services   []string  `json:"services"` // none for all
	Added      time.Time `json:"added"`
	LastSent   time.Time `json:"last_sent,omitzero"`
	LastFailed time.Time `json:"last_failed,omitzero"`
	Failing    string    `json:"failing,omitempty"` // why the last try failed
}

func (p *program) notifyList(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	if c.NArg() > 0 {
		return usage(c.Command, "takes no argument")
	}
	all, damaged := p.receivers()
	attempts := notify.Attempts(p.notifyDir())
	states := []receiverState{}
	for _, r := range all {
		a := attempts[r.Name]
		state := receiverState{
			Name: r.Name, Kind: r.Kind, Address: r.Address, Events: []string{}, Services: append([]string{}, r.Services...), Added: r.Added,
			LastSent: a.Sent, LastFailed: a.Failed, Failing: a.Failure,
		}
		kinds, err := r.kinds()
		if err != nil {
			return err
		}
		for _, kind := range kinds {
			state.Events = append(state.Events, string(kind))
		}
		states = append(states, state)
	}
	if asJSON {
		err = p.printJSON(states)
	} else {
		err = p.printReceivers(all, states)
	}
	return errors.Join(damaged, err)
}

// kinds are the events that the receiver is told of.
func (r receiver) kinds() ([]notify.Kind, error) {
	if r.Kind == "ping" {
		return []notify.Kind{notify.Success, notify.Failed}, nil
	}
	return notify.ParseEvents(r.Events)
}

func (p *program) printReceivers(all []receiver, states []receiverState) error {
	if len(all) == 0 {
		p.print("No receivers: nobody is told when backups fail. Add one: dokku backup:notify-add NAME URL")
		return nil
	}
	rows := [][]string{{"NAME", "KIND", "ADDRESS", "EVENTS", "SERVICES", "LAST TOLD", "STATE"}}
	for i, s := range states {
		events, services, sent, state := all[i].Events, strings.Join(s.Services, ","), "never", "ok"
		switch {
		case s.Kind == "ping":
			events = "start,success,failed"
		case events == "":
			events = "usual"
		}
		if services == "" {
			services = "all"
		}
		if !s.LastSent.IsZero() {
			sent = ui.Age(time.Since(s.LastSent)) + " ago"
		} else if s.Failing == "" {
			state = "not tried: dokku backup:notify-test " + s.Name
		}
		if s.Failing != "" {
			state = "failed " + ui.Age(time.Since(s.LastFailed)) + " ago: " + ui.FirstWords(s.Failing)
		}
		rows = append(rows, []string{s.Name, s.Kind, s.Address, events, services, sent, state})
	}
	return ui.Table(p.stdout, rows)
}

func (p *program) notifyRemoveCommand() *cli.Command {
	return &cli.Command{
		Name: "notify-remove", ArgsUsage: "<name>", Usage: "Tell somebody nothing any more",
		Description: "Forgets a receiver of notifications and its URL.",
		UsageText:   "dokku backup:notify-remove ops",
		Action:      p.notifyRemove,
	}
}

func (p *program) notifyRemove(c *cli.Context) error {
	name, err := argument(c)
	if err != nil {
		return err
	}
	if !notify.ValidName(name) {
		_, err := p.receiver(name)
		return err
	}
	err = os.Remove(p.receiverPath(name)) // without reading it: it may be damaged
	if errors.Is(err, fs.ErrNotExist) {
		_, err = p.receiver(name)
	}
	if err != nil {
		return err
	}
	if err := notify.Forget(p.notifyDir(), name); err != nil {
		return err
	}
	p.ui.Heading("Removed receiver %s", name)
	p.hourlyChanged(c.Context)
	return nil
}
