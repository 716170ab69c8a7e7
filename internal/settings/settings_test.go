package settings_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/settings"
)

func TestSettings(t *testing.T) {
	s := settings.Settings{Dir: filepath.Join(t.TempDir(), "settings")}
	of := func(o settings.Owner) map[string]string {
		t.Helper()
		values, err := s.Of(o)
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	check := func(what string, err error, o settings.Owner, want map[string]string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := of(o); !maps.Equal(got, want) {
			t.Errorf("%s: %s has %q, want %q", what, o, got, want)
		}
	}
	herd, barn := settings.App("herd"), settings.App("barn")
	check("nothing set", nil, herd, map[string]string{})
	check("rename of nothing", s.Rename(herd, barn), barn, map[string]string{})
	check("set", s.Set(herd, "on-deploy", "before"), herd, map[string]string{"on-deploy": "before"})
	check("set again", s.Set(herd, "on-deploy", "both"), herd, map[string]string{"on-deploy": "both"})
	check("a service of that name", s.Set(settings.Service("herd"), "on-destroy", "on"), herd, map[string]string{"on-deploy": "both"})
	check("the host", s.Set(settings.Host, "timeout", "90"), settings.Host, map[string]string{"timeout": "90"})
	check("copy", s.Copy(herd, barn), barn, map[string]string{"on-deploy": "both"})
	check("after the copy", s.Set(barn, "max-age", "10m"), herd, map[string]string{"on-deploy": "both"})
	check("rename", s.Rename(barn, settings.App("stable")), settings.App("stable"), map[string]string{"on-deploy": "both", "max-age": "10m"})
	check("after the rename", nil, barn, map[string]string{})
	check("clear", s.Set(herd, "on-deploy", ""), herd, map[string]string{})
	check("clear what is clear", s.Set(herd, "on-deploy", ""), herd, map[string]string{})
	check("remove", s.Remove(settings.App("stable")), settings.App("stable"), map[string]string{})
	owners, err := s.Owners()
	if err != nil {
		t.Fatal(err)
	}
	if want := []settings.Owner{"app:herd", "herd", "host:"}; !slices.Equal(owners, want) {
		t.Errorf("owners: got %q, want %q", owners, want)
	}
}

// TestCrashed has what a crash leaves while a value is written.
func TestCrashed(t *testing.T) {
	s := settings.Settings{Dir: t.TempDir()}
	herd := settings.App("herd")
	if err := s.Set(herd, "max-age", "10m"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "app:herd", ".new-123"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	values, err := s.Of(herd)
	if want := map[string]string{"max-age": "10m"}; err != nil || !maps.Equal(values, want) {
		t.Errorf("got %q, %v; want %q", values, err, want)
	}
}
