package dokku

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// The commits of dokku-0.38/deployed-sha.txt, and images for them.
const (
	commitA = "b953596cc9e2f3bcf8c095b89a4b23e99e7e34d5"
	commitB = "48db95a1e9eb79298d5f92384ba86ef7ff1ac9ca"
	commitC = "116506964e54179626c40d08530f74bfe283a34b"

	imageA = "sha256:aaaaaaaaaaaaaaaa"
	imageB = "sha256:c1588590bbe0fa6e"
	imageC = "sha256:62067bf9f8593556"
)

// at is a moment of the tests, in minutes.
func at(minute int) time.Time {
	return time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC).Add(time.Duration(minute) * time.Minute)
}

// ran is a container of the app happycows as Dokku makes it.
func ran(name, image string, created int, status, rev string) Container {
	dyno := strings.Join(strings.Split(name, ".")[1:3], ".")
	c := Container{
		ID: "id of " + name, Name: name, ImageID: image, Created: at(created), Running: status == "running", Status: status,
		Labels: map[string]string{"com.dokku.dyno": dyno}, Env: map[string]string{"GIT_REV": rev},
	}
	if rev == "" {
		c.Env = nil
	}
	return c
}

func built(image, commit string, minute int) Entry {
	return Entry{At: at(minute), Run: "1", Commit: commit, Image: image}
}

func made(image string, minute int) Image {
	return Image{ID: image, Created: at(minute), built: at(minute)}
}

// happycows is the app after its reports said: the branch is at head since minute updated, config holds GIT_REV rev,
// and the last deploy that ended well was of source.
func happycows(head string, updated int, rev, source string) App {
	a := App{
		Name: "happycows", Deployed: true, Running: true, Scale: map[string]int{"web": 1},
		DeploySource: "git-sync", DeployMetadata: "https://github.com/example/happycows.git#" + source,
		Git:    Git{SHA: head, Branch: "master", BranchUpdated: at(updated), RevEnvVar: "GIT_REV"},
		Config: map[string]string{},
	}
	if rev != "" {
		a.Config["GIT_REV"] = rev
	}
	return a
}

func with(a App, change func(*App)) App {
	change(&a)
	return a
}

type weighCase struct {
	name      string
	facts     facts
	commit    string
	certainty backup.Certainty
	state     State
	image     string
	evidence  []string // parts that must be found, in this order
}

func testWeigh(t *testing.T, cases []weighCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			d := weigh(tt.facts)
			if d.Commit != tt.commit || d.Certainty != tt.certainty {
				t.Errorf("got commit %q, %s; want %q, %s", d.Commit, d.Certainty, tt.commit, tt.certainty)
			}
			if d.State != tt.state || d.ImageID != tt.image {
				t.Errorf("got state %q, image %q; want %q, %q", d.State, d.ImageID, tt.state, tt.image)
			}
			if wantRunning := tt.state == StateRunning || tt.image != "" && tt.state == StateDeploying; d.Running != wantRunning {
				t.Errorf("got running %v, want %v", d.Running, wantRunning)
			}
			if short := d.Commit != "" && len(d.Commit) < 40; d.Abbreviated != short {
				t.Errorf("got abbreviated %v for %q", d.Abbreviated, d.Commit)
			}
			rest := d.Evidence
			for _, part := range tt.evidence {
				i := slices.IndexFunc(rest, func(e string) bool { return strings.Contains(e, part) })
				if i < 0 {
					t.Fatalf("no %q (in this order) in the evidence:\n%s", part, strings.Join(d.Evidence, "\n"))
				}
				rest = rest[i+1:]
			}
			if len(d.Evidence) == 0 {
				t.Error("no evidence")
			}
			if t.Failed() {
				t.Log(strings.Join(d.Evidence, "\n"))
			}
		})
	}
}

// With a ledger: the rows of the table "Which commit is deployed?" and the cases of everyday life around them.
func TestWeighRecorded(t *testing.T) {
	a, ab, abc := []Entry{built(imageA, commitA, 1)},
		[]Entry{built(imageA, commitA, 1), built(imageB, commitB, 21)},
		[]Entry{built(imageA, commitA, 1), built(imageB, commitB, 21), built(imageC, commitC, 31)}
	extracted := append(slices.Clone(a), Entry{At: at(30), Run: "2", Commit: commitC})

	runs := func(image string, created int, rev string) []Container {
		return []Container{ran("happycows.web.1", image, created, "running", rev)}
	}
	testWeigh(t, []weighCase{
		{"git:sync --build A", facts{app: happycows(commitA, 0, commitA, commitA), containers: runs(imageA, 2, commitA), ledger: a},
			commitA, backup.Recorded, StateRunning, imageA, []string{"built from b953596cc9, recorded"}},
		{"git:sync B without a build", facts{app: happycows(commitB, 10, commitA, commitA), containers: runs(imageA, 2, commitA), ledger: a},
			commitA, backup.Recorded, StateRunning, imageA, []string{"built from b953596cc9", "branch is at 48db95a1e9, which is not deployed"}},
		{"ps:rebuild of B", facts{app: happycows(commitB, 10, commitA, commitA), containers: runs(imageB, 22, commitA), ledger: ab},
			commitB, backup.Recorded, StateRunning, imageB, []string{"built from 48db95a1e9"}},
		{"C crashes on start", facts{app: happycows(commitC, 30, commitC, commitA), containers: runs(imageB, 22, commitA), ledger: abc, latest: made(imageC, 31)},
			commitB, backup.Recorded, StateRunning, imageB, []string{"built from 48db95a1e9", "branch is at 116506964e"}},
		{"build of C fails", facts{app: happycows(commitC, 30, commitC, commitA), containers: runs(imageA, 2, commitA), ledger: extracted},
			commitA, backup.Recorded, StateRunning, imageA, nil},
		{"build of C fails, then config:set", facts{app: happycows(commitC, 30, commitC, commitA), containers: runs(imageA, 40, commitC), ledger: extracted},
			commitA, backup.Recorded, StateRunning, imageA, nil},
		{"C crashes, then ps:restart starts it after all", facts{app: happycows(commitC, 30, commitC, commitA), containers: runs(imageC, 40, commitC), ledger: abc},
			commitC, backup.Recorded, StateRunning, imageC, nil},
		{"rollback to A", facts{app: happycows(commitA, 40, commitA, commitA), containers: runs(imageA, 42, commitA), ledger: append(ab, built(imageA, commitA, 41))},
			commitA, backup.Recorded, StateRunning, imageA, nil},
		{"two commits with one image: the later", facts{app: happycows(commitB, 10, commitA, commitA), containers: runs(imageA, 12, commitA), ledger: append(a[:1:1], built(imageA, commitB, 11))},
			commitB, backup.Recorded, StateRunning, imageA, nil},
		{"GIT_REV switched off", facts{app: with(happycows(commitA, 0, "", commitA), func(a *App) { a.Git.RevEnvVar = "" }), containers: runs(imageA, 2, ""), ledger: a},
			commitA, backup.Recorded, StateRunning, imageA, nil},
		{"two processes", facts{app: happycows(commitA, 0, commitA, commitA), containers: append(runs(imageA, 2, commitA), ran("happycows.worker.1", imageA, 3, "running", commitA)), ledger: a},
			commitA, backup.Recorded, StateRunning, imageA, nil},
		{"stopped", facts{app: with(happycows(commitA, 0, commitA, commitA), func(a *App) { a.Running = false }), containers: []Container{ran("happycows.web.1", imageA, 2, "exited", commitA)}, ledger: a},
			commitA, backup.Recorded, StateStopped, imageA, []string{"container happycows.web.1 has stopped", "built from"}},
		{"stopped, C had crashed before", facts{app: with(happycows(commitC, 30, commitC, commitA), func(a *App) { a.Running = false }),
			containers: []Container{ran("happycows.web.1", imageB, 22, "exited", commitA), ran("happycows.web.1.upcoming-99", imageC, 32, "exited", commitC)}, ledger: abc},
			commitB, backup.Recorded, StateStopped, imageB, nil},
		{"stopped, with an old process left over", facts{app: with(happycows(commitB, 20, commitB, commitB), func(a *App) { a.Running = false }),
			containers: []Container{ran("happycows.worker.1", imageA, 2, "exited", commitA), ran("happycows.web.1", imageB, 22, "exited", commitB)}, ledger: ab},
			commitB, backup.Recorded, StateStopped, imageB, nil},
		{"scaled to zero", facts{app: scaledToZero(happycows(commitA, 0, commitA, commitA)), ledger: a, latest: made(imageA, 1)},
			commitA, backup.Recorded, StateScaledToZero, imageA, []string{"image dokku/happycows:latest is what it would start", "built from b953596cc9"}},
		{"scaled to zero after C crashed", facts{app: scaledToZero(happycows(commitC, 30, commitC, commitA)), ledger: abc, latest: made(imageC, 31)},
			commitC, backup.Inferred, StateScaledToZero, imageC, []string{"latest", "built from 116506964e", "whether this image ever served is not recorded"}},
		{"from an image", facts{app: with(happycows(commitA, 0, commitA, ""), func(a *App) { a.DeploySource, a.Git.SourceImage = "docker-image", "nginx:1.27" }), containers: runs(imageA, 2, commitA), ledger: a},
			commitA, backup.Recorded, StateRunning, imageA, nil},
		{"a short SHA", facts{app: happycows("82eeec6fe1", 0, "", ""), containers: runs(imageA, 2, ""), ledger: []Entry{built(imageA, "82eeec6fe1", 1)}},
			"82eeec6fe1", backup.Recorded, StateRunning, imageA, nil},
		{"never deployed", facts{app: with(happycows("", 0, "", ""), func(a *App) { a.Deployed, a.Running = false, false })},
			"", backup.Unknown, StateNeverDeployed, "", []string{"never deployed"}},
		{"never deployed, the first build failed", facts{app: with(happycows(commitC, 0, commitC, ""), func(a *App) { a.Deployed, a.Running = false, false }), ledger: extracted},
			"", backup.Unknown, StateNeverDeployed, "", []string{"never deployed"}},
	})
}

func scaledToZero(a App) App {
	a.Running, a.Scale = false, map[string]int{"web": 0}
	return a
}

// A deploy under way: which of the images serves.
func TestWeighDeploying(t *testing.T) {
	ledger := []Entry{built(imageA, commitA, 1), built(imageB, commitB, 21)}
	app := happycows(commitB, 20, commitB, commitA)
	upcoming := ran("happycows.web.1.upcoming-30234", imageB, 22, "running", commitB)
	testWeigh(t, []weighCase{
		{"new containers are checked", facts{app: app, containers: []Container{upcoming, ran("happycows.web.1", imageA, 2, "running", commitA)}, ledger: ledger},
			commitA, backup.Recorded, StateDeploying, imageA, []string{"of image c1588590bbe0 (built from 48db95a1e9) runs beside happycows.web.1", "built from b953596cc9, recorded"}},
		{"old containers retire", facts{app: app, containers: []Container{ran("happycows.web.1.1795251230", imageA, 2, "running", commitA), ran("happycows.web.1", imageB, 22, "running", commitB)}, ledger: ledger},
			commitB, backup.Recorded, StateDeploying, imageB, []string{"under way", "built from 48db95a1e9, recorded"}},
		{"half renamed: the older", facts{app: app, containers: []Container{ran("happycows.worker.1", imageB, 22, "running", commitB), ran("happycows.web.1", imageA, 2, "running", commitA)}, ledger: ledger},
			commitA, backup.Recorded, StateDeploying, imageA, nil},
		{"a restart on the same image", facts{app: app, containers: []Container{ran("happycows.web.1.upcoming-1", imageA, 22, "running", commitA), ran("happycows.web.1", imageA, 2, "running", commitA)}, ledger: ledger},
			commitA, backup.Recorded, StateRunning, imageA, nil},
		{"the first deploy of all", facts{app: with(app, func(a *App) { a.Deployed, a.Running = false, false }), containers: []Container{upcoming}, ledger: ledger},
			"", backup.Unknown, StateDeploying, "", []string{"none serves yet"}},
		{"old containers retire while the app is scaled to zero", facts{app: app, containers: []Container{ran("happycows.web.1.1795251230", imageA, 2, "running", commitA)}, ledger: ledger},
			commitA, backup.Recorded, StateRunning, imageA, nil},
	})
}
