package restore

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Plan is what a restore will do. Making it changes nothing.
type Plan struct {
	Backup   backup.ID     `json:"backup"`
	Service  string        `json:"service"`
	Image    string        `json:"image"`
	App      string        `json:"app,omitempty"`
	Replace  string        `json:"replace,omitempty"`
	Commit   string        `json:"commit,omitempty"`
	Steps    []PlannedStep `json:"steps"`
	Needs    int64         `json:"needs_bytes"` // about, on disk
	Free     int64         `json:"free_bytes"`
	Expected int64         `json:"expected_ms,omitempty"` // what the last practice run took; 0 without one
	Notes    []string      `json:"notes,omitempty"`       // what will differ, and what to know
}

// PlannedStep is a step of a plan.
type PlannedStep struct {
	Step string `json:"step"`
	Does string `json:"does"`
	What string `json:"what"`
}

// NewPlan checks what can be checked before anything is done, and says what will be done. What stands in the way is a
// *backup.Problem.
func NewPlan(ctx context.Context, job *Job) (*Plan, error) {
	p := &Plan{
		Backup: job.Manifest.ID, Service: job.service().Type + ":" + job.Request.Service, Image: job.image(), App: job.App,
		Replace: job.Replace, Commit: job.commit(),
	}
	if job.Last != nil && job.Last.Passed {
		p.Expected = job.Last.RTO
	}
	for _, check := range []func(context.Context, *Plan) error{job.names, job.versions, job.room, job.code, job.settings} {
		if err := check(ctx, p); err != nil {
			return nil, err
		}
	}
	for _, s := range job.steps() {
		if s.name != stepReport {
			p.Steps = append(p.Steps, PlannedStep{Step: s.name, Does: s.does, What: s.what})
		}
	}
	return p, nil
}

func (j *Job) names(ctx context.Context, _ *Plan) error {
	source := j.service().Name
	name := j.Request.Service
	switch {
	case !backup.ValidServiceName(name):
		return &backup.Problem{Message: fmt.Sprintf("%q cannot be the name of a service: letters, digits, - and _ can", name)}
	case name == source:
		exists, err := j.Services.Exists(ctx, name)
		if err != nil || !exists {
			return err // on another host, or after the service was lost, it may have its own name again
		}
		return &backup.Problem{
			Message: fmt.Sprintf("%s is the service that was backed up: a backup is restored beside it, never over it", name),
			Hints:   []string{fmt.Sprintf("give another name: dokku backup:restore %s %s-2", j.Manifest.ID, name)},
		}
	}
	if exists, err := j.Services.Exists(ctx, name); err != nil || exists {
		return taken("service", name, err)
	}
	if j.App != "" {
		if !backup.ValidAppName(j.App) {
			return &backup.Problem{Message: fmt.Sprintf("%q cannot be the name of an app: lower case letters, digits, . and - can", j.App)}
		}
		if exists, err := j.Apps.Exists(ctx, j.App); err != nil || exists {
			return taken("app", j.App, err)
		}
	}
	if j.Replace != "" {
		if exists, err := j.Apps.Exists(ctx, j.Replace); err != nil || !exists {
			return orProblem(err, fmt.Sprintf("there is no app %q whose service could be replaced", j.Replace), "see all apps: dokku apps:list")
		}
	}
	return nil
}

func taken(what, name string, err error) error {
	return orProblem(err, fmt.Sprintf("%s %s exists already; nothing was done", what, name), "choose another name")
}

func orProblem(err error, message string, hints ...string) error {
	if err != nil {
		return err
	}
	return &backup.Problem{Message: message, Hints: hints}
}

// versions refuses an engine that is older than the dump, as far as the image's name tells. The server itself is asked later.
func (j *Job) versions(ctx context.Context, p *Plan) error {
	_, tag, _ := strings.Cut(p.Image[strings.LastIndexByte(p.Image, '/')+1:], ":")
	was, is := major(j.service().ServerVersion), major(tag)
	if was > 0 && is > 0 && is < was {
		return &backup.Problem{
			Message: fmt.Sprintf("%s is older than the backup's %s %s: an older engine cannot read a newer dump", p.Image, j.service().Type, j.service().ServerVersion),
			Hints:   []string{fmt.Sprintf("take version %d or a later one: --image-version %d", was, was)},
		}
	}
	if is > was && was > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%s is a newer version than the backup's %s", p.Image, j.service().ServerVersion))
	}
	there, err := j.Services.HasImage(ctx, p.Image)
	if err == nil && !there {
		p.Notes = append(p.Notes, fmt.Sprintf("image %s is not on this host and has to be fetched first", p.Image))
	}
	return err
}

// major is the number that a version begins with; 0 when it begins otherwise.
func major(version string) int {
	digits := version[:len(version)-len(strings.TrimLeft(version, "0123456789"))]
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// spare is what a restored database may need more than the one that was backed up: its log, and room to sort its indexes.
const spare = 256 << 20

func (j *Job) room(ctx context.Context, p *Plan) error {
	p.Needs = spare
	for _, d := range j.service().Databases {
		p.Needs += max(d.Size, d.Dump.Bytes)
	}
	var err error
	if p.Free, err = j.Services.Room(ctx); err != nil {
		return err
	}
	if p.Free < p.Needs {
		return &backup.Problem{
			Message: fmt.Sprintf("the disk is too small: about %s are needed, %s are free; nothing was done", size(p.Needs), size(p.Free)),
			Hints:   []string{"make room, for example: docker system df; dokku backup:list"},
		}
	}
	return nil
}

// code refuses an app that the backup has no code for.
func (j *Job) code(_ context.Context, p *Plan) error {
	if j.App == "" {
		return nil
	}
	source := j.source()
	if source == nil {
		names := make([]string, len(j.Manifest.Apps))
		for i, a := range j.Manifest.Apps {
			names[i] = a.Name
		}
		problem := &backup.Problem{Message: "the backup holds no app: no one was linked to the service", Hints: []string{"restore the service alone: leave out --app"}}
		if len(names) > 0 {
			message := fmt.Sprintf("the backup does not say which app %s is to be", j.App)
			if j.From != "" {
				message = fmt.Sprintf("the backup holds no app %q", j.From)
			}
			problem = &backup.Problem{Message: message, Hints: []string{"say which one, it holds " + strings.Join(names, ", ") + ": --from-app APP"}}
		}
		return problem
	}
	if j.SkipCode {
		return nil
	}
	if p.Commit == "" || source.Bundle == nil && j.Remote == "" {
		without := "restore without code: --skip-code"
		if j.Practice {
			without = "practise the data alone: --data-only"
		}
		return &backup.Problem{
			Message: fmt.Sprintf("the backup holds no code of %s: its commit is not known, or could not be kept", source.Name),
			Hints:   []string{without, "or from the app's remote: --from-remote URL --commit SHA"},
		}
	}
	if source.Certainty != backup.Recorded && j.Commit == "" {
		p.Notes = append(p.Notes, fmt.Sprintf("that %s ran %s was %s, not recorded: %s", source.Name, short(p.Commit), source.Certainty, strings.Join(source.Evidence, "; ")))
	}
	switch {
	case source.Deploying == "":
	case j.Manifest.Trigger == backup.BeforeDeploy:
		p.Notes = append(p.Notes, fmt.Sprintf("the backup was made right before %s was deployed at %s", source.Name, short(source.Deploying)))
	default:
		p.Notes = append(p.Notes, fmt.Sprintf("%s was deployed while its data was dumped: %s before, %s after", source.Name, short(source.Commit), short(source.Deploying)))
	}
	if source.SourceImage != "" {
		p.Notes = append(p.Notes, fmt.Sprintf("%s was deployed from %s, which the build needs again", source.Name, source.SourceImage))
	}
	return nil
}

// settings works out the app's config, and says what of the old app it will not have.
func (j *Job) settings(ctx context.Context, p *Plan) error {
	if j.App == "" {
		return nil
	}
	s, err := j.newSettings(ctx)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(s.dropped)) {
		p.Notes = append(p.Notes, fmt.Sprintf("%s is left out: %s; give it one: --env %s=...", key, s.dropped[key], key))
	}
	source := j.source()
	if len(source.Storage) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%s of %s stay with it: %s", plural(len(source.Storage), "storage mount"), source.Name, strings.Join(source.Storage, ", ")))
	}
	if len(source.Domains) > 0 && !j.Practice {
		p.Notes = append(p.Notes, fmt.Sprintf("%s gets a domain of its own; those of %s stay with it: %s", j.App, source.Name, strings.Join(source.Domains, ", ")))
	}
	if j.Network == "" && len(s.config) > 0 && !j.SkipCode {
		p.Notes = append(p.Notes, fmt.Sprintf("%s runs with the config of %s: it can mail, charge and call whom that does", j.App, source.Name))
	}
	return nil
}

// newSettings reads the old config out of the backup.
func (j *Job) newSettings(ctx context.Context) (settings, error) {
	old := map[string]string{}
	if c := j.source().Config; c != nil {
		in := j.Repository.Reader(ctx, c)
		defer in.Close()
		text, err := io.ReadAll(in)
		if err != nil {
			return settings{}, fmt.Errorf("config of %s: %w", j.From, err)
		}
		if json.Unmarshal(text, &old) != nil { // whose error would quote values
			return settings{}, fmt.Errorf("config of %s: it is not a JSON object", j.From)
		}
	}
	return newSettings(old, j.service(), j.Request)
}

func size(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

func short(commit string) string { return commit[:min(7, len(commit))] }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(int64(n)) + " " + noun + "s"
}
