package cli

import (
	"context"
	"errors"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/stores"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) addRecipient(c *cli.Context, repo *repository.Repository) error {
	if err := repo.AddRecipient(c.Context, c.String("add-recipient")); err != nil {
		return err
	}
	if err := p.hostKeys().Refresh(repo); err != nil {
		return err
	}
	p.ui.Heading("New backups are sealed to %s", ui.Plural(len(repo.Info.Recipients), "key"))
	p.ui.Detail("They share data with old ones, which the added key does not open yet. To let it open all:  dokku backup:key --rewrap")
	p.ui.Detail("Tell the owner of the added key the check word, to compare:  %s", repo.CheckWord())
	return nil
}

func (p *program) removeRecipient(c *cli.Context, repo *repository.Repository) error {
	if err := repo.RemoveRecipient(c.Context, c.String("remove-recipient")); err != nil {
		return err
	}
	if err := p.hostKeys().Refresh(repo); err != nil {
		return err
	}
	p.ui.Heading("New backups are sealed to %s", ui.Plural(len(repo.Info.Recipients), "key"))
	p.ui.Detail("The removed key still opens old ones, and what new ones share with them. To seal these anew:  dokku backup:key --rewrap")
	p.ui.Detail("Its owner has seen the derived keys. If he is not to be trusted any more:  dokku backup:key --rotate")
	return nil
}

// rotateKey replaces the key, once its owner has shown to keep the new one: a host that is lost a moment later takes nothing with it.
func (p *program) rotateKey(c *cli.Context, repo *repository.Repository) error {
	kept := func(*age.X25519Identity) error { return nil }
	if !c.Bool("yes") {
		p.ui.Detail("All backups will open with a new key. The next backup of each service is stored in full, and takes its space.")
		if err := p.goOn(c.Context, "Replace the key?", "--yes"); err != nil {
			return err
		}
		kept = func(next *age.X25519Identity) error {
			p.ui.Detail("This will be the key. Keep it elsewhere, and secret:")
			p.print("%s", next)
			return p.pasted(c.Context, "Paste it from where you keep it:", next)
		}
	}
	if err := p.hostKeys().Rotate(c.Context, repo, kept); err != nil {
		return err
	}
	p.ui.Heading("The key was replaced")
	p.ui.Detail("It opens old backups too. A thief of the old one can still read these, until they are sealed anew:  dokku backup:key --rewrap")
	p.ui.Detail("Stores get the new keys with the next backup, or now:  dokku backup:sync")
	return errors.Join(p.showKit(c.Context), p.reseal(repo))
}

// rewrap seals what is in one store anew; the host's own repository is one.
func (p *program) rewrap(c *cli.Context, repo *repository.Repository) error {
	name, err := argument(c)
	if err != nil {
		return err
	}
	if name == "" || name == here {
		err = errors.Join(p.rewrapAll(c.Context, repo, p.repositoryPath()), p.reseal(repo))
	} else {
		err = p.rewrapStore(c.Context, repo, name)
	}
	if err == nil && repo.Retired() > 0 {
		p.ui.Detail("When that was done here and in every store, believe the old key no more:  dokku backup:key --forget-retired")
	}
	return err
}

func (p *program) rewrapStore(ctx context.Context, repo *repository.Repository, name string) error {
	r, err := p.stores().Get(name)
	if err != nil {
		return err
	}
	if r.ReadOnly {
		return stores.ReadOnly(r)
	}
	release, err := p.stores().Hold(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	s, err := p.stores().Open(ctx, r, repo)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := repo.CopyKeys(ctx, s); err != nil {
		return stores.ErrorOf(name, err)
	}
	there := repo.At(s)
	if err := p.stores().MayWrite(ctx, there, name); err != nil {
		return err
	}
	if err := p.rewrapAll(ctx, there, r.URL); err != nil {
		return stores.ErrorOf(name, err)
	}
	return nil
}

func (p *program) rewrapAll(ctx context.Context, repo *repository.Repository, where string) error {
	p.ui.Step("Sealing what is in %s anew", where)
	var objects int
	var bytes int64
	err := repo.Rewrap(ctx, func(n int, size int64) {
		objects += n
		bytes += size
	})
	if err != nil {
		return err
	}
	p.ui.Heading("All of %s, %s, is sealed to the keys of now", ui.Plural(objects, "object"), ui.Bytes(bytes))
	return nil
}

func (p *program) forgetRetired(c *cli.Context, repo *repository.Repository) error {
	if repo.Retired() == 0 {
		p.ui.Heading("No retired key is believed")
		return nil
	}
	if !c.Bool("yes") {
		if err := p.showStores(); err != nil {
			return err
		}
		p.ui.Warn("a copy of the repository that was not rewrapped can no longer be read with the new key, only with the old one")
		if err := p.goOn(c.Context, "Was every store rewrapped?", "--yes"); err != nil {
			return err
		}
	}
	if err := errors.Join(repo.Rewrap(c.Context, nil), p.reseal(repo)); err != nil {
		return err
	}
	if err := repo.ForgetRetired(c.Context); err != nil {
		return err
	}
	if err := p.hostKeys().Refresh(repo); err != nil {
		return err
	}
	p.ui.Heading("Retired keys are believed no more")
	return nil
}

// reseal seals to the current keys what this host keeps sealed beside the repository.
func (p *program) reseal(repo *repository.Repository) error {
	return errors.Join(p.stores().Reseal(repo), p.resealReceivers(repo))
}
