package dokku

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// RunKey is the variable that every program has in its environment which a Host made by ForRun starts, with all that these start in
// turn. A run that is killed leaves them running: `dokku ps:rebuild` goes on for minutes.
const RunKey = "DOKKU_BACKUP_RUN"

// ForRun is the host with programs that can be found again by mark, see Outlived.
func (h *Host) ForRun(mark string) *Host {
	marked := *h
	marked.environ = slices.DeleteFunc(slices.Clone(h.environ), func(kv string) bool { return strings.HasPrefix(kv, RunKey+"=") })
	marked.environ = append(marked.environ, RunKey+"="+mark)
	return &marked
}

// Outlived are the programs of the run with this mark that are still there, each as a command line with its process. Containers are
// not among them: their environment is their own.
func Outlived(mark string) ([]string, error) {
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, path := range environments {
		process := filepath.Base(filepath.Dir(path))
		environ, err := os.ReadFile(path)
		if err != nil || process == strconv.Itoa(os.Getpid()) { // another user's, or it has just ended
			continue
		}
		if !slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(kv []byte) bool { return string(kv) == RunKey+"="+mark }) {
			continue
		}
		argv, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil || len(argv) == 0 {
			continue
		}
		words := strings.Fields(string(bytes.ReplaceAll(argv, []byte{0}, []byte{' '})))
		found = append(found, fmt.Sprintf("%s (process %s)", strings.Join(words[:min(3, len(words))], " "), process))
	}
	return found, nil
}
