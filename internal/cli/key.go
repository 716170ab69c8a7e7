package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) keyCommand() *cli.Command {
	return &cli.Command{
		Name: "key", ArgsUsage: "[<store>]", Usage: "Show the recovery kit or change the keys",
		Description: `Without a flag: prints the recovery key of this host's repository on stdout, and beside it what it opens and how to use
it. Whoever has it and a copy of the repository can read every backup; without it nobody can. Keep it elsewhere than on this host.

--seal removes the key from this host, which then makes and lists backups but reads none; commands that do read take --key-file.
--rotate makes a new key: all backups, old and new, open with it. The next backup of each service is stored in full.
--rewrap seals the objects of old backups anew, for the recipients and the key of now. It can be interrupted and run again.
What each protects against: doc/security.md.`,
		UsageText: "dokku backup:key\ndokku backup:key --seal\ndokku backup:key --unseal --key-file recovery.key\n" +
			"dokku backup:key --add-recipient age1...\ndokku backup:key --rotate\ndokku backup:key --rewrap\ndokku backup:key --rewrap offsite",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "seal", Usage: "remove the key from this host"},
			&cli.BoolFlag{Name: "unseal", Usage: "put it back"},
			&cli.StringFlag{Name: "add-recipient", Usage: "let `KEY` open new backups too: age1..., or 'ssh-ed25519 AAAA...'"},
			&cli.StringFlag{Name: "remove-recipient", Usage: "no longer seal new backups to `KEY`"},
			&cli.BoolFlag{Name: "rotate", Usage: "replace the key by a new one"},
			&cli.BoolFlag{Name: "rewrap", Usage: "seal old backups anew, here or in a store"},
			&cli.BoolFlag{Name: "forget-retired", Usage: "no longer believe keys that were rotated away, once every store was rewrapped"},
			keyFileFlag(), &cli.BoolFlag{Name: "yes", Usage: "do not ask"},
		},
		Action: p.key,
	}
}

func (p *program) key(c *cli.Context) error {
	if c.NArg() > 0 && !c.Bool("rewrap") {
		return usage(c.Command, "takes no argument")
	}
	changes := map[string]func(*cli.Context, *repository.Repository) error{
		"seal": p.sealHost, "unseal": p.unsealHost, "add-recipient": p.addRecipient, "remove-recipient": p.removeRecipient,
		"rotate": p.rotateKey, "rewrap": p.rewrap, "forget-retired": p.forgetRetired,
	}
	var change func(*cli.Context, *repository.Repository) error
	for name, do := range changes {
		if !c.IsSet(name) {
			continue
		}
		if change != nil {
			return usage(c.Command, "takes one change at a time")
		}
		change = do
	}
	if change == nil {
		return p.showKit(c.Context)
	}
	repo, err := p.repositoryWithKey(c)
	if err != nil {
		return err
	}
	release, err := p.alone("changed")
	if err != nil {
		return err
	}
	defer release()
	return change(c, repo)
}

// repositoryWithKey opens the host's repository for a change of its keys.
func (p *program) repositoryWithKey(c *cli.Context) (*repository.Repository, error) {
	store := local.New(p.repositoryPath())
	if _, err := store.Get(c.Context, "repository.json"); errors.Is(err, fs.ErrNotExist) {
		return nil, noKeyYet()
	}
	unlock, err := p.unlock(c.Context, c)
	if err != nil {
		return nil, err
	}
	return repository.Open(c.Context, store, unlock)
}

func noKeyYet() error {
	return &backup.Problem{
		Message: "there is no key yet: it is made with the first backup",
		Hints:   []string{"make one: dokku backup:create SERVICE"}, Code: backup.ExitKey,
	}
}

// showKit prints the key on stdout, and on stderr all that one needs to use it.
func (p *program) showKit(ctx context.Context) error {
	store := local.New(p.repositoryPath())
	unlock, err := p.hostKeys().Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := store.Get(ctx, "repository.json"); errors.Is(err, fs.ErrNotExist) {
			return noKeyYet()
		}
	}
	if err != nil {
		return err
	}
	repo, err := repository.Open(ctx, store, unlock)
	if err != nil && len(unlock.Identities) > 0 { // the more reason to show the key
		p.ui.Warn("%s", err)
		p.print("%s", unlock.Identities[0])
		return nil
	}
	if err != nil {
		return err
	}
	p.ui.Heading("Recovery kit")
	if repo.Sealed() {
		p.ui.Detail("This host is sealed: its key is not on it, and cannot be shown. Whoever keeps it needs what follows too.")
	} else {
		p.ui.Detail("The key below opens every backup in %s. Keep it elsewhere, and secret.", p.repositoryPath())
	}
	p.ui.Detail("public key  %s", repo.Info.Recipients[0])
	p.ui.Detail("check word  %s (a copy that opens with another word is not this repository, or is of another time)", repo.CheckWord())
	for _, recipient := range repo.Info.Recipients[1:] {
		p.ui.Detail("also opens  with the key of %s", recipient)
	}
	if err := p.showStores(); err != nil {
		return err
	}
	p.ui.Detail("On a new machine with Dokku:")
	p.ui.Detail("  1 install the plugin:  dokku plugin:install https://github.com/dokku-backup/dokku-backup.git --name backup")
	p.ui.Detail("  2 add a store:         dokku backup:store-add NAME URL, which asks for the key")
	p.ui.Detail("  3 see, then restore:   dokku backup:list --from NAME, dokku backup:restore ID --from NAME")
	p.ui.Detail("Without Dokku: doc/recovery-by-hand.md in the plugin.")
	if !repo.Sealed() && repo.Origin() != nil {
		p.print("%s", repo.Origin())
		return atomicfile.Replace(p.kitPath(), []byte(repo.CheckWord()))
	}
	return nil
}

// showStores lists the stores that hold copies, without their secrets.
func (p *program) showStores() error {
	lines, err := p.storeLines()
	if err != nil {
		return err
	}
	for _, line := range lines {
		p.ui.Detail("store       %s", line)
	}
	if len(lines) == 0 {
		p.ui.Detail("No store holds a copy: when this host is lost, so are its backups. Add one: dokku backup:store-add NAME URL")
	}
	return nil
}

// sealHost removes the key from the host, when its owner has proven to have it elsewhere.
func (p *program) sealHost(c *cli.Context, repo *repository.Repository) error {
	if repo.Sealed() {
		return &backup.Problem{Message: "this host is sealed already"}
	}
	if repo.Origin() == nil {
		return &backup.Problem{Message: "that is an added recipient's key; this host is sealed by the repository's own", Code: backup.ExitKey}
	}
	if err := p.proveKept(c, repo); err != nil {
		return err
	}
	p.ui.Step("Sealing this host")
	if err := p.hostKeys().Seal(c.Context, repo); err != nil {
		return err
	}
	p.ui.Heading("This host is sealed: it makes and lists backups, and reads none")
	p.ui.Detail("To restore, practise or verify, give the key for that run:  dokku backup:restore ID --key-file FILE")
	p.ui.Detail("To put the key back:  dokku backup:key --unseal --key-file FILE")
	return nil
}

// proveKept lets a person paste the key, so that nobody seals a host whose key is kept nowhere else. --yes and a file with the key will do.
func (p *program) proveKept(c *cli.Context, repo *repository.Repository) error {
	if c.Bool("yes") || c.String(keyFileName) != "" {
		return nil // the key of a file has opened the repository
	}
	return p.pasted(c.Context, "Without the key, nobody will read the backups. Paste it from where you keep it:", repo.Origin())
}

// pasted lets a person show that he keeps a key.
func (p *program) pasted(ctx context.Context, question string, key *age.X25519Identity) error {
	terminal := ui.NewTerminal(p.stdin, p.stderr)
	if terminal == nil {
		return &backup.Problem{
			Message: "there is no terminal to ask on; nothing was done",
			Hints:   []string{"to show that the key is kept elsewhere, add --key-file FILE; to do it without being asked, add --yes"},
		}
	}
	typed, err := terminal.Secret(ctx, question)
	if err != nil {
		return unanswered(err)
	}
	if typed != key.String() {
		return &backup.Problem{Message: "that is not the key; nothing was done", Hints: []string{"see it: dokku backup:key"}, Code: backup.ExitKey}
	}
	return nil
}

func (p *program) unsealHost(c *cli.Context, repo *repository.Repository) error {
	if repo.Sealed() {
		return &backup.Problem{
			Message: "to unseal this host its key is needed; nothing was done",
			Hints:   []string{"give it: dokku backup:key --unseal --key-file FILE, or --key-file - for stdin"}, Code: backup.ExitKey,
		}
	}
	if err := p.hostKeys().Unseal(repo); err != nil {
		return err
	}
	p.ui.Heading("The key is on this host again")
	return nil
}

// kitPath is the file with the check word of the last recovery kit that was shown.
func (p *program) kitPath() string { return filepath.Join(p.host.DataDir(), "kit-shown") }

// kitShown is the check word of the last recovery kit that was shown, "" for none, and when that was.
func (p *program) kitShown() (word string, at time.Time) {
	text, err := os.ReadFile(p.kitPath())
	info, statErr := os.Stat(p.kitPath())
	if err != nil || statErr != nil {
		return "", time.Time{}
	}
	return string(text), info.ModTime()
}
