package capture

import (
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

func TestKept(t *testing.T) {
	bundle := func(commits int) *backup.Bundle {
		return &backup.Bundle{Commits: commits, Content: &backup.Content{Bytes: 412_000}}
	}
	tests := []struct {
		name string
		app  backup.App
		want string
	}{
		{"no code", backup.App{Name: "happycows"}, "happycows: no code"},
		{"first commit", backup.App{Short: "35d8722", Bundle: bundle(1)}, "35d8722 as a bundle, 412 kB"},
		{"second commit", backup.App{Short: "82eeec6", Bundle: bundle(2)}, "82eeec6 and its 1 ancestor as a bundle, 412 kB"},
		{"later commit", backup.App{Short: "82eeec6", Bundle: bundle(97)}, "82eeec6 and its 96 ancestors as a bundle, 412 kB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := kept(tt.app); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
