package restore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

func TestJournal(t *testing.T) {
	journals := &Journals{Dir: filepath.Join(t.TempDir(), "restores")}
	j, err := journals.Begin(Request{Service: "cows-db-2", Env: map[string]string{"A": "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journals.Begin(Request{Service: "cows-db-2"}); exitCode(err) != backup.ExitLocked {
		t.Errorf("a second restore into the same service: got %v", err)
	}
	if _, err := journals.Open("cows-db-2"); exitCode(err) != backup.ExitLocked {
		t.Errorf("going on with one that is under way: got %v", err)
	}
	j.Step = stepLoad
	if err := j.save(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(j.Folder(), journalName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("journal: got mode %v, %v, want 0600: it holds config values", info.Mode(), err)
	}
	if records, underWay, err := journals.Unfinished(); err != nil || len(records) != 1 || !underWay[0] {
		t.Errorf("unfinished: got %v, %v, %v, want one that is under way", records, underWay, err)
	}

	// The process dies: its lock goes.
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := journals.Begin(Request{Service: "cows-db-2"}); exitCode(err) != backup.ExitLocked {
		t.Errorf("a restore into an unproven service: got %v", err)
	}
	again, err := journals.Open("cows-db-2")
	if err != nil {
		t.Fatal(err)
	}
	if again.Step != stepLoad || again.Mark != j.Mark || again.Request.Env["A"] != "secret" {
		t.Errorf("got %+v, want what was saved", again.Record)
	}
	if err := again.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := journals.Open("cows-db-2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the end: got %v, want fs.ErrNotExist", err)
	}
	if left, _ := os.ReadDir(journals.Dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestUnfinishedTidies clears away a folder whose process was killed before its first word.
func TestUnfinishedTidies(t *testing.T) {
	journals := &Journals{Dir: t.TempDir()}
	folder := filepath.Join(journals.Dir, "cows-db-2")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if records, _, err := journals.Unfinished(); err != nil || len(records) != 0 {
		t.Errorf("got %v, %v, want none", records, err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	// One that was written in part stands for something, and says so.
	if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, journalName), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := journals.Unfinished(); err == nil {
		t.Error("a damaged journal was passed over")
	}
}

func exitCode(err error) int {
	var problem *backup.Problem
	if errors.As(err, &problem) {
		return problem.ExitCode()
	}
	return 0
}
