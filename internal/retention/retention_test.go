package retention

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/settings"
	"github.com/dokku-backup/dokku-backup/internal/stores"
)

// TestOf: a store's own rule goes before that of here, and a service's before the host's.
func TestOf(t *testing.T) {
	const host, last3, yearly, unknown = `{"keep_daily":7}`, `{"keep_last":3}`, `{"keep_yearly":2}`, `{"keep_fortnightly":2}`
	rules := Rules{settings.Settings{Dir: t.TempDir()}}
	for _, set := range []struct {
		owner    settings.Owner
		at, rule string
	}{
		{settings.Host, stores.Here, host}, {settings.Host, "offsite", yearly}, {settings.Service("db"), stores.Here, last3},
		{settings.Service("quiet"), stores.Here, KeepEverything}, {settings.Service("newer"), stores.Here, unknown},
	} {
		if err := rules.Set(set.owner, set.at, set.rule); err != nil {
			t.Fatal(err)
		}
	}
	check := func(service, at string, want Rule) {
		t.Helper()
		if got, err := rules.Of(service, at); err != nil || got != want {
			t.Errorf("%q at %s: got %+v, error %v, want %+v", service, at, got, err, want)
		}
	}
	check("", stores.Here, Rule{backup.Retention{KeepDaily: 7}, "host"})
	check("other", stores.Here, Rule{backup.Retention{KeepDaily: 7}, "host"})
	check("db", stores.Here, Rule{backup.Retention{KeepLast: 3}, "service"})
	check("db", "offsite", Rule{backup.Retention{KeepYearly: 2}, "host"})
	check("db", "bucket", Rule{backup.Retention{KeepLast: 3}, "service"})
	check("quiet", "bucket", Rule{Owner: "service"})
	if _, err := rules.Of("newer", stores.Here); !errors.As(err, new(*backup.Problem)) {
		t.Errorf("a rule of a newer program: got error %v, want a problem", err)
	}
	if err := rules.Forget("offsite"); err != nil {
		t.Fatal(err)
	}
	check("db", "offsite", Rule{backup.Retention{KeepLast: 3}, "service"})
}

// TestFailures: a failure stays until retention succeeds where it failed, and one that cannot be read is one still.
func TestFailures(t *testing.T) {
	f := Failures{filepath.Join(t.TempDir(), "retention")}
	check := func(what, want string) {
		t.Helper()
		if got, at := f.Last("postgres:db"); got != want || time.Since(at) > time.Minute && want != "" {
			t.Errorf("%s: got %q at %s, want %q", what, got, at, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check("none yet", "")
	must(f.Keep("db", "offsite", errors.New("no route to host\nsecond line")))
	check("kept", "no route to host")
	must(f.Mended("postgres:db", stores.Here))
	check("mended elsewhere", "no route to host")
	must(f.Mended("postgres:db", "offsite"))
	check("mended", "")
	must(f.Clear("db"))
	must(os.WriteFile(f.path("db"), []byte("{"), 0o600))
	if got, _ := f.Last("db"); got == "" {
		t.Error("a damaged file: got no failure, want one")
	}
}
