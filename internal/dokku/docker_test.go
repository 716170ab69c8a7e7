package dokku

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	must(t, err)
	return data
}

func TestParseContainer(t *testing.T) {
	got, err := parseContainers(testdata(t, "container.json"))
	must(t, err)
	want := []Container{{
		ID:      "48436fb31c4a7920c15084466b26358f459a31fdb21cb1b282bb819d337d7792",
		Name:    "dokku.postgres.happycows-db-practice",
		ImageID: "sha256:c4d43c2f274d0000000000000000000000000000000000000000000000000000",
		Image:   "postgres:15.18",
		Created: time.Date(2026, 11, 21, 8, 53, 10, 161998346, time.UTC),
		Running: true, Status: "running",
		Env:      map[string]string{"POSTGRES_PASSWORD": "00000000000000000000000000000000", "LANG": "en_US.utf8", "OPTIONS": "a=b"},
		Labels:   map[string]string{"dokku": "service", "dokku.service": "postgres"},
		Networks: []Network{{"bridge", ""}, {"alpha", "172.20.0.2"}, {"practice-net", "172.19.0.2"}, {"six", "fd00::2"}},
		Mounts:   []Mount{{"/var/lib/dokku/services/postgres/happycows-db-practice/data", "/var/lib/postgresql/data"}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, want := got[0].Address(), "172.20.0.2"; got != want {
		t.Errorf("address: got %q, want %q", got, want)
	}
	if got := (Container{}).Address(); got != "" {
		t.Errorf("address of no network: got %q", got)
	}
	host, err := parseContainers([]byte(`[{"State":{"Running":true},"HostConfig":{"NetworkMode":"host"},"NetworkSettings":{"Networks":{"host":{"IPAddress":""}}}}]`))
	must(t, err)
	if got, want := host[0].Address(), "127.0.0.1"; got != want {
		t.Errorf("address on the host's network: got %q, want %q", got, want)
	}
}

func TestParseImage(t *testing.T) {
	got, err := parseImage(testdata(t, "image.json"))
	must(t, err)
	want := Image{
		ID:      "sha256:c1588590bbe0fa6e8df1ca00d0df5e6e7b5194ab053dd88ed195d6e319676836",
		Created: time.Date(2026, 11, 21, 7, 50, 1, 500000000, time.UTC),
		Env:     map[string]string{"PORT": "5000"},
		Labels:  map[string]string{"com.dokku.app-name": "happycows"},
		Layers:  []string{"sha256:01", "sha256:02"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for name, created := range map[string]string{"buildpacks": "1980-01-01T00:00:01Z", "none": "", "zero": "0001-01-01T00:00:00Z"} {
		image, err := parseImage([]byte(`[{"Id":"sha256:1","Created":"` + created + `"}]`))
		if err != nil || !image.Created.IsZero() {
			t.Errorf("%s: got %v, %v; want the zero time", name, image.Created, err)
		}
	}
	if _, err := parseImage(testdata(t, "container.json")); !errors.Is(err, ErrNotFound) {
		t.Errorf("a container: got %v, want ErrNotFound", err)
	}
}

func TestParseHistory(t *testing.T) {
	tests := []struct{ name, out, want string }{
		{"labels on top", "2026-11-21T10:07:59Z 0\n2026-11-21T02:07:44-08:00 2160732\n2026-11-20T10:00:00Z 900\n", "2026-11-21T10:07:44Z"},
		{"buildpacks", "1980-01-01T00:00:01Z 100\n", "0001-01-01T00:00:00Z"},
		{"no files", "2026-11-21T10:07:59Z 0\n", "0001-01-01T00:00:00Z"},
		{"not a history", "N/A\n\n", "0001-01-01T00:00:00Z"},
	}
	for _, tt := range tests {
		if got := parseHistory([]byte(tt.out)).Format(time.RFC3339); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestDockerNotFound(t *testing.T) {
	h := New(os.Environ())
	for _, message := range []string{"Error response from daemon: No such container: x", "Error: No such object: x", "Error response from daemon: no such image: x"} {
		h.Docker = program(t, `echo "[]"; echo "`+message+`" >&2; exit 1`)
		if _, err := h.Container(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
			t.Errorf("container, %s: got %v, want ErrNotFound", message, err)
		}
		if _, err := h.Image(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
			t.Errorf("image, %s: got %v, want ErrNotFound", message, err)
		}
	}
	h.Docker = program(t, `echo "Cannot connect to the Docker daemon" >&2; exit 1`)
	if _, err := h.Container(t.Context(), "x"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("no daemon: got %v, want another error", err)
	}
}

// A container that is removed between the list and the look makes docker inspect fail; the list is made again.
func TestContainersLookAgain(t *testing.T) {
	h := New(os.Environ())
	dir := t.TempDir()
	h.Docker = program(t, `case $1 in
ps) echo "$*" >>`+dir+`/ps; echo one ;;
inspect) if mkdir `+dir+`/once 2>/dev/null; then echo "Error: No such object: one" >&2; exit 1; fi
	echo '[{"Id":"one","Name":"/cows.web.1","State":{"Running":true}}]' ;;
esac`)
	got, err := h.Containers(t.Context(), "cows")
	if err != nil || len(got) != 1 || got[0].Name != "cows.web.1" {
		t.Errorf("got %+v, %v; want cows.web.1", got, err)
	}
	asked, err := os.ReadFile(dir + "/ps")
	must(t, err)
	line := "ps --all --quiet --no-trunc --filter label=com.dokku.app-name=cows --filter label=com.dokku.container-type=deploy\n"
	if got, want := string(asked), line+line; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHelperRun(t *testing.T) {
	h := New([]string{"DOCKER_BIN=podman"})
	tests := []struct {
		name   string
		helper Helper
		want   string
	}{
		{"all", Helper{Name: "dokku-backup-1", Purpose: "cows-db-20261121T074700Z", Container: "4843", Image: "sha256:c4d4", Folder: "/lib/run", CPUShares: 512,
			Secrets: []string{"PGPASSWORD"}, Program: "pg_dump", Args: []string{"-f", "/out/fifo", "a b"}},
			"podman|run|--rm|--name|dokku-backup-1|--label|com.dokku-backup.helper=cows-db-20261121T074700Z|--network|container:4843|--cpu-shares|512|" +
				"-e|PGPASSWORD|-v|/lib/run:/out|--entrypoint|pg_dump|sha256:c4d4|-f|/out/fifo|a b"},
		{"least", Helper{Name: "n", Purpose: "p", Container: "c", Image: "i", Program: "x"},
			"podman|run|--rm|--name|n|--label|com.dokku-backup.helper=p|--network|container:c|--entrypoint|x|i"},
	}
	for _, tt := range tests {
		if got, want := h.HelperRun(tt.helper), strings.Split(tt.want, "|"); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, want)
		}
	}
}

func TestKill(t *testing.T) {
	h := New(os.Environ())
	for script, fails := range map[string]bool{
		`[ "$*" = "rm --force n" ]`:                                                                    false,
		`echo "Error: No such container: n" >&2; exit 1`:                                               false,
		`echo "Error response from daemon: No such container: n" >&2; exit 1`:                          false,
		`echo "Error response from daemon: removal of container n is already in progress" >&2; exit 1`: false,
		`echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1`:     true,
	} {
		h.Docker = program(t, script)
		if err := h.Kill(t.Context(), "n"); (err != nil) != fails {
			t.Errorf("%s: got %v, want an error: %v", script, err, fails)
		}
	}
}
