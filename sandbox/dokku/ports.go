package dokku

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// portMap is one entry of an app's port map.
type portMap struct {
	Container int    `json:"container_port"`
	Host      int    `json:"host_port"`
	Scheme    string `json:"scheme"`
}

func (m portMap) String() string { return fmt.Sprintf("%s:%d:%d", m.Scheme, m.Host, m.Container) }

// parsePortMap reads scheme:host-port:container-port.
func parsePortMap(s string) (portMap, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return portMap{}, fail("Invalid port map %s [len=%d]", s, len(parts))
	}
	m := portMap{Scheme: parts[0]}
	for part, into := range map[string]*int{parts[1]: &m.Host, parts[2]: &m.Container} {
		n, err := strconv.Atoi(part)
		if err != nil {
			return portMap{}, fail("Invalid port map %s [err=%s]", s, err)
		}
		*into = n
	}
	return m, nil
}

// ports are the app's port maps: those set, else those detected.
func (a *App) ports() []portMap {
	if len(a.Ports) > 0 {
		return a.Ports
	}
	return a.detectedPorts()
}

// detectedPorts is what Dokku finds, in an app that is built the port that its
// image exposes.
func (a *App) detectedPorts() []portMap {
	if a.Builder == "" {
		return []portMap{{Container: 5000, Host: 80, Scheme: "http"}}
	}
	return []portMap{{Container: 5000, Host: 5000, Scheme: "http"}}
}

// port is what a web process finds in PORT.
func (a *App) port() string { return strconv.Itoa(a.ports()[0].Container) }

// portsSet answers ports:set.
func (c *call) portsSet() error {
	a, err := c.h.loadApp(c.arg(0))
	if err != nil {
		return err
	}
	if len(c.args) < 2 {
		return fail("No port mapping specified")
	}
	var ports []portMap
	for _, s := range slices.Sorted(slices.Values(c.args[1:])) {
		m, err := parsePortMap(s)
		if err != nil {
			return err
		}
		ports = append(ports, m)
	}
	if err := c.h.changeApp(a.Name, func(a *App) error { a.Ports = ports; return nil }); err != nil {
		return err
	}
	c.proxyBuild(a.Name)
	if !a.Deployed {
		c.warn("No web listeners specified for %s", a.Name)
	}
	return nil
}

func portsFacts(c *call, a *App) ([]fact, error) {
	set, setJSON, err := showPorts(a.Ports)
	if err != nil {
		return nil, err
	}
	detected, detectedJSON, err := showPorts(a.detectedPorts())
	return []fact{{"ports-map", set}, {"ports-map-detected", detected}, {"ports-map-detected-json", detectedJSON}, {"ports-map-json", setJSON}}, err
}

func showPorts(maps []portMap) (plain, asJSON string, err error) {
	var words []string
	for _, m := range maps {
		words = append(words, m.String())
	}
	b, err := json.Marshal(maps)
	return strings.Join(words, " "), string(b), err
}
