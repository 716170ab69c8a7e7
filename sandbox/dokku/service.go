package dokku

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/sandbox/postgres"
	"github.com/dokku-backup/dokku-backup/sandbox/state"
)

// Service is what the host remembers about one postgres service.
type Service struct {
	Name, Password        string
	Image, ImageVersion   string
	ConfigOptions         string
	CustomEnv             string
	InitialNetwork        string
	PostCreate, PostStart string // networks, as given; shown only
	Memory, ShmSize       string
	Links                 []string
	ContainerID           string
}

var validService = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (h *Host) serviceRoot(name string) string { return h.lib("services/postgres/" + name) }
func (h *Host) servicePath(name string) string { return h.serviceRoot(name) + ".json" }

// container, host, database and dsn are the names that dokku-postgres gives.
func (s *Service) container() string { return "dokku.postgres." + s.Name }
func (s *Service) host() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.container())
}
func (s *Service) database() string {
	return strings.NewReplacer(".", "_", "-", "_").Replace(s.Name)
}
func (s *Service) dsn() string {
	return fmt.Sprintf("postgres://postgres:%s@%s:5432/%s", s.Password, s.host(), s.database())
}

// loadService reads a service; one that does not exist is dokku-postgres's
// error.
func (h *Host) loadService(name string) (*Service, error) {
	if name == "" {
		return nil, fail("Please specify a valid name for the service")
	}
	s := &Service{}
	err := errors.New("not a name")
	if validService.MatchString(name) {
		err = state.Read(h.servicePath(name), s)
	}
	if err != nil && (errors.Is(err, os.ErrNotExist) || !validService.MatchString(name)) {
		return nil, fail("Postgres service %s does not exist", name)
	}
	return s, err
}

func (h *Host) changeService(name string, change func(*Service)) error {
	unlock, err := h.lock("state")
	if err != nil {
		return err
	}
	defer unlock()
	s, err := h.loadService(name)
	if err != nil {
		return err
	}
	change(s)
	return state.Write(h.servicePath(name), s)
}

func (h *Host) services() ([]string, error) { return state.Names(h.lib("services/postgres")) }

func postgresCommands() map[string]func(*call) error {
	return map[string]func(*call) error{
		"postgres:create": (*call).serviceCreate, "postgres:destroy": (*call).serviceDestroy, "postgres:info": (*call).serviceInfo,
		"postgres:list": (*call).serviceList, "postgres:exists": (*call).serviceExists, "postgres:start": (*call).serviceStart,
		"postgres:stop": (*call).serviceStop, "postgres:link": (*call).serviceLink, "postgres:unlink": (*call).serviceUnlink,
		"postgres:links": (*call).serviceLinks, "postgres:linked": (*call).serviceLinked, "postgres:app-links": (*call).serviceAppLinks,
		"postgres:promote": (*call).servicePromote, "postgres:export": (*call).serviceExport, "postgres:import": (*call).serviceImport,
		"postgres:clone": (*call).serviceClone, "postgres:enter": (*call).serviceEnter, "postgres:connect": (*call).serviceConnect,
		"postgres:logs": (*call).serviceLogs, "postgres:restart": (*call).serviceRestart,
	}
}

// serviceOptions are the flags of postgres:create and postgres:clone.
func (c *call) serviceOptions() map[string]string {
	given := c.option("--config-options=", "-c=", "--custom-env=", "-C=", "--image=", "-i=", "--image-version=", "-I=", "--memory=", "-m=",
		"--initial-network=", "-N=", "--password=", "-p=", "--post-create-network=", "-P=", "--root-password=", "-r=",
		"--post-start-network=", "-S=", "--shm-size=", "-s=")
	for short, long := range map[string]string{"-c": "--config-options", "-C": "--custom-env", "-i": "--image", "-I": "--image-version",
		"-m": "--memory", "-N": "--initial-network", "-p": "--password", "-P": "--post-create-network", "-S": "--post-start-network", "-s": "--shm-size"} {
		if v, ok := given[short]; ok {
			given[long] = v
		}
	}
	return given
}

func (c *call) serviceCreate() error {
	given := c.serviceOptions()
	return c.createService(c.arg(0), given)
}

func (c *call) createService(name string, given map[string]string) error {
	if !validService.MatchString(name) {
		return fail("Please specify a valid name for the service. Valid characters are: [A-Za-z0-9_]+")
	}
	if _, err := c.h.loadService(name); err == nil {
		return fail("Postgres service %s already exists", name)
	}
	s := &Service{Name: name, Password: given["--password"], Image: or(given["--image"], "postgres"), ImageVersion: given["--image-version"],
		ConfigOptions: given["--config-options"], CustomEnv: given["--custom-env"], InitialNetwork: given["--initial-network"],
		PostCreate: given["--post-create-network"], PostStart: given["--post-start-network"], Memory: given["--memory"], ShmSize: given["--shm-size"]}
	if s.ImageVersion == "" {
		newest, err := postgres.Newest()
		if err != nil {
			return err
		}
		s.ImageVersion = newest.Version
	}
	image := s.Image + ":" + s.ImageVersion
	if _, err := c.ask("image", "inspect", image); err != nil {
		if err := c.pullImage(image); err != nil {
			return fail("Postgres image %s pull failed", image)
		}
	}
	if s.Password != "" {
		c.warn("Specified password may not be as secure as the auto-generated password")
	} else {
		var random [16]byte
		rand.Read(random[:])
		s.Password = hex.EncodeToString(random[:])
	}
	if err := c.trigger("", "service-action", "pre-create", "postgres", name); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(c.h.serviceRoot(name), "data"), 0o755); err != nil {
		return err
	}
	if err := state.Write(c.h.servicePath(name), s); err != nil {
		return err
	}
	// What the next container's environment begins with.
	env := strings.ReplaceAll(s.CustomEnv, ";", "\n") + "\n"
	if err := os.WriteFile(filepath.Join(c.h.serviceRoot(name), "ENV"), []byte(env), 0o644); err != nil {
		return err
	}
	if err := c.trigger("", "service-action", "post-create", "postgres", name); err != nil {
		return err
	}
	if err := c.startContainer(s); err != nil {
		return err
	}
	return c.trigger("", "service-action", "post-create-complete", "postgres", name)
}

func or(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// startContainer makes a service's container as dokku-postgres does: it waits
// for the server, makes the database, and turns TLS on.
func (c *call) startContainer(s *Service) error {
	args := []string{"run", "-d", "--env=POSTGRES_PASSWORD=" + s.Password, "--hostname=" + s.container(), "--label=dokku.service=postgres",
		"--label=dokku=service", "--name=" + s.container(), "--restart=always", "--volume=" + filepath.Join(c.h.serviceRoot(s.Name), "data") + ":" + postgres.Volume(s.ImageVersion)}
	args = append(args, c.ours("--label=")...)
	for _, kv := range strings.Split(s.CustomEnv, ";") {
		if kv != "" {
			args = append(args, "--env="+kv)
		}
	}
	if s.Memory != "" {
		args = append(args, "--memory="+s.Memory+"m")
	}
	if s.ShmSize != "" {
		args = append(args, "--shm-size="+s.ShmSize)
	}
	if s.InitialNetwork != "" {
		args = append(args, "--network="+s.InitialNetwork, "--network-alias="+s.host())
	}
	id, err := c.ask(append(append(args, s.Image+":"+s.ImageVersion), strings.Fields(s.ConfigOptions)...)...)
	if err != nil {
		return fail("%s", err)
	}
	if err := c.h.changeService(s.Name, func(s *Service) { s.ContainerID = id }); err != nil {
		return err
	}
	c.verboseQuiet("Waiting for container to be ready")
	if err := c.untilReady(s); err != nil {
		return err
	}
	c.verboseQuiet("Creating container database")
	if _, err := c.ask("exec", s.container(), "createdb", "-U", "postgres", "-E", "utf8", s.database()); err != nil {
		c.verboseQuiet("Already exists")
	}
	c.verboseQuiet("Securing connection to database")
	if err := c.secure(s); err != nil {
		return err
	}
	c.info2("Postgres container created: %s", s.Name)
	return c.showInfo(s.Name, "")
}

// untilReady waits until the server answers on TCP, which the temporary server
// of a first start does not.
func (c *call) untilReady(s *Service) error {
	var err error
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, err = c.ask("exec", s.container(), "pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"); err == nil {
			return nil
		}
		if status, _ := c.ask("inspect", "--format", "{{.State.Status}}", s.container()); status != "running" {
			break
		}
	}
	logs, _ := c.ask("logs", s.container())
	return fail("the server of %s does not start: %s\n%s", s.Name, err, logs)
}

func (c *call) serviceDestroy() error {
	given := c.option("--force", "-f")
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return err
	}
	if len(s.Links) > 0 {
		return fail("Cannot delete linked service")
	}
	if !c.force && given["--force"] == "" && given["-f"] == "" && c.arg(1) != "force" {
		if err := c.confirm(s.Name, "Postgres service"); err != nil {
			return err
		}
	}
	c.info2Quiet("Deleting %s", s.Name)
	if err := c.trigger("", "service-action", "pre-delete", "postgres", s.Name); err != nil {
		return err
	}
	if err := c.removeContainer(s); err != nil {
		return err
	}
	c.verboseQuiet("Removing data")
	if c.h.Docker {
		// The files belong to a user of the container.
		_, err := c.ask("run", "--rm", "-v", filepath.Join(c.h.serviceRoot(s.Name), "data")+":/data", "--entrypoint", "chmod",
			s.Image+":"+s.ImageVersion, "-R", "777", "/data")
		if err != nil {
			return err
		}
	}
	if err := errors.Join(os.RemoveAll(c.h.serviceRoot(s.Name)), os.Remove(c.h.servicePath(s.Name))); err != nil {
		return err
	}
	if err := c.trigger("", "service-action", "post-delete", "postgres", s.Name); err != nil {
		return err
	}
	c.info2("Postgres container deleted: %s", s.Name)
	return nil
}

// removeContainer stops a service's container and takes it away.
func (c *call) removeContainer(s *Service) error {
	if _, err := c.ask("inspect", "--format", "{{.Id}}", s.container()); err != nil {
		c.warn("Service is already paused")
		return nil
	}
	c.info2Quiet("Pausing container")
	if _, err := c.ask("stop", s.container()); err != nil {
		return err
	}
	c.verboseQuiet("Container paused")
	c.verboseQuiet("Removing container")
	if _, err := c.ask("rm", s.container()); err != nil {
		return fail("Unable to remove container for service %s", s.Name)
	}
	return nil
}

func (c *call) serviceStop() error {
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return err
	}
	return c.removeContainer(s)
}

func (c *call) serviceStart() error {
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return err
	}
	status, err := c.ask("inspect", "--format", "{{.State.Status}}", s.container())
	if err == nil && status == "running" {
		c.warn("Service is already started")
		return nil
	}
	c.info2Quiet("Starting container")
	if err == nil {
		if _, err := c.ask("start", s.container()); err != nil {
			return err
		}
		c.info2("Container started")
		return nil
	}
	return c.startContainer(s)
}

func (c *call) serviceRestart() error {
	if err := c.serviceStop(); err != nil {
		return err
	}
	return c.serviceStart()
}
