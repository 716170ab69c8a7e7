package dokku

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// scripted is a host whose dokku and docker are shell scripts; each call's arguments go to the file that calls reads.
func scripted(t *testing.T, dokku, docker string) (h *Host, calls func() string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "calls")
	h = New(append(os.Environ(), "DOKKU_LIB_ROOT="+t.TempDir(), "DOKKU_ROOT="+t.TempDir()))
	h.Dokku = program(t, `echo "$*" >>`+log+"\n"+dokku)
	h.Docker = program(t, `echo "$*" >>`+log+"\n"+docker)
	return h, func() string {
		text, err := os.ReadFile(log)
		must(t, err)
		return strings.TrimSpace(string(text))
	}
}

func TestSplitImage(t *testing.T) {
	for ref, want := range map[string][2]string{
		"postgres:15.18":             {"postgres", "15.18"},
		"postgres":                   {"postgres", "latest"},
		"localhost:5000/postgis":     {"localhost:5000/postgis", "latest"},
		"localhost:5000/postgis:15":  {"localhost:5000/postgis", "15"},
		"ghcr.io/cows/postgres:15-3": {"ghcr.io/cows/postgres", "15-3"},
	} {
		if image, version := SplitImage(ref); image != want[0] || version != want[1] {
			t.Errorf("%s: got %q %q, want %q", ref, image, version, want)
		}
	}
}

func TestCreateServiceArgv(t *testing.T) {
	h := New(nil)
	n := NewService{Service: Service{"postgres", "cows"}, Image: "postgres", ImageVersion: "15.18", Mark: "abc"}
	for network, want := range map[string]string{
		"":    "dokku postgres:create cows --image postgres --image-version 15.18 --custom-env DOKKU_BACKUP_RESTORE=abc",
		"net": "dokku postgres:create cows --image postgres --image-version 15.18 --custom-env DOKKU_BACKUP_RESTORE=abc --initial-network net",
	} {
		n.Network = network
		if got := strings.Join(h.createService(n), " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestCreateFails(t *testing.T) {
	n := NewService{Service: Service{"postgres", "cows"}, Image: "postgres", ImageVersion: "15.18", Mark: "abc"}
	tests := []struct {
		name, said string
		want       error
	}{
		{"taken", " !     Postgres service cows already exists", ErrExists},
		{"no image", " !     Postgres image postgres:15.18 pull failed", ErrNoImage},
		{"no pull", " !     POSTGRES_DISABLE_PULL environment variable detected. Not running pull command.", ErrNoImage},
		{"app taken", " !     Name is already taken", ErrExists},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := scripted(t, `echo "`+tt.said+`" >&2; exit 1`, "")
			err := h.CreateService(t.Context(), n)
			if strings.HasPrefix(tt.name, "app") {
				err = h.CreateApp(t.Context(), "cows", "abc")
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// TestDestroyLeavesOthers has things that are not the restore's: no destroying command may run.
func TestDestroyLeavesOthers(t *testing.T) {
	const service = `case $1 in
postgres:list) echo cows ;;
postgres:info) echo "Id: c0ffee" ;;
config:export) echo '{}' ;;
apps:report) echo "App created at: 1700000000" ;;
*) exit 0 ;;
esac`
	const container = `case $1 in
inspect) echo '[{"Id":"c0ffee","State":{"Running":true},"Config":{"Env":["A=b"]}}]' ;;
network) echo "" ;;
esac`
	destroy := map[string]func(h *Host, mark string) error{
		"service": func(h *Host, mark string) error {
			return h.DestroyService(t.Context(), Service{"postgres", "cows"}, mark)
		},
		"app": func(h *Host, mark string) error { return h.DestroyApp(t.Context(), "cows", mark, time.Time{}) },
		"later app": func(h *Host, mark string) error {
			return h.DestroyApp(t.Context(), "cows", mark, time.Unix(1700000001, 0))
		},
		"network": func(h *Host, mark string) error { return h.RemoveNetwork(t.Context(), "cows", mark) },
	}
	for what, run := range destroy {
		for _, mark := range []string{"", "abc"} {
			h, calls := scripted(t, service, container)
			if err := run(h, mark); !errors.Is(err, ErrNotOurs) {
				t.Errorf("%s, mark %q: got %v, want %v", what, mark, err, ErrNotOurs)
			}
			if got := calls(); strings.Contains(got, "destroy") || strings.Contains(got, " rm ") {
				t.Errorf("%s, mark %q: called %q", what, mark, got)
			}
		}
	}
}

// TestDestroyWithoutContainer has a service that is stopped, or was never quite made.
func TestDestroyWithoutContainer(t *testing.T) {
	h, calls := scripted(t, `[ $1 = postgres:list ] && echo cows; [ $1 != postgres:info ]`, "exit 1")
	folder := filepath.Join(h.LibRoot, "services/postgres/cows")
	must(t, os.MkdirAll(folder, 0o755))
	must(t, os.WriteFile(filepath.Join(folder, "ENV"), []byte("A=b\nDOKKU_BACKUP_RESTORE=abc\n"), 0o600))
	cows := Service{"postgres", "cows"}
	if err := h.DestroyService(t.Context(), cows, "abd"); !errors.Is(err, ErrNotOurs) {
		t.Errorf("another mark: got %v, want %v", err, ErrNotOurs)
	}
	must(t, h.DestroyService(t.Context(), cows, "abc"))
	if got := calls(); !strings.HasSuffix(got, "\n--force postgres:destroy cows") || strings.Count(got, "destroy") != 1 {
		t.Errorf("called %q", got)
	}
}

func TestRemoveNetworkWaits(t *testing.T) {
	h, calls := scripted(t, "", `case $2 in
inspect) echo abc ;;
rm) [ -e "$DOKKU_ROOT/left" ] || { touch "$DOKKU_ROOT/left"; echo "Error response from daemon: network x has active endpoints" >&2; exit 1; } ;;
esac`)
	must(t, h.RemoveNetwork(t.Context(), "x", "abc"))
	if got := strings.Count(calls(), "network rm x"); got != 2 {
		t.Errorf("got %d tries, want 2", got)
	}
}

func TestCountProcesses(t *testing.T) {
	container := func(name, typ string, running bool) Container {
		return Container{Name: name, Running: running, Labels: map[string]string{"com.dokku.process-type": typ}}
	}
	got := countProcesses("my.cows", []Container{
		container("my.cows.web.1", "web", true), container("my.cows.web.2", "web", true), container("my.cows.web.1.1795251230", "web", true),
		container("my.cows.web.3.upcoming-15488", "web", true), container("my.cows.worker.1", "worker", false), container("my.cows.cron.1", "cron", true),
	})
	if want := map[string]int{"web": 2, "cron": 1}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestScaleAndPortsArgv(t *testing.T) {
	h, calls := scripted(t, `[ $1 != ports:set ] || { echo ' !     `+"`ports:set`"+` is not a dokku command.' >&2; exit 1; }`, "")
	must(t, h.SetScale(t.Context(), "cows", map[string]int{"worker": 0, "web": 2}))
	must(t, h.SetScale(t.Context(), "cows", nil))
	must(t, h.SetPorts(t.Context(), "cows", []string{"https:443:5000", "http:80:5000"}))
	must(t, h.SetPorts(t.Context(), "cows", []string{"https:443:5000"}))
	want := []string{"ps:scale --skip-deploy cows web=2 worker=0", "ports:set cows http:80:5000", "proxy:ports-set cows http:80:5000"}
	if got := strings.Split(calls(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSetConfig looks at where the values go, in a Dokku that has config:import and in one that lacks it.
func TestSetConfig(t *testing.T) {
	values := map[string]string{"B": "moo", "A": "l1\nl2", MarkKey: "another"}
	h, calls := scripted(t, `cat >"$DOKKU_ROOT/stdin"`, "")
	must(t, h.SetConfig(t.Context(), "cows", values))
	if got, want := calls(), "config:import --no-restart --format json cows -"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	stdin, err := os.ReadFile(filepath.Join(h.Root, "stdin"))
	must(t, err)
	if got, want := string(stdin), `{"A":"l1\nl2","B":"moo"}`; got != want {
		t.Errorf("stdin: got %s, want %s", got, want)
	}
	h, calls = scripted(t, `[ $1 != config:import ] || { echo ' !     `+"`config:import`"+` is not a dokku command.' >&2; exit 1; }`, "")
	must(t, h.SetConfig(t.Context(), "cows", values))
	if got, want := calls(), "\nconfig:set --no-restart --encoded cows A=bDEKbDI= B=bW9v"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want it to end in %q", got, want)
	}
	h, _ = scripted(t, `echo " !     A=l1 B=moo postgres://u:moo@x" >&2; exit 1`, "")
	err = h.SetConfig(t.Context(), "cows", values)
	if err == nil || strings.Contains(err.Error(), "moo") {
		t.Errorf("error: got %v, want one without values", err)
	}
}

// TestSyncCode has a git:sync that says it did well and did something else, and one that fails.
func TestSyncCode(t *testing.T) {
	const said = `[ $1 = git:sync ] && { echo "fatal: unable to access 'https://t0ken@example.com/cows.git'"; exit $FAILS; }; echo "Git computed deploy branch: main"`
	for fails, want := range map[string]string{
		"128": `bring commit abc to app "cows": program git:sync: fatal: unable to access 'https://***@example.com/cows.git' (exit status 128)`,
		"0":   `look at branch "main" of app "cows": git --git-dir: fatal: not a git repository`,
	} {
		h, _ := scripted(t, "FAILS="+fails+"\n"+said, "")
		err := h.SyncCode(t.Context(), "cows", "https://t0ken@example.com/cows.git", "abc")
		if got := errText(err); !strings.HasPrefix(got, want) {
			t.Errorf("git:sync exits %s: got %s, want %s", fails, got, want)
		}
	}
}
