package engine

import (
	"crypto/sha256"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/dokku-backup/dokku-backup/sandbox/state"
)

// Network is a network as `docker network inspect` shows it. It keeps nothing
// in or out: Internal is remembered, not enforced.
type Network struct {
	Name       string
	ID         string `json:"Id"`
	Created    string
	Scope      string
	Driver     string
	EnableIPv6 bool
	Internal   bool
	Attachable bool
	Ingress    bool
	Containers map[string]any
	Options    map[string]string
	Labels     map[string]string
}

func newNetwork(name, driver string) *Network {
	return &Network{Name: name, ID: newID(), Created: now(), Scope: "local", Driver: driver,
		Containers: map[string]any{}, Options: map[string]string{}, Labels: map[string]string{}}
}

func (e *Engine) networkPath(name string) string {
	return filepath.Join(e.Dir, "networks", name+".json")
}

func (e *Engine) saveNetwork(n *Network) error { return state.Write(e.networkPath(n.Name), n) }

// networks returns all networks by name.
func (e *Engine) networks() ([]*Network, error) {
	names, err := state.Names(filepath.Join(e.Dir, "networks"))
	if err != nil {
		return nil, err
	}
	var all []*Network
	for _, name := range names {
		n := &Network{}
		if err := state.Read(e.networkPath(name), n); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// network finds a network by name, id or the start of its id.
func (e *Engine) network(ref string) (*Network, error) {
	all, err := e.networks()
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		if n.Name == ref || ref != "" && strings.HasPrefix(n.ID, ref) {
			return n, nil
		}
	}
	return nil, fmt.Errorf("network %s not found: %w", ref, ErrNotFound)
}

// join gives c its place in the named network, with an address once it runs.
func (c *Container) join(n *Network, aliases []string) {
	ep := &Endpoint{NetworkID: n.ID}
	if n.Name != "bridge" && n.Name != "host" && n.Name != "none" {
		ep.Aliases = append(aliases, c.ID[:12], c.Config.Hostname)
	}
	c.NetworkSettings.Networks[n.Name] = ep
}

// addresses gives c an address in each of its networks: 127.A.B.n, where A and
// B come from the sandbox's folder and n is the lowest that is free.
func (e *Engine) addresses(c *Container, all []*Container) error {
	if c.HostConfig.NetworkMode == "host" || c.HostConfig.NetworkMode == "none" {
		return nil
	}
	used := map[string]bool{}
	for _, other := range all {
		if ip := other.address(); ip != "" && other.ID != c.ID {
			used[ip] = true
		}
	}
	sum := sha256.Sum256([]byte(e.Dir))
	prefix := fmt.Sprintf("127.%d.%d.", 1+int(sum[0])%254, sum[1])
	ip := ""
	for n := 2; n < 255 && ip == ""; n++ {
		if candidate := fmt.Sprint(prefix, n); !used[candidate] && free(candidate) {
			ip = candidate
		}
	}
	if ip == "" {
		return fmt.Errorf("no free address in %s0/24", prefix)
	}
	for name, ep := range c.NetworkSettings.Networks {
		b := net.ParseIP(ip).To4()
		ep.IPAddress, ep.Gateway, ep.IPPrefixLen, ep.EndpointID = ip, prefix+"1", 16, newID()
		ep.MacAddress = fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
		if name == "bridge" {
			c.NetworkSettings.IPAddress, c.NetworkSettings.Gateway = ip, ep.Gateway
		}
	}
	return nil
}

// free reports whether the ports that services and apps use can be bound.
func free(ip string) bool {
	for _, port := range []string{"5432", "5000"} {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// peers maps the names that c can resolve to addresses: its links, and on
// networks other than the default one the aliases of all members.
func (e *Engine) peers(c *Container, all []*Container) map[string]string {
	names := map[string]string{}
	for _, other := range all {
		ip := other.address()
		if ip == "" {
			continue
		}
		for name, ep := range other.NetworkSettings.Networks {
			if c.NetworkSettings.Networks[name] != nil {
				for _, alias := range ep.Aliases {
					names[alias] = ip
				}
			}
		}
		for _, link := range c.HostConfig.Links {
			if target, alias, _ := strings.Cut(link, ":"); "/"+target == other.Name {
				names[alias] = ip
			}
		}
	}
	return names
}
