package cli

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/code"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/restore"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// commonRestoreFlags are those of restore and practice.
func commonRestoreFlags() []cli.Flag {
	return []cli.Flag{
		fromFlag(), keyFileFlag(),
		&cli.StringFlag{Name: "from-app", Usage: "which `APP` of the backup, where it holds several"},
		&cli.StringFlag{Name: "commit", Usage: "build `REF`, a commit, branch or tag, in place of the commit that belongs to the data"},
		&cli.StringFlag{Name: "from-remote", Usage: "take the code from the git remote `URL` in place of the backup's bundle"},
		&cli.StringFlag{Name: "image-version", Usage: "`VERSION` of the service's image in place of the recorded one"},
		&cli.StringSliceFlag{Name: "env", KeepSpace: true, Usage: "config value `KEY=VALUE` for the app; can be given several times"},
		&cli.StringFlag{Name: "env-file", Usage: "`FILE` with a KEY=VALUE a line"},
		&cli.IntFlag{Name: "jobs", Usage: "`N` tables to load at once (default as many as there are cores, at most 4)"},
		formatFlag(),
	}
}

// restoreRequest is what flags and arguments say.
func (p *program) restoreRequest(c *cli.Context) (restore.Request, error) {
	if c.NArg() > 2 {
		return restore.Request{}, usage(c.Command, "takes a backup and the name of a new service, not %d arguments", c.NArg())
	}
	r := restore.Request{
		Service: c.Args().Get(1), App: c.String("app"), Replace: c.String("replace-app"), SkipCode: c.Bool("skip-code"),
		Verify: restore.Verification(c.String("verify")), Config: c.String("config"),
	}
	var err error
	if r.Scale, err = parseScale(c.StringSlice("scale")); err != nil {
		return r, usage(c.Command, "%v", err)
	}
	if r.Replace != "" {
		r.From = r.Replace
		if r.App == "" {
			r.App = r.Replace + "-restored"
		}
		if r.SkipCode {
			return r, usage(c.Command, "--replace-app proves the app before it moves it: it cannot go with --skip-code")
		}
	}
	err = p.commonRequest(c, &r) // a statement of its own: it changes r
	return r, err
}

// commonRequest fills in what restore and practice share.
func (p *program) commonRequest(c *cli.Context, r *restore.Request) error {
	if r.From == "" || c.String("from-app") != "" {
		r.From = c.String("from-app")
	}
	if r.Store = c.String("from"); r.Store == here {
		r.Store = ""
	}
	r.Remote, r.Commit = c.String("from-remote"), c.String("commit")
	switch r.Verify {
	case restore.Rows, restore.Exact, restore.None:
	default:
		return usage(c.Command, "--verify is rows, exact or none, not %q", r.Verify)
	}
	if c.Int("jobs") < 0 || c.Int("jobs") > 64 {
		return usage(c.Command, "--jobs is 1 to 64, not %d", c.Int("jobs"))
	}
	var err error
	if r.Env, err = readEnv(c.StringSlice("env"), c.String("env-file")); err != nil {
		return usage(c.Command, "%v", err)
	}
	return nil
}

// configKey is what Dokku takes as the name of a config value (validateKey in its plugins/config/config.go).
var configKey = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// readEnv takes KEY=VALUE pairs; those of the command line win over those of the file.
func readEnv(pairs []string, file string) (map[string]string, error) {
	var all []string
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--env-file: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
				all = append(all, line)
			}
		}
	}
	env := map[string]string{}
	for _, pair := range append(all, pairs...) {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || !configKey.MatchString(key) {
			return nil, errors.New("config values are KEY=VALUE, a line each in a file") // not shown: it may be a secret
		}
		env[key] = value
	}
	return env, nil
}

func parseScale(pairs []string) (map[string]int, error) {
	scale := map[string]int{}
	for _, pair := range pairs {
		process, number, _ := strings.Cut(pair, "=")
		n, err := strconv.Atoi(number)
		if err != nil || process == "" || n < 0 {
			return nil, fmt.Errorf("--scale is such as web=1, not %q", pair)
		}
		scale[process] = n
	}
	return scale, nil
}

// restoreJob finds the backup, asks for what is missing, and puts the parts of the job together.
func (p *program) restoreJob(c *cli.Context, name string, r restore.Request) (*restore.Job, *repository.Repository, error) {
	if (name == "" || r.Service == "") && !c.Bool("yes") {
		var err error
		if name, err = p.fillIn(c.Context, name, &r); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case name == "":
		return nil, nil, usage(c.Command, "which backup? give an id or a service")
	case r.Service == "":
		return nil, nil, usage(c.Command, "into which service? give the name of a new one")
	}
	repo, entry, err := p.chosen(c.Context, r.Store, name)
	if err == nil {
		err = repo.NeedKey()
	}
	if err != nil {
		return nil, nil, err
	}
	m := entry.Manifest
	if err := p.complete(c, repo, m, &r); err != nil {
		return nil, nil, err
	}
	job, err := p.newJob(repo, entry, r)
	return job, repo, err
}

// complete works out what the request leaves open: which app, which image, which commit.
func (p *program) complete(c *cli.Context, repo *repository.Repository, m *backup.Manifest, r *restore.Request) error {
	r.Backup, r.Type = m.ID, m.Services[0].Type
	if r.App != "" && r.From == "" && len(m.Apps) == 1 {
		r.From = m.Apps[0].Name
	}
	if v := c.String("image-version"); v != "" {
		image := m.Services[0].Image
		r.Image = image[:strings.LastIndexByte(image, ':')+1] + v
	}
	to := r.Commit // as it was typed
	if to == "" {
		return nil
	}
	i := slices.IndexFunc(m.Apps, func(a backup.App) bool { return a.Name == r.From })
	if r.App == "" || i < 0 {
		return usage(c.Command, "--commit is the code of an app: it goes with --app")
	}
	diff, err := p.changes(c.Context, repo, m, m.Apps[i], to, r.Remote)
	var problem *backup.Problem
	if errors.Is(err, code.ErrNoCommit) && errors.As(err, &problem) && r.Remote == "" {
		return &backup.Problem{Message: problem.Message, Hints: []string{"name a repository that has it: --from-remote URL"}}
	}
	if err != nil {
		return err
	}
	r.Commit = diff.To.SHA
	if r.Remote == "" && diff.Direction != code.Same && diff.Direction != code.Behind { // the bundle ends with the backup's commit
		r.Remote = p.host.Repository(r.From)
	}
	for _, line := range diffLines(diff, to, false) {
		p.ui.Detail("%s", line)
	}
	return nil
}

// newJob wires a request to the parts that do it.
func (p *program) newJob(repo *repository.Repository, entry repository.Entry, r restore.Request) (*restore.Job, error) {
	checks, err := p.checks(entry.Manifest.Services[0])
	if err != nil {
		return nil, err
	}
	return &restore.Job{
		Request: r, Manifest: entry.Manifest, Checks: checks, Last: entry.Marks.Practised, Repository: repo, Report: uiReporter{p.ui},
		Services: newServices{program: p, typ: entry.Manifest.Services[0].Type},
		Apps:     newApps{program: p, typ: entry.Manifest.Services[0].Type, repo: repo},
	}, nil
}

// uiReporter is the printer as restore sees it.
type uiReporter struct{ *ui.Printer }

func (r uiReporter) Progress(total int64) restore.Progress { return r.Printer.Progress(total) }

// checks are the user's own, for a captured service; see set.
func (p *program) checks(s backup.Service) (restore.Checks, error) {
	path, err1 := p.setting(s.Name, "health-path")
	sql, err2 := p.setting(s.Name, "check-sql")
	http, err3 := p.setting(s.Name, "check-http")
	return restore.Checks{Path: path, SQL: splitLines(sql), HTTP: splitLines(http)}, errors.Join(err1, err2, err3)
}
