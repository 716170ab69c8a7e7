package dokku

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// weigh decides what is deployed. It works in three steps, each of which only adds to the evidence: which image serves
// (or served), whether the ledger saw it being built, and, if it did not, whether the traces that deploys leave behind
// allow for one commit only.
func weigh(f facts) Deployment {
	d := Deployment{
		App:         f.app.Name,
		Certainty:   backup.Unknown,
		Branch:      f.app.Git.Branch,
		Source:      f.app.DeploySource,
		SourceImage: f.app.sourceImage(),
	}
	serving, found := f.serving()
	d.State = f.state(serving, found)
	d.Running = found && serving.Running || !found && f.app.Running
	switch {
	case found:
		d.ImageID = serving.ImageID
		d.DeployedAt = serving.Created
		f.sayOthers(&d, serving)
	case d.State == StateNeverDeployed:
		d.say("Dokku says that the app was never deployed")
		return d
	case d.State == StateDeploying:
		d.say("new containers are being started, and none serves yet")
		return d
	case d.State == StateRunning:
		d.say("Dokku says that the app runs, but Docker has no container of it, so another scheduler runs it")
	case f.latest.ID == "":
		d.say("the app is %s, has no container, and image dokku/%s:latest does not exist", d.State, f.app.Name)
	default:
		d.ImageID = f.latest.ID
		d.say("the app is %s and has no container; image dokku/%s:latest is what it would start", d.State, f.app.Name)
	}
	image := f.image(d.ImageID)
	if !image.Created.IsZero() {
		d.DeployedAt = image.Created
	}
	if e, ok := f.recorded(d.ImageID); ok {
		f.record(&d, e, found)
	} else {
		f.infer(&d, serving, image)
	}
	d.Abbreviated = d.Commit != "" && len(d.Commit) < 40
	return d
}

// serving is the container whose image is the deployed one. During a deploy the containers of the new image are called
// APP.PROCESS.N.upcoming-N and those of the old one, while they retire, APP.PROCESS.N.TIME (source: Dokku's
// plugins/scheduler-docker-local).
func (f facts) serving() (Container, bool) {
	var running, retiring, stopped []Container
	for _, c := range f.containers {
		current := c.Name == f.app.Name+"."+c.Labels["com.dokku.dyno"]
		switch {
		case strings.Contains(c.Name, ".upcoming-"):
		case current && c.Running:
			running = append(running, c)
		case current:
			stopped = append(stopped, c)
		case c.Running:
			retiring = append(retiring, c)
		}
	}
	older := func(a, b Container) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name)) }
	switch {
	case len(running) > 0:
		return slices.MinFunc(running, older), true
	case len(retiring) > 0:
		return slices.MinFunc(retiring, older), true
	case len(stopped) > 0:
		return slices.MaxFunc(stopped, older), true
	}
	return Container{}, false
}

func (f facts) state(serving Container, found bool) State {
	for _, c := range f.containers {
		if c.Running && (!found || c.ImageID != serving.ImageID) {
			return StateDeploying
		}
	}
	switch {
	case found && serving.Running:
		return StateRunning
	case found:
		return StateStopped
	case f.app.Running:
		return StateRunning
	case !f.app.Deployed:
		return StateNeverDeployed
	case f.scaledToZero():
		return StateScaledToZero
	}
	return StateStopped
}

func (f facts) scaledToZero() bool {
	for _, n := range f.app.Scale {
		if n > 0 {
			return false
		}
	}
	return len(f.app.Scale) > 0
}

// sayOthers names the serving container and the images of other running ones.
func (f facts) sayOthers(d *Deployment, serving Container) {
	if !serving.Running {
		d.say("container %s has stopped; it is the last that served", serving.Name)
	}
	seen := map[string]bool{serving.ImageID: true}
	for _, c := range f.containers {
		if !c.Running || seen[c.ImageID] {
			continue
		}
		seen[c.ImageID] = true
		of := "not in the ledger"
		if e, ok := f.recorded(c.ImageID); ok {
			of = "built from " + short(e.Commit)
		}
		d.say("a deploy is under way: container %s of image %s (%s) runs beside %s, which is taken as the one that serves",
			c.Name, shortImage(c.ImageID), of, serving.Name)
	}
}

// image is what is known of the image, zero when it is gone.
func (f facts) image(id string) Image {
	for _, image := range f.images {
		if image.ID == id {
			return image
		}
	}
	if f.latest.ID == id {
		return f.latest
	}
	return Image{}
}

// recorded is what the ledger says of the image: the newest entry, since two commits can give one image.
func (f facts) recorded(imageID string) (Entry, bool) {
	return last(f.ledger, func(e Entry) bool { return imageID != "" && e.Image == imageID })
}

// record takes the commit from the ledger. That an image was built is not that it ever served: for an app without a
// container the last deploy that ended well must name the same commit.
func (f facts) record(d *Deployment, e Entry, served bool) {
	d.Commit, d.DeployedAt, d.Certainty = e.Commit, e.At, backup.Recorded
	d.say("image %s was built from %s, recorded by the deploy hooks at %s", shortImage(e.Image), short(e.Commit), stamp(e.At))
	switch {
	case served:
	case same(e.Commit, f.deployedRevision()):
		d.say("the last deploy that ended well and named its commit was of the same one")
	default:
		d.Certainty = backup.Inferred
		d.say("whether this image ever served is not recorded")
	}
	if head := f.app.Git.SHA; head != "" && !same(head, e.Commit) {
		d.say("the deploy branch is at %s, which is not deployed", short(head))
	}
}

// infer looks for the one commit that fits the traces of deploys that happened before this plugin was there.
func (f facts) infer(d *Deployment, serving Container, image Image) {
	switch {
	case f.ledgerFailed:
		d.say("the ledger cannot be read")
	case d.ImageID != "":
		d.say("the ledger does not know image %s: it was built before this plugin was installed, or while it was disabled", shortImage(d.ImageID))
	}
	git := f.app.Git
	var fits []string
	fit := func(commit, why string, args ...any) {
		d.say(why, args...)
		i := slices.IndexFunc(fits, func(other string) bool { return same(other, commit) })
		switch {
		case i < 0:
			fits = append(fits, commit)
		case len(commit) > len(fits[i]):
			fits[i] = commit
		}
	}
	if f.builtFromHead(serving, image) {
		fit(git.SHA, "the image was made at %s, after the last change of the deploy branch at %s, whose head is %s",
			stamp(cmp.Or(image.built, image.Created)), stamp(git.BranchUpdated), short(git.SHA))
	}
	if deployed := f.deployedRevision(); f.unchangedSinceDeploy(serving, image) {
		fit(deployed, "the last deploy that ended well and named its commit was of %s, and there is no sign of a build since", short(deployed))
	}
	if len(fits) == 1 {
		d.Commit, d.Certainty = fits[0], backup.Inferred
		return
	}
	d.say("the evidence does not leave exactly one commit")
	f.sayCandidates(d, serving)
}

// builtFromHead tells whether the image must have been built from what is the head of the deploy branch now, because
// its files are younger than the last change of the branch, whose time is in whole seconds. Where the last deploy that
// ended well was of the head, the image's own time will do: a build and a mere release both give that commit. A GIT_REV
// that is neither the head nor the last deploy tells of a push that failed, which never moves the branch, and whose image
// may have been started later.
func (f facts) builtFromHead(serving Container, image Image) bool {
	git, deployed, rev := f.app.Git, f.deployedRevision(), f.revision(serving)
	t := image.built
	if t.IsZero() && same(git.SHA, deployed) {
		t = image.Created
	}
	if git.SHA == "" || git.BranchUpdated.IsZero() || !t.Truncate(time.Second).After(git.BranchUpdated) {
		return false
	}
	return rev == "" || same(rev, git.SHA) || same(rev, deployed)
}

// unchangedSinceDeploy tells whether what runs must be the commit of the last deploy that ended well and was given one.
// With all times known: the image's files are not younger than the end of that deploy, nor is the image itself where
// GIT_REV names another commit; and the branch has not moved, or the container is not younger either. With a time missing:
// the branch has not moved since, and GIT_REV does not say otherwise.
func (f facts) unchangedSinceDeploy(serving Container, image Image) bool {
	commit, head, rev := f.deployedRevision(), f.app.Git.SHA, f.revision(serving)
	if commit == "" {
		return false
	}
	otherRev := rev != "" && !same(rev, commit)
	built := cmp.Or(image.built, image.Created)
	switch {
	case built.IsZero() || f.sourceSet.IsZero():
		return same(commit, head) && !otherRev
	case built.After(f.sourceSet), image.Created.After(f.sourceSet) && otherRev:
		return false
	}
	if same(commit, head) {
		return true // whatever was built since was built from this commit
	}
	// An image may come whole from the build cache, older than its deploy; a container is as old as its deploy.
	return serving.ID != "" && !serving.Created.After(f.sourceSet)
}

// deployedRevision is the commit in the metadata of the deploy source: the commit itself, or URL#commit. Dokku writes it
// at the end of a push or git:sync --build that succeeded.
func (f facts) deployedRevision() string {
	rev := f.app.DeployMetadata[strings.LastIndexByte(f.app.DeployMetadata, '#')+1:]
	if !isSHA(rev) {
		return ""
	}
	return rev
}

// revision is GIT_REV, under whatever name, as the container was given it, or, without a container, as the next one
// would be; empty when switched off.
func (f facts) revision(serving Container) string {
	env := serving.Env
	if serving.ID == "" {
		env = f.app.Config
	}
	rev := env[f.app.Git.RevEnvVar]
	if !isSHA(rev) {
		return ""
	}
	return rev
}

// sayCandidates lists all commits that anything names, so that a person can decide.
func (f facts) sayCandidates(d *Deployment, serving Container) {
	git := f.app.Git
	if git.SHA != "" {
		d.say("candidate %s: head of the deploy branch since %s", short(git.SHA), stamp(git.BranchUpdated))
	}
	if rev := f.deployedRevision(); rev != "" {
		d.say("candidate %s: last deploy that ended well and named its commit, at %s", short(rev), stamp(f.sourceSet))
	}
	if rev := f.revision(serving); rev != "" && serving.ID != "" {
		d.say("candidate %s: %s in container %s, made at %s", short(rev), git.RevEnvVar, serving.Name, stamp(serving.Created))
	}
	if rev := f.app.Config[git.RevEnvVar]; isSHA(rev) {
		d.say("candidate %s: %s in the app's config", short(rev), git.RevEnvVar)
	}
}

func (d *Deployment) say(format string, args ...any) {
	d.Evidence = append(d.Evidence, fmt.Sprintf(format, args...))
}

// same tells whether two commits, each possibly abbreviated, are one.
func same(a, b string) bool {
	return a != "" && b != "" && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
}

func short(commit string) string { return commit[:min(10, len(commit))] }

func shortImage(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
