package cli

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) verifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", ArgsUsage: "<id or service>", Usage: "Read a backup and check every byte of it",
		Description: `Reads every segment of a backup, checks it against its name, and counts and digests the rows of every table again.
The result is kept with the backup. It does not prove that the app works with the data: that is what a practice run shows.
With --from it reads the copy in a store; with --sample a part of it, and says so. With --repair what is damaged or missing
is replaced by the copy of another store, and verified again.`,
		UsageText: `dokku backup:verify happycows-db
dokku backup:verify --all
dokku backup:verify happycows-db --from offsite --sample 5%
dokku backup:verify happycows-db-20261121T074700Z --repair offsite`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "verify all backups"}, fromFlag(),
			&cli.StringFlag{Name: "sample", Usage: "read a random `SHARE` of the segments, such as 5%, and see that the others are there in full size"},
			&cli.StringFlag{Name: "repair", Usage: "replace what is damaged by the copy in `STORE`; here is this host's own repository"},
			keyFileFlag(), formatFlag(),
		},
		Action: p.verify,
	}
}

// verdict is the result of verify as JSON.
type verdict struct {
	ID backup.ID `json:"id"`
	backup.Verified
	Repaired *repository.Repaired `json:"repaired,omitempty"`
}

// verification is one run of verify: what to read, how much of it, and where to mend it from.
type verification struct {
	*program
	repo   *repository.Repository
	from   string                 // store that is read
	share  float64                // 0: all
	source *repository.Repository // nil: nothing is mended
}

func (p *program) verify(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	release, err := p.runs().Share()
	if err != nil {
		return err
	}
	defer release()
	v, entries, err := p.verification(c)
	if err != nil {
		return err
	}
	verdicts := []verdict{}
	damaged := 0
	for _, e := range entries {
		result, err := v.one(c, e)
		if err != nil {
			return err
		}
		if !result.OK() {
			damaged++
		}
		verdicts = append(verdicts, result)
	}
	if asJSON {
		if err := p.printJSON(verdicts); err != nil {
			return err
		}
	}
	if damaged > 0 {
		return v.notWhole(c.Context, damaged, verdicts)
	}
	return nil
}

// notWhole says what to do about damage: another copy may be good.
func (v *verification) notWhole(ctx context.Context, damaged int, verdicts []verdict) error {
	problem := &backup.Problem{Message: ui.Plural(damaged, "backup") + " of " + ui.Plural(len(verdicts), "backup") + " cannot be restored as recorded"}
	first := verdicts[slices.IndexFunc(verdicts, func(result verdict) bool { return !result.OK() })].ID
	from := ""
	if v.from != here {
		from = " --from " + v.from
		if own, err := v.openRepository(ctx); err == nil {
			if _, err := own.Manifest(ctx, first); err == nil {
				problem.Hints = append(problem.Hints, "mend it from here: dokku backup:verify "+string(first)+from+" --repair here")
			}
		}
	}
	if copies, err := v.stores().Copies(); err == nil {
		for _, state := range copies.Of(first) {
			if !state.Confirmed.IsZero() && state.Store != v.from {
				problem.Hints = append(problem.Hints, "mend it from its copy: dokku backup:verify "+string(first)+from+" --repair "+state.Store)
			}
		}
	}
	problem.Hints = append(problem.Hints, "earlier and later backups may be whole: dokku backup:verify --all"+from, "make a new one now: dokku backup:create "+first.Service())
	return problem
}

// verification is what flags and arguments ask for, and the backups to look at.
func (p *program) verification(c *cli.Context) (*verification, []repository.Entry, error) {
	v := &verification{program: p, from: c.String("from")}
	name, err := argument(c)
	switch {
	case err != nil:
		return nil, nil, err
	case name == "" && !c.Bool("all"):
		return nil, nil, usage(c.Command, "which backup? give an id or a service, or --all")
	case name != "" && c.Bool("all"):
		return nil, nil, usage(c.Command, "either a name or --all")
	case c.String("repair") == v.from:
		return nil, nil, usage(c.Command, "--repair names another copy than the one that is read")
	case c.String("repair") != "" && c.String("sample") != "":
		return nil, nil, usage(c.Command, "--repair reads everything: it cannot go with --sample")
	}
	if v.share, err = share(c.String("sample")); err != nil {
		return nil, nil, usage(c.Command, "%v", err)
	}
	if v.repo, err = p.repositoryAt(c.Context, v.from); errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return nil, nil, noBackups("any service")
	} else if err != nil {
		return nil, nil, err
	}
	if _, err := v.repo.Writer(c.Context); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if err := v.repo.VerifyKeys(c.Context); err != nil {
		return nil, nil, err
	}
	if source := c.String("repair"); source != "" {
		if v.source, err = p.repositoryAt(c.Context, source); err != nil {
			return nil, nil, err
		}
		if err := p.stores().MayWrite(c.Context, v.repo, v.from); err != nil {
			return nil, nil, err
		}
	}
	if name == "" {
		entries, err := v.repo.List(c.Context, "")
		return v, entries, err
	}
	entry, err := p.find(c.Context, v.repo, name)
	if errors.As(err, new(*repository.DamageError)) { // which the verdict says, or the repair mends
		entry, err = repository.Entry{ID: backup.ID(name), Err: err}, nil
	}
	return v, []repository.Entry{entry}, err
}

// share is a part of the whole as a person writes it: 5%, or 0.05.
func share(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	number, percent := strings.CutSuffix(text, "%")
	part, err := strconv.ParseFloat(number, 64)
	if percent {
		part /= 100
	}
	if err != nil || !(part > 0 && part <= 1) {
		return 0, errors.New("--sample is a share such as 5%, not " + strconv.Quote(text))
	}
	return part, nil
}

// one verifies a backup, mends it where that was asked for, and keeps the result.
func (v *verification) one(c *cli.Context, e repository.Entry) (verdict, error) {
	v.ui.Step("Verifying %s", e.ID)
	result := verdict{ID: e.ID}
	var err error
	if result.Verified, err = v.look(c, e); err != nil {
		return result, err
	}
	if v.source != nil && !result.OK() {
		repaired, err := v.repo.Repair(c.Context, e.ID, v.source)
		if err != nil && !errors.As(err, new(*repository.DamageError)) && !errors.Is(err, fs.ErrNotExist) {
			return result, err
		}
		if err != nil {
			v.ui.Warn("%s: %v", c.String("repair"), err)
		}
		result.Repaired = &repaired
		v.ui.Detail("%s replaced from %s, %s", ui.Plural(repaired.Segments, "segment"), c.String("repair"), ui.Bytes(repaired.Bytes))
		if e.Manifest, e.Err = v.repo.Manifest(c.Context, e.ID); e.Err == nil {
			if result.Verified, err = v.look(c, e); err != nil {
				return result, err
			}
		}
	}
	if e.Manifest != nil {
		err = v.keep(c, e.ID, result.Verified)
	}
	switch {
	case !result.OK():
	case result.Share > 0:
		v.ui.Heading("%s: a sample is whole: %s of %s read, all are there in full size", e.ID, ui.Count(int64(result.Segments)), ui.Plural(result.Of, "segment"))
	default:
		v.ui.Heading("%s is whole: %s read, sizes, rows and digests are as recorded", e.ID, ui.Plural(result.Segments, "segment"))
	}
	return result, err
}

// look reads the backup.
func (v *verification) look(c *cli.Context, e repository.Entry) (backup.Verified, error) {
	var result backup.Verified
	if e.Manifest == nil {
		result.Problems = []string{e.Err.Error()}
	} else {
		progress := v.ui.Progress(e.Manifest.Stored.Raw)
		read := func(n int64) { progress.Add(int(n)) }
		var err error
		if v.share > 0 {
			result, err = v.repo.Sample(c.Context, e.Manifest, v.share, read)
		} else {
			result, err = v.repo.Verify(c.Context, e.Manifest, read)
		}
		progress.Done()
		if err != nil {
			return result, err
		}
	}
	if e.Manifest != nil && e.Err != nil { // a mark of it
		result.Problems = append(result.Problems, e.Err.Error())
	}
	result.At = time.Now().UTC().Truncate(time.Second)
	for _, problem := range result.Problems {
		v.ui.Warn("%s", problem)
	}
	return result, nil
}

// keep keeps the result: with the backup itself, or, of a copy, with what this host remembers of the store.
func (v *verification) keep(c *cli.Context, id backup.ID, result backup.Verified) error {
	if v.from == here {
		return v.repo.SetVerified(c.Context, id, result)
	}
	release, err := v.stores().Hold(c.Context, v.from)
	if err != nil {
		return err
	}
	defer release()
	remembered, err := v.stores().Remembered(v.from)
	if err != nil {
		return err
	}
	if remembered.Verified == nil {
		remembered.Verified = map[backup.ID]backup.Verified{}
	}
	remembered.Verified[id] = result
	if remembered.Confirmed == nil {
		remembered.Confirmed = map[backup.ID]time.Time{}
	}
	switch {
	case !result.OK():
		delete(remembered.Confirmed, id)
	case result.Share == 0:
		remembered.Confirmed[id] = result.At
	}
	return v.stores().Remember(v.from, remembered)
}
