package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
	"github.com/dokku-backup/dokku-backup/internal/stores"
)

func (p *program) storeAddCommand() *cli.Command {
	return &cli.Command{
		Name: "store-add", ArgsUsage: "<name> <url>", Usage: "Keep a copy of all backups in another place",
		Description: `Adds a store: a place outside of this host that gets a copy of every backup. It is proven before it is accepted: written, read,
listed, overwritten, deleted, and an upload broken off. What it needs to log in is asked for on a terminal, or comes from
--secrets, one NAME=VALUE a line, or the whole file where it is one secret of several lines; never in the URL. An SFTP store
gets a key of its own, whose public half is printed, unless --ssh-key or a password is given; its host key is pinned.

    sftp://user@host:22/path                            s3://bucket/prefix?region=...&endpoint=https://...
    azblob://container/prefix?account=...               gs://bucket/prefix
    dropbox://folder                                    b2://bucket/prefix?account=...
    swift://container/prefix?auth=https://...&user=...  file:///mnt/nas

On a new host that has no backups of its own yet, a store that holds some is opened with the recovery key, which is asked for,
and is read only unless --take-over says that the host which wrote there is gone.`,
		UsageText: `dokku backup:store-add offsite sftp://backup@nas.example.org/volume1/dokku
dokku backup:store-add bucket 's3://my-backups/host1?region=eu-central-1' --secrets - </root/s3.secrets
dokku backup:store-add offsite sftp://backup@nas.example.org/volume1/dokku --take-over`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "secrets", Usage: "`FILE` with what is needed to log in; - is standard input"},
			&cli.StringFlag{Name: "ssh-key", Usage: "`FILE` with the private key to log in with, without a passphrase"},
			&cli.StringFlag{Name: "host-key", Usage: "`FINGERPRINT` (SHA256:...) that the SFTP server must show"},
			&cli.StringFlag{Name: "bandwidth", Usage: "`RATE` to stay below, such as 2MB (a second)"},
			&cli.IntFlag{Name: "parallel", Usage: "`N` transfers at once", Value: store.DefaultParallel},
			&cli.BoolFlag{Name: "take-over", Usage: "write there from now on, although another host did: it is gone"},
			&cli.BoolFlag{Name: "read-only", Usage: "never write there: to look at what another host sends"},
			&cli.StringFlag{Name: keyFileName, Usage: "`FILE` with the recovery key, or - for stdin: a host that has none keeps it"}, formatFlag(),
		},
		Action: p.storeAdd,
	}
}

// adding is a store on its way to being added.
type adding struct {
	*program
	stores.Remote
	c        *cli.Context
	location store.Location
	secrets  map[string]string
	store    *store.Store
	repo     *repository.Repository // this host's
	takeOver bool
	known    bool // it was added before, to be read only
}

func (p *program) storeAdd(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	a, err := p.adding(c)
	if err != nil {
		return err
	}
	if err := a.logIn(c.Context); err != nil {
		return err
	}
	defer a.store.Close()
	if err := a.matchRepository(c.Context); err != nil {
		return err
	}
	if a.known {
		release, err := p.stores().Hold(c.Context, a.Name)
		if err != nil {
			return err
		}
		defer release()
	}
	var proof *store.Proof
	if !a.ReadOnly {
		if proof, err = p.prove(c.Context, a.Name, a.store, asJSON); err != nil {
			return err
		}
	}
	if err := a.keep(); err != nil {
		return err
	}
	if err := a.begin(c.Context); err != nil {
		return err
	}
	if asJSON {
		if err := p.printJSON(struct {
			stores.Remote
			Name  string       `json:"name"`
			Proof *store.Proof `json:"proof,omitempty"`
		}{a.Remote, a.Name, proof}); err != nil {
			return err
		}
	}
	p.hourlyChanged(c.Context)
	return nil
}

// adding reads flags and arguments.
func (p *program) adding(c *cli.Context) (*adding, error) {
	if c.NArg() != 2 {
		return nil, usage(c.Command, "takes the name of a store and its URL")
	}
	a := &adding{program: p, c: c, takeOver: c.Bool("take-over")}
	a.Remote = stores.Remote{Name: c.Args().Get(0), Added: time.Now().UTC().Truncate(time.Second), ReadOnly: c.Bool("read-only"), Parallel: c.Int("parallel")}
	if !store.ValidName(a.Name) {
		return nil, usage(c.Command, "%q cannot be the name of a store: a-z, 0-9 and - can, and %q means this host", a.Name, here)
	}
	if a.Parallel < 1 || a.Parallel > 32 {
		return nil, usage(c.Command, "--parallel is 1 to 32, not %d", a.Parallel)
	}
	if text := c.String("bandwidth"); text != "" {
		rate, err := humanize.ParseBytes(strings.TrimSuffix(text, "/s"))
		if err != nil || rate < 1000 {
			return nil, usage(c.Command, "--bandwidth is bytes a second such as 500kB or 2MB, not %q", text)
		}
		a.Bandwidth = int64(rate)
	}
	if a.takeOver && a.ReadOnly {
		return nil, usage(c.Command, "either --take-over or --read-only")
	}
	if c.String("secrets") == "-" && c.String(keyFileName) == "-" {
		return nil, usage(c.Command, "standard input can be the secrets or the key, not both")
	}
	var err error
	if a.location, err = store.ParseLocation(c.Args().Get(1)); err != nil {
		return nil, err
	}
	a.URL = a.location.String()
	all, err := p.stores().All()
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Name == a.Name && r.URL == a.URL && a.takeOver {
			a.known, a.Remote = true, r // with the limits that it has
			a.ReadOnly = false
			continue
		}
		if r.Name == a.Name {
			return nil, &backup.Problem{
				Message: fmt.Sprintf("there is a store %q already: %s", r.Name, r.URL),
				Hints:   []string{"choose another name, or remove that one (its backups stay): dokku backup:store-remove " + r.Name},
			}
		}
		if r.URL == a.URL {
			return nil, &backup.Problem{Message: fmt.Sprintf("store %q is at that place already", r.Name)}
		}
	}
	return a, nil
}

// logIn finds out all that is needed to log in, and makes the store.
func (a *adding) logIn(ctx context.Context) error {
	var err error
	if a.known {
		repo, err := a.openRepository(ctx)
		if err != nil {
			return err
		}
		if a.secrets, err = a.stores().Secrets(a.Name, repo); err != nil {
			return err
		}
		a.store, err = a.stores().Open(ctx, a.Remote, repo)
		return err
	}
	if a.secrets, err = a.givenSecrets(); err != nil {
		return err
	}
	if a.location.Kind == "sftp" {
		err = a.logInBySSH(ctx)
	} else {
		err = a.askSecrets(ctx)
	}
	if err != nil {
		return err
	}
	a.store, err = store.Open(ctx, a.location, a.secrets, store.Options{Bandwidth: a.Bandwidth, Parallel: a.Parallel})
	if err != nil {
		return stores.ErrorOf(a.Name, err)
	}
	return nil
}

// matchRepository opens this host's repository and sees that the store holds a copy of the same, or none. A host that has none adopts the
// store's, with the recovery key.
func (a *adding) matchRepository(ctx context.Context) error {
	there, err := repository.Peek(ctx, a.store)
	empty := errors.Is(err, fs.ErrNotExist)
	if err != nil && !empty {
		return stores.ErrorOf(a.Name, err)
	}
	if empty && a.ReadOnly {
		return &backup.Problem{Message: fmt.Sprintf("store %q holds no backups to read", a.Name), Hints: []string{"check the path in the URL"}}
	}
	a.repo, err = a.openRepository(ctx)
	none := errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem))
	switch {
	case none && empty:
		a.repo, err = a.setUpRepository(ctx)
		return err
	case none:
		if err := a.adopt(ctx); err != nil {
			return err
		}
	case err != nil:
		return err
	case empty:
		return nil
	case there.ID != a.repo.Info.ID:
		return &backup.Problem{
			Message: fmt.Sprintf("store %q holds the backups of another repository, made on %s: this host's would mix with them", a.Name, there.Created.Format(time.DateOnly)),
			Hints:   []string{"give this host a place of its own in it: another path or prefix in the URL"},
		}
	}
	return a.settleWriter(ctx)
}

// adopt makes the store's repository this host's own: a new host goes on where a lost one ended.
func (a *adding) adopt(ctx context.Context) error {
	a.ui.Step("This host has no backups yet; %s holds some", a.Name)
	there, err := a.openAt(ctx, a.store)
	if err != nil {
		return stores.ErrorOf(a.Name, err)
	}
	a.ui.Detail("the key opens it; its check word is %s", there.CheckWord())
	release, ok, err := a.runs().Exclude()
	if err != nil {
		return err
	}
	if !ok {
		return &backup.Problem{Message: "the repository is being set up by another run", Hints: []string{"try again"}, Code: backup.ExitLocked}
	}
	defer release()
	if err := a.hostKeys().Adopt(there); err != nil {
		return err
	}
	if err := there.CopyKeys(ctx, local.New(a.repositoryPath())); err != nil {
		return err
	}
	a.repo, err = a.openRepository(ctx)
	return err
}

// settleWriter sees who writes to the store. Where it is another host, this one reads only, or takes over.
func (a *adding) settleWriter(ctx context.Context) error {
	self, err := a.stores().Host()
	if err != nil {
		return err
	}
	writer, err := a.repo.At(a.store).Writer(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && writer.ID == self.ID:
		return nil
	case err != nil && !(a.takeOver && errors.As(err, new(*repository.DamageError))):
		return stores.ErrorOf(a.Name, err)
	case err != nil:
		a.ui.Detail("taking over; which host has written there cannot be read")
		return nil
	case a.takeOver:
		a.ui.Detail("taking over from %s, which has written there since %s", writer.Name, writer.Since.Format(time.DateOnly))
		return nil
	}
	a.ReadOnly = true
	a.ui.Warn("host %s has written there since %s: this host reads it only", writer.Name, writer.Since.Format(time.DateOnly))
	a.ui.Warn("when that host is gone, write there from here: dokku backup:store-add %s '%s' --take-over", a.Name, a.URL)
	return nil
}

// keep keeps the store.
func (a *adding) keep() error {
	if a.known {
		return a.stores().Change(a.Remote)
	}
	if err := a.stores().Add(a.Remote, a.secrets, a.repo); err != nil {
		return err
	}
	return a.forgetPendingKey()
}

// begin makes this host the writer, finds out what the store has, and says how to go on.
func (a *adding) begin(ctx context.Context) error {
	heading := "Store %s is ready: %s"
	if a.ReadOnly {
		a.ui.Heading(heading+", read only", a.Name, a.URL)
		a.ui.Detail("See what it has: dokku backup:list --from %s", a.Name)
		return nil
	}
	mirror, s, err := a.stores().Mirror(ctx, a.Remote, a.repo)
	if err != nil {
		return err
	}
	defer s.Close()
	if a.takeOver {
		if err := a.repo.At(s).TakeOver(ctx, mirror.Host); err != nil {
			return stores.ErrorOf(a.Name, err)
		}
	}
	if err := mirror.Look(ctx); err != nil {
		return stores.ErrorOf(a.Name, err)
	}
	a.ui.Heading(heading, a.Name, a.URL)
	if mirror.Copy.Newest != "" {
		a.ui.Detail("See what it has: dokku backup:list --from %s", a.Name)
	}
	a.ui.Detail("Every new backup is sent there. Send those that there are: dokku backup:sync %s", a.Name)
	return nil
}
