package dokku

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// servers maps each PostgreSQL on this machine, by full version such as 15.18,
// to its bin folder.
func servers() (map[string]string, error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, bin := range bins {
		out, err := exec.Command(bin, "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("ask %q for its version: %w", bin, err)
		}
		if m := regexp.MustCompile(`\(PostgreSQL\) (\d+\.\d+)`).FindSubmatch(out); m != nil {
			found[string(m[1])] = filepath.Dir(bin)
		}
	}
	return found, nil
}

// newestServer is the version that services have by default.
func newestServer() (string, error) {
	found, err := servers()
	if err != nil {
		return "", err
	}
	newest, at := "", 0
	for version := range found {
		major, _, _ := strings.Cut(version, ".")
		if n, _ := strconv.Atoi(major); n > at {
			newest, at = version, n
		}
	}
	if newest == "" {
		return "", fail("this machine has no PostgreSQL server: apt-get install postgresql")
	}
	return newest, nil
}

// pullImage brings an image: in a real engine one of PostgreSQL is made from
// this machine's files, since there may be no registry.
func (c *call) pullImage(image string) error {
	if !c.h.Docker {
		_, err := c.ask("pull", image)
		return err
	}
	return c.importPostgres(image)
}
