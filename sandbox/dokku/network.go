package dokku

import (
	"fmt"
	"slices"
	"strings"
)

func networkCommands() map[string]func(*call) error {
	return map[string]func(*call) error{
		"network:create": (*call).networkCreate, "network:destroy": (*call).networkDestroy, "network:list": (*call).networkList,
		"network:exists": (*call).networkExists, "network:set": (*call).networkSet,
	}
}

func (c *call) networks() ([]string, error) {
	out, err := c.ask("network", "ls", "--format", "{{.Name}}")
	names := strings.Fields(out)
	slices.Sort(names)
	return names, err
}

func (c *call) networkList() error {
	names, err := c.networks()
	if err != nil {
		return err
	}
	c.info2Quiet("Networks")
	for _, n := range names {
		fmt.Fprintln(c.out, n)
	}
	return nil
}

func (c *call) networkExists() error {
	names, err := c.networks()
	if err != nil {
		return err
	}
	if !slices.Contains(names, c.arg(0)) {
		return fail("Network does not exist")
	}
	fmt.Fprintln(c.out, "Network exists")
	return nil
}

func (c *call) networkCreate() error {
	name := c.arg(0)
	if name == "" {
		return fail("No network name specified")
	}
	c.info1Quiet("Creating network %v", name)
	args := append([]string{"network", "create", "--attachable", "--label", "com.dokku.network-name=" + name}, c.ours("--label=")...)
	_, err := c.ask(append(args, name)...)
	if err != nil {
		return fail("%s", err)
	}
	return nil
}

func (c *call) networkDestroy() error {
	c.option("--force")
	name := c.arg(0)
	if name == "" {
		return fail("No network name specified")
	}
	c.info1Quiet("Destroying network %v", name)
	if _, err := c.ask("network", "rm", name); err != nil {
		return fail("%s", err)
	}
	return nil
}

func (c *call) networkSet() error {
	valid := []string{"attach-post-create", "attach-post-deploy", "bind-all-interfaces", "initial-network", "static-web-listener", "tld"}
	if _, err := c.h.loadApp(c.arg(0)); err != nil {
		return err
	}
	if !slices.Contains(valid, c.arg(1)) {
		return fail("Invalid network property specified: %s", c.arg(1))
	}
	return c.setProperty(c.arg(0), "network", c.arg(1), c.arg(2))
}

func networkFacts(c *call, a *App) ([]fact, error) {
	p := func(key string) string { return a.Properties["network/"+key] }
	addresses := ""
	ids, err := c.containers(a.Name)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		ip, err := c.ask("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id)
		if err != nil {
			return nil, err
		}
		addresses = strings.TrimSpace(addresses + " " + ip + ":" + a.port())
	}
	return []fact{{"network-attach-post-create", p("attach-post-create")}, {"network-attach-post-deploy", p("attach-post-deploy")},
		{"network-bind-all-interfaces", or(p("bind-all-interfaces"), "false")}, {"network-computed-attach-post-create", p("attach-post-create")},
		{"network-computed-attach-post-deploy", p("attach-post-deploy")}, {"network-computed-bind-all-interfaces", or(p("bind-all-interfaces"), "false")},
		{"network-computed-initial-network", p("initial-network")}, {"network-computed-tld", p("tld")}, {"network-initial-network", p("initial-network")},
		{"network-static-web-listener", p("static-web-listener")}, {"network-tld", p("tld")}, {"network-web-listeners", addresses}}, nil
}
