// Package postgres finds the PostgreSQL servers that Debian's packages put on
// this machine.
package postgres

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Server is one installed server.
type Server struct {
	// Version is such as 15.18; Major is the number before the dot.
	Version string
	Major   int
	// Bin is the folder of its programs.
	Bin string
}

// Servers are the servers of this machine by rising version.
func Servers() ([]Server, error) {
	var all []Server
	for major := 9; major < 100; major++ {
		bin := filepath.Join("/usr/lib/postgresql", strconv.Itoa(major), "bin")
		program, err := exec.LookPath(filepath.Join(bin, "postgres"))
		if err != nil {
			continue
		}
		out, err := exec.Command(program, "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("ask %q for its version: %w", program, err)
		}
		m := regexp.MustCompile(`\(PostgreSQL\) (\d+\.\d+)`).FindSubmatch(out)
		if m == nil {
			return nil, fmt.Errorf("%q is of no known version: %q", program, out)
		}
		all = append(all, Server{string(m[1]), major, bin})
	}
	return all, nil
}

// Newest is the newest server of this machine.
func Newest() (Server, error) {
	all, err := Servers()
	if err == nil && len(all) == 0 {
		err = errors.New("this machine has no PostgreSQL server: apt-get install postgresql")
	}
	if err != nil {
		return Server{}, err
	}
	return all[len(all)-1], nil
}

// OfTag is the server for an image's tag such as 15, 15.18 or 15-bookworm: the
// one of that major, whatever its minor version.
func OfTag(tag string) (Server, error) {
	all, err := Servers()
	if err != nil {
		return Server{}, err
	}
	for _, s := range all {
		if s.Major == major(tag) {
			return s, nil
		}
	}
	return Server{}, fmt.Errorf("this machine has no PostgreSQL %s", tag)
}

func major(tag string) int {
	n, _ := strconv.Atoi(tag[:len(tag)-len(strings.TrimLeft(tag, "0123456789"))])
	return n
}

// Volume is the folder inside a container that an image of that tag keeps its
// data below; from 18 on the cluster lies in a folder of its own there.
func Volume(tag string) string {
	if major(tag) >= 18 {
		return "/var/lib/postgresql"
	}
	return "/var/lib/postgresql/data"
}

// Env is the environment of the official image.
func (s Server) Env() []string {
	data := Volume(s.Version)
	if s.Major >= 18 {
		data += fmt.Sprintf("/%d/docker", s.Major)
	}
	return []string{
		fmt.Sprintf("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/%d/bin", s.Major),
		"PGDATA=" + data, "LANG=en_US.utf8", fmt.Sprintf("PG_MAJOR=%d", s.Major),
	}
}
