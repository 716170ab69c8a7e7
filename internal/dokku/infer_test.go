package dokku

import (
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// released is an image built at one minute and released again at another.
func released(image string, built, again int) Image {
	return Image{ID: image, Created: at(again), built: at(built)}
}

// Without a ledger: the same histories must give the right commit or none.
func TestWeighInferred(t *testing.T) {
	runs := func(image string, created int, rev string) []Container {
		return []Container{ran("happycows.web.1", image, created, "running", rev)}
	}
	images := []Image{made(imageA, 1), made(imageB, 21), made(imageC, 31)}
	a := happycows(commitA, 0, commitA, commitA)
	push := func(a App) App {
		a.DeploySource, a.DeployMetadata = "git-push", a.DeployMetadata[len("https://github.com/example/happycows.git#"):]
		return a
	}
	noRev := func(a App) App {
		a.Git.RevEnvVar, a.Config = "", map[string]string{}
		return a
	}
	unknown := []string{"the ledger does not know image", "does not leave exactly one commit", "candidate"}

	testWeigh(t, []weighCase{
		{"git:sync --build A", facts{app: a, containers: runs(imageA, 2, commitA), images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, []string{"the ledger does not know image aaaaaaaaaaaa", "after the last change of the deploy branch", "last deploy that ended well"}},
		{"git:sync B without a build", facts{app: happycows(commitB, 10, commitA, commitA), containers: runs(imageA, 2, commitA), images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"git:sync B without a build, time of the last deploy not known", facts{app: happycows(commitB, 10, commitA, commitA), containers: runs(imageA, 2, commitA), images: images},
			"", backup.Unknown, StateRunning, imageA, unknown},
		{"ps:rebuild of B", facts{app: happycows(commitB, 10, commitA, commitA), containers: runs(imageB, 22, commitA), images: images, sourceSet: at(3)},
			commitB, backup.Inferred, StateRunning, imageB, nil},
		{"C crashes on start: nothing names B", facts{app: happycows(commitC, 30, commitC, commitA), containers: runs(imageB, 22, commitA), images: images, sourceSet: at(3)},
			"", backup.Unknown, StateRunning, imageB, append(unknown[:2:2],
				"116506964e: head", "b953596cc9: last deploy", "b953596cc9: GIT_REV in container", "116506964e: GIT_REV in the app's config")},
		{"C crashes on start, A still serves", facts{app: happycows(commitC, 30, commitC, commitA), containers: runs(imageA, 2, commitA), images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"build of C fails, then config:set", facts{app: happycows(commitC, 30, commitC, commitA), containers: runs(imageA, 40, commitC), images: images, sourceSet: at(3)},
			"", backup.Unknown, StateRunning, imageA, unknown},
		{"build of pushed C fails, then config:set", facts{app: push(happycows(commitA, 3, commitC, commitA)), containers: runs(imageA, 40, commitC), images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"pushed C crashes, then config:set starts it after all", facts{app: push(happycows(commitA, 3, commitC, commitA)), containers: runs(imageC, 40, commitC), images: images, sourceSet: at(3)},
			"", backup.Unknown, StateRunning, imageC, unknown},
		{"the same, where C only changed a setting of the image", facts{app: push(happycows(commitA, 3, commitC, commitA)), containers: runs(imageC, 40, commitC), images: []Image{released(imageC, 1, 31)}, sourceSet: at(4)},
			"", backup.Unknown, StateRunning, imageC, unknown},
		{"the ledger cannot be read", facts{app: a, containers: runs(imageA, 2, commitA), images: images, sourceSet: at(3), ledgerFailed: true},
			commitA, backup.Inferred, StateRunning, imageA, []string{"ledger cannot be read"}},
		{"the same, time of the last deploy not known", facts{app: push(happycows(commitA, 3, commitC, commitA)), containers: runs(imageC, 40, commitC), images: images},
			"", backup.Unknown, StateRunning, imageC, unknown},
		{"git:sync B without a build, time of the branch not known", facts{app: with(happycows(commitB, 0, commitA, commitA), func(a *App) { a.Git.BranchUpdated = time.Time{} }), containers: runs(imageA, 2, commitA), images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"scaled to zero, then git:sync B without a build", facts{app: scaledToZero(happycows(commitB, 10, commitA, commitA)), latest: made(imageA, 1), sourceSet: at(3)},
			"", backup.Unknown, StateScaledToZero, imageA, unknown},
		{"push: the branch moves after the deploy", facts{app: push(happycows(commitA, 4, commitA, commitA)), containers: runs(imageA, 2, commitA), images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"push, then config:set", facts{app: push(happycows(commitA, 4, commitA, commitA)), containers: runs(imageA, 40, commitA), images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"B by ps:rebuild out of another app's build cache, then C crashes", facts{app: happycows(commitC, 30, commitC, commitA), containers: runs(imageB, 22, commitA), images: []Image{released(imageB, 1, 21)}, sourceSet: at(11)},
			"", backup.Unknown, StateRunning, imageB, unknown},
		{"config:set, then git:sync B without a build", facts{app: happycows(commitB, 50, commitA, commitA), containers: runs(imageA, 40, commitA), images: images, sourceSet: at(3)},
			"", backup.Unknown, StateRunning, imageA, unknown},
		{"B deployed, then back to A with ps:rebuild from the build cache", facts{app: happycows(commitA, 30, commitB, commitB), containers: runs(imageA, 32, commitB), images: images, sourceSet: at(23)},
			"", backup.Unknown, StateRunning, imageA, unknown},
		{"branch changed by git:set: two answers", facts{app: happycows(commitB, 0, commitA, commitA), containers: runs(imageA, 2, commitA), images: images, sourceSet: at(3)},
			"", backup.Unknown, StateRunning, imageA, unknown},
		{"GIT_REV switched off", facts{app: noRev(a), containers: runs(imageA, 2, ""), images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"GIT_REV renamed", facts{app: with(a, func(a *App) {
			a.Git.RevEnvVar, a.Config = "SOURCE_VERSION", map[string]string{"SOURCE_VERSION": commitA, "GIT_REV": commitC}
		}), containers: runs(imageA, 2, commitC), images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"first deployed by git:sync and ps:rebuild: no GIT_REV, no source", facts{app: with(happycows(commitA, 0, "", ""), func(a *App) { a.DeploySource, a.DeployMetadata = "", "" }), containers: runs(imageA, 2, ""), images: images},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"a buildpack's image without a time, nothing moved", facts{app: a, containers: runs(imageA, 2, commitA), images: []Image{{ID: imageA}}, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"a buildpack's image without a time, branch moved", facts{app: happycows(commitB, 10, commitA, commitA), containers: runs(imageA, 22, commitA), images: []Image{{ID: imageA}}, sourceSet: at(3)},
			"", backup.Unknown, StateRunning, imageA, unknown},
		{"image removed under the container", facts{app: happycows(commitB, 10, commitA, commitA), containers: runs(imageB, 22, commitA), sourceSet: at(3)},
			"", backup.Unknown, StateRunning, imageB, unknown},
		{"a short SHA", facts{app: with(happycows("82eeec6fe1", 0, "", ""), func(a *App) { a.DeployMetadata = "" }), containers: runs(imageA, 2, ""), images: images},
			"82eeec6fe1", backup.Inferred, StateRunning, imageA, nil},
		{"a short SHA made long by the deploy source", facts{app: happycows(commitA[:10], 0, commitA, commitA), containers: runs(imageA, 2, commitA), images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageA, nil},
		{"within one second", facts{app: with(a, func(a *App) { a.DeployMetadata = "" }), containers: runs(imageA, 0, commitA), images: []Image{{ID: imageA, Created: at(0).Add(900 * time.Millisecond), built: at(0).Add(900 * time.Millisecond)}}},
			"", backup.Unknown, StateRunning, imageA, unknown},
		{"git:sync B without a build, then stopped and started: a new image of A", facts{app: happycows(commitB, 10, commitA, commitA), containers: runs(imageC, 22, commitA), images: []Image{released(imageC, 1, 21)}, sourceSet: at(3)},
			"", backup.Unknown, StateRunning, imageC, unknown},
		{"stopped and started, then git:sync B without a build", facts{app: happycows(commitB, 30, commitA, commitA), containers: runs(imageC, 22, commitA), images: []Image{released(imageC, 1, 21)}, sourceSet: at(3)},
			"", backup.Unknown, StateRunning, imageC, unknown},
		{"stopped and started", facts{app: a, containers: runs(imageC, 22, commitA), images: []Image{released(imageC, 1, 21)}, sourceSet: at(3)},
			commitA, backup.Inferred, StateRunning, imageC, nil},
		{"ps:rebuild of B, age of the files not known", facts{app: happycows(commitB, 10, commitA, commitA), containers: runs(imageB, 22, commitA), images: []Image{{ID: imageB, Created: at(21)}}, sourceSet: at(3)},
			"", backup.Unknown, StateRunning, imageB, unknown},
		{"stopped", facts{app: with(a, func(a *App) { a.Running = false }), containers: []Container{ran("happycows.web.1", imageA, 2, "exited", commitA)}, images: images, sourceSet: at(3)},
			commitA, backup.Inferred, StateStopped, imageA, nil},
		{"scaled to zero", facts{app: scaledToZero(a), latest: made(imageA, 1), sourceSet: at(3)},
			commitA, backup.Inferred, StateScaledToZero, imageA, []string{"image dokku/happycows:latest"}},
		{"scaled to zero after pushed C crashed", facts{app: scaledToZero(push(happycows(commitA, 3, commitC, commitA))), latest: made(imageC, 31), sourceSet: at(3)},
			"", backup.Unknown, StateScaledToZero, imageC, unknown},
		{"another scheduler", facts{app: a}, commitA, backup.Inferred, StateRunning, "", []string{"another scheduler runs it"}},
	})
}
