package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/ui"
)

var update = flag.Bool("update", false, "write doc/backup-*.md anew")

// TestPages holds doc/backup-<command>.md, the page of each command, to what backup:help prints.
func TestPages(t *testing.T) {
	for _, command := range (&program{}).commands() {
		var out bytes.Buffer
		p := &program{stdout: &out, ui: ui.New(&out, false)}
		if err := p.page(command); err != nil {
			t.Fatal(err)
		}
		want := "# backup:" + command.Name + "\n\nAs `dokku backup:help " + command.Name + "` prints it.\n\n```\n" + out.String() + "```\n"
		path := filepath.Join("..", "..", "doc", "backup-"+command.Name+".md")
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what backup:help %s prints; write it anew: go test ./internal/cli -run TestPages -update", path, command.Name)
		}
	}
}
