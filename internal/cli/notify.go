package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/notify"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// longestURL is far more than any notification URL takes, in bytes.
const longestURL = 1 << 14

func (p *program) notifyAddCommand() *cli.Command {
	return &cli.Command{
		Name: "notify-add", ArgsUsage: "<name> [<url>]", Usage: "Add somebody to tell when backups fail and when all is well again",
		Description: `Adds a receiver of notifications. It hears of what fails each time, of what lasts when it begins and once a day, and when that is over; of
successes only when they are asked for. Its URL holds secrets: it is asked for on a terminal, or read from standard input with --url-stdin; as an
argument it shows in lists of processes and in the shell's history. It is kept sealed, and never shown again.

    smtp://user:password@host:587/?from=a@example.org&to=b@example.org
    slack://hook:T...-B...-...@webhook                discord://token@webhookid
    teams://group@tenant/altid/owner/extra?host=...   telegram://token@telegram?chats=-1001
    ntfy://ntfy.sh/topic                              gotify://host/token
    json+https://host/path: a JSON document           ping+https://hc-ping.com/uuid: start, success and failure, as healthchecks.io has it

Events: all, or of failed, warning, recovered, practice-failed, retention-failed, store-behind, no-good-backup, success, practice-passed;
without --events all but the last two.`,
		UsageText: `dokku backup:notify-add ops --url-stdin </root/ops.url
dokku backup:notify-add phone ntfy://ntfy.sh/my-topic --events failed,no-good-backup
dokku backup:notify-add check ping+https://hc-ping.com/UUID --service happycows-db`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "events", Usage: "`EVENTS` to tell of, with commas between them, or all"},
			&cli.StringSliceFlag{Name: "service", Usage: "`SERVICE` to tell of; may be repeated; all if not given"},
			&cli.BoolFlag{Name: "url-stdin", Usage: "read the URL from standard input"},
		},
		Action: p.notifyAdd,
	}
}

// receiver is what is kept of a receiver of notifications, in data/backup/notify/receivers/<name>.json.
type receiver struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	Address  string    `json:"address"` // without secrets
	Events   string    `json:"events"`  // as they were given; "" for those that are usual
	Services []string  `json:"services,omitempty"`
	Added    time.Time `json:"added"`
	URL      []byte    `json:"url"` // sealed
}

func (p *program) notifyDir() string { return filepath.Join(p.host.DataDir(), "notify") }

func (p *program) receiverPath(name string) string {
	return filepath.Join(p.notifyDir(), "receivers", name+".json")
}

// receiverSeal binds a URL to its receiver.
func receiverSeal(name string) string { return "notify/" + name }

func (p *program) notifyAdd(c *cli.Context) error {
	r, url, err := p.newReceiver(c)
	if err != nil {
		return err
	}
	repo, err := p.openRepository(c.Context)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return &backup.Problem{
			Message: "the URL is sealed with the key of this host's backups, and there are none yet",
			Hints: []string{
				"on a host that replaces a lost one, add its store first: dokku backup:store-add NAME URL",
				"else make a first backup: dokku backup:create SERVICE",
			},
		}
	}
	if err != nil {
		return err
	}
	if r.URL, err = repo.Seal(receiverSeal(r.Name), url); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.receiverPath(r.Name)), 0o700); err != nil {
		return err
	}
	if err := atomicfile.ReplaceJSON(p.receiverPath(r.Name), r); err != nil {
		return err
	}
	p.ui.Heading("Added receiver %s: %s", r.Name, r.Address)
	p.ui.Detail("Try it: dokku backup:notify-test %s", r.Name)
	p.hourlyChanged(c.Context)
	return nil
}

// newReceiver reads flags, arguments and the URL.
func (p *program) newReceiver(c *cli.Context) (receiver, string, error) {
	r := receiver{Name: c.Args().First(), Events: c.String("events"), Services: c.StringSlice("service"), Added: time.Now().UTC().Truncate(time.Second)}
	if c.NArg() < 1 || c.NArg() > 2 || c.NArg() == 2 && c.Bool("url-stdin") {
		return r, "", usage(c.Command, "takes a name and a URL, or a name and --url-stdin")
	}
	if !notify.ValidName(r.Name) {
		return r, "", usage(c.Command, "%q cannot be the name of a receiver: a-z, 0-9 and - can", r.Name)
	}
	if _, err := os.Stat(p.receiverPath(r.Name)); err == nil {
		return r, "", &backup.Problem{
			Message: fmt.Sprintf("there is a receiver %q already", r.Name),
			Hints:   []string{"choose another name, or remove that one: dokku backup:notify-remove " + r.Name},
		}
	}
	if _, err := notify.ParseEvents(r.Events); err != nil {
		return r, "", usage(c.Command, "--events: %v", err)
	}
	for _, service := range r.Services {
		if !backup.ValidServiceName(service[strings.IndexByte(service, ':')+1:]) {
			return r, "", usage(c.Command, "--service: %q is not the name of a service", service)
		}
	}
	url, err := p.receiverURL(c)
	if err != nil {
		return r, "", err
	}
	address, err := notify.Parse(url)
	if err != nil {
		return r, "", usage(c.Command, "%v", err)
	}
	r.Kind, r.Address = address.Kind, address.Text
	if r.Kind == "ping" && r.Events != "" {
		return r, "", usage(c.Command, "--events is not for pings, which tell of each start, success and failure of a backup")
	}
	return r, url, nil
}

// receiverURL is the URL as an argument, from standard input, or asked for.
func (p *program) receiverURL(c *cli.Context) (string, error) {
	if c.Bool("url-stdin") {
		text, err := io.ReadAll(io.LimitReader(p.stdin, longestURL))
		return strings.TrimSpace(string(text)), err
	}
	if c.NArg() == 2 {
		return c.Args().Get(1), nil
	}
	terminal := ui.NewTerminal(p.stdin, p.stderr)
	if terminal == nil {
		return "", usage(c.Command, "the URL is missing, and there is no terminal to ask on: give it with --url-stdin")
	}
	url, err := terminal.Secret(c.Context, "URL of "+c.Args().First()+"?")
	return url, unanswered(err)
}

// receivers are those that were added, by name. With an error they are those that could be read.
func (p *program) receivers() ([]receiver, error) {
	paths, err := filepath.Glob(p.receiverPath("*"))
	var all []receiver
	for _, path := range paths {
		r, damaged := p.receiver(strings.TrimSuffix(filepath.Base(path), ".json"))
		if damaged != nil {
			err = errors.Join(err, damaged)
			continue
		}
		all = append(all, r)
	}
	return all, err
}

// receiver is the one of this name; one that was not added is a *backup.Problem.
func (p *program) receiver(name string) (receiver, error) {
	var r receiver
	text, err := []byte(nil), fs.ErrNotExist
	if notify.ValidName(name) {
		text, err = os.ReadFile(p.receiverPath(name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return r, &backup.Problem{
			Message: fmt.Sprintf("there is no receiver %q", name),
			Hints:   []string{"see those that there are: dokku backup:notify-list", "add it: dokku backup:notify-add NAME URL"},
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read what is kept of receiver %q: %w", name, err)
	}
	return r, nil
}

// open is the receiver with its URL, which repo opens.
func (r receiver) open(repo *repository.Repository) (notify.Receiver, error) {
	opened := notify.Receiver{Name: r.Name, Services: r.Services}
	err := repo.Unseal(receiverSeal(r.Name), r.URL, &opened.URL)
	if err != nil {
		return opened, &backup.Problem{
			Message: fmt.Sprintf("the URL of receiver %q cannot be read", r.Name),
			Hints:   []string{"give it again: remove the receiver, and add it once more"},
			Err:     err,
		}
	}
	opened.Events, err = notify.ParseEvents(r.Events)
	return opened, err
}

// resealReceivers seals the URLs of all receivers to the current keys. One whose file is damaged does not keep the others from it.
func (p *program) resealReceivers(repo *repository.Repository) error {
	all, damaged := p.receivers()
	for _, r := range all {
		opened, err := r.open(repo)
		if err != nil {
			return err
		}
		if r.URL, err = repo.Seal(receiverSeal(r.Name), opened.URL); err != nil {
			return err
		}
		if err := atomicfile.ReplaceJSON(p.receiverPath(r.Name), r); err != nil {
			return err
		}
	}
	return damaged
}

func (p *program) notifyTestCommand() *cli.Command {
	return &cli.Command{
		Name: "notify-test", ArgsUsage: "<name>", Usage: "Send a test message to a receiver",
		Description: "Sends a message that says it is a test, and tells what came of it. A ping receiver gets an entry in its log.",
		UsageText:   "dokku backup:notify-test ops",
		Action:      p.notifyTest,
	}
}

func (p *program) notifyTest(c *cli.Context) error {
	name, err := argument(c)
	if err != nil {
		return err
	}
	r, err := p.receiver(name)
	if err != nil {
		return err
	}
	repo, err := p.openRepository(c.Context)
	if err != nil {
		return err
	}
	opened, err := r.open(repo)
	if err != nil {
		return err
	}
	e := p.event(notify.Test, "")
	e.What = "this is a test: messages about backups arrive here"
	p.ui.Step("Telling %s (%s)", r.Name, r.Address)
	teller, failures := notify.NewTeller(p.notifyDir(), []notify.Receiver{opened})
	if len(failures) == 0 {
		failures = teller.Test(c.Context, e)
	}
	for _, f := range failures {
		if f.Receiver != "" {
			return &backup.Problem{Message: f.String(), Hints: []string{"what URLs look like: dokku backup:help notify-add"}}
		}
		p.ui.Warn("%s", f)
	}
	p.ui.Heading("%s took the message", r.Name)
	return nil
}
