package code

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNetrc(t *testing.T) {
	tests := []struct{ name, text, user, password string }{
		{"empty", "", "", ""},
		{"another host", "machine a.example login x password y", "", ""},
		{"one line", "machine b.example login ada password s", "ada", "s"},
		{"lines", "machine a.example\n\tlogin x\n\tpassword y\nmachine b.example\n\tlogin ada\n\tpassword s\nmachine c.example\n\tlogin z\n", "ada", "s"},
		{"any order", "machine b.example password s account q login ada", "ada", "s"},
		{"words that are values", "machine a.example login machine password b.example\nmachine b.example login default password login", "default", "login"},
		{"default", "machine a.example login x password y\ndefault login ada password s", "ada", "s"},
		{"the host before default", "machine b.example login ada password s default login x password y", "ada", "s"},
		{"only a password", "machine b.example password s", "", "s"},
		{"cut off", "machine b.example login", "", ""},
		{"macro", "machine a.example login x\nmacdef init\nmachine b.example login ada\n", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".netrc")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			user, password, err := netrc(path, "b.example")
			if err != nil {
				t.Fatal(err)
			}
			if user != tt.user || password != tt.password {
				t.Errorf("got %q, %q, want %q, %q", user, password, tt.user, tt.password)
			}
		})
	}
	if user, _, err := netrc(filepath.Join(t.TempDir(), "none"), "b.example"); user != "" || err != nil {
		t.Errorf("no file: got %q, %v", user, err)
	}
}
