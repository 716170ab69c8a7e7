package dokku

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"
)

func (c *call) serviceExists() error {
	s, err := c.h.loadService(c.arg(0))
	if err == nil {
		c.info1("Service %s exists", s.Name)
	}
	return err
}

func (c *call) serviceList() error {
	names, err := c.h.services()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		c.warn("There are no Postgres services")
		return nil
	}
	c.info2Quiet("Postgres services")
	for _, n := range names {
		fmt.Fprintln(c.out, n)
	}
	return nil
}

func (c *call) serviceInfo() error {
	if _, err := c.h.loadService(c.arg(0)); err != nil {
		return err
	}
	return c.showInfo(c.arg(0), c.arg(1))
}

// showInfo prints what postgres:info does; flag picks one value.
func (c *call) showInfo(name, flag string) error {
	s, err := c.h.loadService(name)
	if err != nil {
		return err
	}
	// Only the default bridge has the top-level address that dokku-postgres
	// asks for; no container is "missing".
	status, err := c.ask("inspect", "--format", "{{.State.Status}}", s.ContainerID)
	if err != nil {
		status = "missing"
	}
	address, _ := c.ask("inspect", "--format", "{{.NetworkSettings.IPAddress}}", s.ContainerID)
	version, _ := c.ask("inspect", "--format", "{{.Config.Image}}", s.container())
	links := "-"
	if len(s.Links) > 0 {
		links = strings.Join(s.Links, " ") + " "
	}
	root := c.h.serviceRoot(name)
	facts := [][2]string{
		{"config-dir", root + "/data"}, {"config-options", s.ConfigOptions}, {"data-dir", root + "/data"}, {"dsn", s.dsn()},
		{"exposed-ports", "-"}, {"id", s.ContainerID}, {"internal-ip", address}, {"initial-network", s.InitialNetwork}, {"links", links},
		{"post-create-network", s.PostCreate}, {"post-start-network", s.PostStart}, {"service-root", root}, {"status", status}, {"version", version},
	}
	if flag == "" {
		c.info2Quiet("%s postgres service information", name)
	}
	var valid []string
	for _, f := range facts {
		valid = append(valid, "--"+f[0])
		if flag == "--"+f[0] {
			fmt.Fprintln(c.out, f[1])
			return nil
		}
		if flag == "" {
			c.verbose("%-20s %-25s", title(f[0])+":", f[1])
		}
	}
	if flag != "" {
		return fail("Invalid flag passed, valid flags: %s", strings.Join(valid, " "))
	}
	return nil
}

// title is a flag's name as reports show it: "git-sha" becomes "Git sha".
func title(flag string) string {
	s := strings.ReplaceAll(flag, "-", " ")
	return strings.ToUpper(s[:1]) + s[1:]
}

// serviceExport runs what dokku-postgres's service_export runs.
func (c *call) serviceExport() error {
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return err
	}
	return c.stream("container", "exec", s.container(), "env", "PGPASSWORD="+s.Password,
		"pg_dump", "-Fc", "--no-acl", "--no-owner", "-h", "localhost", "-U", "postgres", "-w", s.database())
}

// serviceImport runs what dokku-postgres's service_import runs.
func (c *call) serviceImport() error {
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return err
	}
	return c.stream("container", "exec", "-i", s.container(), "env", "PGPASSWORD="+s.Password,
		"pg_restore", "-h", "localhost", "-cO", "--if-exists", "-d", s.database(), "-U", "postgres", "-w")
}

// serviceClone copies a service; like dokku-postgres it hides what goes wrong
// with the data.
func (c *call) serviceClone() error {
	given := c.serviceOptions()
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return err
	}
	name := c.arg(1)
	if name == "" {
		return fail("Please specify a name for the new service")
	}
	if _, err := c.h.loadService(name); err == nil {
		return fail("Invalid service name %s. Verify the service name is not already in use.", name)
	}
	if running, _ := c.ask("inspect", "--format", "{{.State.Running}}", s.container()); running != "true" {
		return fail("Service %s container is not running", s.Name)
	}
	for flag, value := range map[string]string{"--image": s.Image, "--image-version": s.ImageVersion} {
		given[flag] = or(given[flag], value)
	}
	c.info2("Cloning %s to %s @ %s:%s", s.Name, name, given["--image"], given["--image-version"])
	if err := c.createService(name, given); err != nil {
		return err
	}
	c.info1("Copying data from %s to %s", s.Name, name)
	to, err := c.h.loadService(name)
	if err != nil {
		return err
	}
	dump := c.docker("exec", s.container(), "pg_dump", "-Fc", "--no-acl", "--no-owner", "-U", "postgres", s.database())
	load := c.docker("exec", "-i", to.container(), "pg_restore", "-cO", "--if-exists", "-d", to.database(), "-U", "postgres")
	if load.Stdin, err = dump.StdoutPipe(); err != nil {
		return err
	}
	if err := dump.Start(); err != nil {
		return err
	}
	_ = load.Run()
	_ = dump.Wait()
	c.info2("Done")
	return nil
}

func (c *call) serviceEnter() error {
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return err
	}
	if running, _ := c.ask("inspect", "--format", "{{.State.Running}}", s.container()); running != "true" {
		return fail("Service container is not running")
	}
	c.info1Quiet("Filesystem changes may not persist after container restarts")
	command := c.args[1:]
	if len(command) == 0 {
		command = []string{"/bin/bash"}
	}
	return c.stream(append([]string{"exec", "-i", s.container()}, command...)...)
}

func (c *call) serviceConnect() error {
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return err
	}
	return c.stream("exec", "--env=LANG=C.UTF-8", "--env=LC_ALL=C.UTF-8", "-i", s.container(),
		"psql", "-v", "ON_ERROR_STOP=1", "-U", "postgres", s.database())
}

func (c *call) serviceLogs() error {
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return err
	}
	return c.stream("logs", s.container())
}

// secure gives a server a self-signed certificate and turns TLS on, once.
func (c *call) secure(s *Service) error {
	cert, key, err := selfSigned(s.container())
	if err != nil {
		return err
	}
	script := `cd "$PGDATA" && if [ ! -e server.key ]; then
umask 077 && printf %s "$CERT" > server.crt && printf %s "$KEY" > server.key && chown --reference=PG_VERSION server.crt server.key
echo "ssl = on" >> postgresql.conf; fi`
	if _, err := c.ask("exec", "-e", "CERT="+cert, "-e", "KEY="+key, s.container(), "sh", "-c", script); err != nil {
		return err
	}
	_, err = c.ask("exec", s.container(), "psql", "-U", "postgres", "-q", "-c", "select pg_reload_conf()")
	return err
}

// selfSigned makes a certificate and its key, in PEM.
func selfSigned(name string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", signed), encode("PRIVATE KEY", secret), nil
}
