package health

import (
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/notify"
	"github.com/dokku-backup/dokku-backup/internal/schedule"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// TestOverdue is the dead-man's switch: whether a newest good backup of some age is too old, for an owner's setting or by a schedule.
func TestOverdue(t *testing.T) {
	const none = -1
	tests := []struct {
		name      string
		age       time.Duration // of the newest good backup at noon; none for no backup
		schedule  string        // made a week ago
		practice  bool
		after     string // alert-after
		automatic string
		want      string // the problem; "" for none
		told      bool
	}{
		{"nobody expects one", 900 * time.Hour, "", false, "", "", "", false},
		{"never backed up, nobody expects it", none, "", false, "", "", "no good backup", false},
		{"never backed up, as was asked for", none, "daily", false, "", "", "no good backup", true},
		{"daily, made at midnight", 12 * time.Hour, "daily", false, "", "", "", false},
		{"daily, made before it", 13 * time.Hour, "daily", false, "", "", "no good backup since its schedule was last due", true},
		{"hourly, two tries of an hour may still be under way", 2*time.Hour + 30*time.Minute, "hourly", false, "", "", "", false},
		{"hourly, they are over", 4 * time.Hour, "hourly", false, "", "", "no good backup since its schedule was last due", true},
		{"a schedule of practice runs", 900 * time.Hour, "daily", true, "", "", "", false},
		{"switched off", 900 * time.Hour, "daily", false, "", "off", "", false},
		{"set, younger", 35 * time.Hour, "", false, "36h", "", "", false},
		{"set, older", 37 * time.Hour, "", false, "36h", "", "no good backup newer than 36h", true},
		{"set in days", 49 * time.Hour, "", false, "2d", "", "no good backup newer than 2d", true},
		{"set, longer than the schedule", 30 * time.Hour, "daily", false, "2d", "", "", false},
		{"set off", 900 * time.Hour, "daily", false, "off", "", "", false},
		{"set off, never backed up", none, "daily", false, "off", "", "no good backup", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := Facts{Timeout: time.Hour, AlertAfter: tt.after, Off: tt.schedule != "" && tt.automatic == "off"}
			if tt.schedule != "" && !f.Off {
				one := schedule.Schedule{Service: "postgres:db", Name: "s", When: tt.schedule, Zone: "UTC", Practice: tt.practice, Created: noon.AddDate(0, 0, -7)}
				f.Schedules = []Scheduled{{Schedule: one}}
			}
			s := &Service{Service: "postgres:db"}
			if tt.age != none {
				s.Lines = []Line{{ID: backup.NewID("db", noon.Add(-tt.age)), CreatedAt: noon.Add(-tt.age)}}
			}
			if err := s.Judge(f, noon); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, problem := range s.Problems {
				if problem.Kind == notify.NoGoodBackup {
					got += problem.What
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if told := len(s.Lasting()) > 0; told != tt.told {
				t.Errorf("told: got %v, want %v", told, tt.told)
			}
		})
	}
}

// TestCronSilent has a schedule that was made at noon, and cron that did or did not look at it since.
func TestCronSilent(t *testing.T) {
	all, beat := []schedule.Schedule(nil), time.Time{}
	silent := func(after time.Duration, want string) {
		t.Helper()
		if got := CronSilent(all, beat, noon.Add(after)); got != want {
			t.Errorf("after %s: got %q, want %q", after, got, want)
		}
	}
	silent(100*time.Hour, "") // there is no schedule
	all = []schedule.Schedule{{Created: noon.Add(time.Hour)}, {Created: noon}}
	silent(2*time.Hour, "")
	silent(3*time.Hour, "cron has never looked at the schedules")
	beat = noon.Add(3 * time.Hour)
	silent(5*time.Hour, "")
	silent(6*time.Hour, "cron has not looked at the schedules since "+beat.Local().Format("2006-01-02 15:04"))
}

// TestFuture has a backup that a wrong clock dated a year ahead: it hides neither that none was made since, nor the good one before.
func TestFuture(t *testing.T) {
	line := func(age time.Duration) Line {
		return Line{ID: backup.NewID("db", noon.Add(-age)), CreatedAt: noon.Add(-age)}
	}
	s := &Service{Service: "postgres:db", Lines: []Line{line(-365 * 24 * time.Hour), line(-time.Minute), line(37 * time.Hour)}}
	if err := s.Judge(Facts{AlertAfter: "36h"}, noon); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Newest, s.Lines[1].ID; got != want || s.Backups != 3 {
		t.Errorf("newest: got %s of %d backups, want %s of 3", got, s.Backups, want)
	}
	if len(s.Problems) != 1 || s.Problems[0].What != string(s.Lines[0].ID)+" is from the future by this host's clock, and does not count" {
		t.Errorf("problems: got %v, want that the first is from the future", s.Problems)
	}
	s = &Service{Service: "postgres:db", Lines: []Line{s.Lines[0], s.Lines[2]}}
	if err := s.Judge(Facts{AlertAfter: "36h"}, noon); err != nil {
		t.Fatal(err)
	}
	if !s.Has(notify.NoGoodBackup) || s.Newest != s.Lines[1].ID {
		t.Errorf("without one of today: got newest %s, problems %v; want %s and that it is too old", s.Newest, s.Problems, s.Lines[1].ID)
	}
}
