// Package internal_test holds the rule of which package may import which.
package internal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/dokku-backup/dokku-backup"

// allowed says what each part of internal may import of the other parts. Arrows point down: only cli wires adapters, and no
// adapter knows another; the store contract itself is one of backup's interfaces. A package below a part (store/local) belongs to that part.
var allowed = map[string][]string{
	"cli": {
		"atomicfile", "backup", "capture", "code", "datastore", "dokku", "health", "metrics", "notify", "postgres", "repository", "restore", "retention", "runs", "schedule", "settings",
		"store", "stores", "ui",
	},
	"capture":    {"backup"},
	"restore":    {"backup"},
	"dokku":      {"backup"},
	"postgres":   {"backup"},
	"datastore":  {"backup"},
	"code":       {"backup"},
	"repository": {"backup", "store"},
	"retention":  {"atomicfile", "backup", "repository", "settings", "stores"},
	"stores":     {"atomicfile", "backup", "repository", "store"},
	"runs":       {"backup"},
	"schedule":   {"atomicfile", "backup"},
	"notify":     {"atomicfile", "backup"},
	"health":     {"backup", "notify", "schedule", "stores", "ui"},
	"metrics":    {},
	"settings":   {"atomicfile"},
	"atomicfile": {},
	"store":      {"backup"},
	"backup":     {},
	"ui":         {},
}

// outside says the same of packages elsewhere in the module, by their paths. Those without a rule import nothing of internal.
var outside = map[string][]string{
	"main":          {"cli"},
	"test/multiply": {"backup", "repository", "store"}, // writes manifests, for measuring
}

// listed is what `go list -json` tells of a package. Imports leaves out those of tests: a test may wire real parts together.
type listed struct {
	ImportPath string
	Imports    []string
}

func TestImports(t *testing.T) {
	for _, v := range violations(packages(t)) {
		t.Error(v)
	}
}

func TestViolations(t *testing.T) {
	const internal = module + "/internal/"
	tests := []struct {
		name     string
		from, to string
		want     string
	}{
		{"main starts cli", module, internal + "cli", ""},
		{"main wires nothing", module, internal + "backup", "main may not import internal/backup"},
		{"cli wires adapters", internal + "cli", internal + "postgres", ""},
		{"within a part", internal + "postgres", internal + "postgres/archive", ""},
		{"adapter imports adapter", internal + "postgres/archive", internal + "dokku", "internal/postgres may not import internal/dokku"},
		{"capture imports adapter", internal + "capture", internal + "repository", "internal/capture may not import internal/repository"},
		{"upwards", internal + "backup", internal + "cli", "internal/backup may not import internal/cli"},
		{"the sandbox stays outside", module + "/sandbox", internal + "backup", "sandbox may not import internal/backup"},
		{"an example stays outside", module + "/examples/happycows", internal + "ui", "examples/happycows may not import internal/ui"},
		{"other modules are free", internal + "store/sftp", "github.com/pkg/sftp", ""},
		{"a part without a rule", internal + "utils", "io", "internal/utils has no rule in allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(violations([]listed{{tt.from, []string{tt.to}}}), "; ")
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// violations names each import that the rule forbids, and each part that has no rule.
func violations(packages []listed) []string {
	var found []string
	for _, p := range packages {
		from, inside := part(p.ImportPath)
		may := allowed[from]
		if !inside {
			may = outside[from]
		} else if may == nil {
			found = append(found, fmt.Sprintf("internal/%s has no rule in allowed", from))
		}
		for _, path := range p.Imports {
			to, toInside := part(path)
			if !toInside || (inside && to == from) || slices.Contains(may, to) {
				continue
			}
			if inside {
				found = append(found, fmt.Sprintf("internal/%s may not import internal/%s", from, to))
			} else {
				found = append(found, fmt.Sprintf("%s may not import internal/%s", from, to))
			}
		}
	}
	return found
}

// part returns the first folder below internal that a package is in, or, outside of internal, the package's own path in the module.
func part(importPath string) (name string, inside bool) {
	if importPath == module {
		return "main", false
	}
	path := strings.TrimPrefix(importPath, module+"/")
	below, inside := strings.CutPrefix(path, "internal/")
	if !inside {
		return path, false
	}
	name, _, _ = strings.Cut(below, "/")
	return name, true
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		t.Fatalf("list the module's packages: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read the list of packages: %v", err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatal("no packages were listed")
	}
	return all
}
