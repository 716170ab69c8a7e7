package dokku

import (
	"fmt"
	"slices"
	"strings"
)

// both loads the service and the app that the arguments name.
func (c *call) both() (*Service, *App, error) {
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return nil, nil, err
	}
	name := or(c.arg(1), c.app)
	if name == "" {
		return nil, nil, fail("Please specify an app to run the command on")
	}
	a, err := c.h.loadApp(name)
	return s, a, err
}

// colour is the first unused DOKKU_POSTGRES_COLOUR name.
func colour(config map[string]string) string {
	for _, colour := range strings.Fields("AQUA BLACK BLUE FUCHSIA GRAY GREEN LIME MAROON NAVY OLIVE PURPLE RED SILVER TEAL WHITE YELLOW") {
		if _, used := config["DOKKU_POSTGRES_"+colour+"_URL"]; !used {
			return "DOKKU_POSTGRES_" + colour
		}
	}
	return ""
}

func (c *call) serviceLink() error {
	given := c.option("--alias=", "-a=", "--querystring=", "-q=", "--no-restart", "-n=")
	s, a, err := c.both()
	if err != nil {
		return err
	}
	alias := strings.TrimSuffix(strings.ToUpper(or(given["--alias"], given["-a"])), "_URL")
	if alias != "" {
		if _, used := a.Config[alias+"_URL"]; used {
			return fail("Specified alias %s already in use", alias)
		}
	} else if alias = "DATABASE"; a.Config["DATABASE_URL"] != "" {
		if alias = colour(a.Config); alias == "" {
			return fail("Unable to use default or generated URL alias")
		}
	}
	if linked := keysWithValue(a.Config, s.dsn()); len(linked) > 0 {
		return fail("Already linked as %s", strings.Join(linked, "\n"))
	}
	if err := c.trigger("", "service-action", "pre-link", "postgres", s.Name, a.Name); err != nil {
		return err
	}
	if err := c.setLink(s, a.Name, true); err != nil {
		return err
	}
	if err := c.trigger("", "service-action", "post-link", "postgres", s.Name, a.Name); err != nil {
		return err
	}
	url := s.dsn()
	if q := or(given["--querystring"], given["-q"]); q != "" {
		url += "?" + strings.TrimPrefix(q, "?")
	}
	restart := given["--no-restart"] == "" && given["-n"] == ""
	if err := c.setConfig(a.Name, map[string]string{alias + "_URL": url}, restart); err != nil {
		return err
	}
	if !restart {
		c.verbose("Skipping restart of linked app")
	}
	return c.trigger("", "service-action", "post-link-complete", "postgres", s.Name, a.Name)
}

// setLink records or forgets a link on both sides: the service's list and the
// app's docker options.
func (c *call) setLink(s *Service, app string, on bool) error {
	option := s.container() + ":" + s.host()
	set := func(list []string, v string) []string {
		list = slices.DeleteFunc(list, func(e string) bool { return e == v })
		if on {
			list = append(list, v)
		}
		slices.Sort(list)
		return list
	}
	if err := c.h.changeService(s.Name, func(s *Service) { s.Links = set(s.Links, app) }); err != nil {
		return err
	}
	return c.h.changeApp(app, func(a *App) error { a.Links = set(a.Links, option); return nil })
}

func (c *call) serviceUnlink() error {
	given := c.option("--no-restart", "-n=")
	s, a, err := c.both()
	if err != nil {
		return err
	}
	if err := c.trigger("", "service-action", "pre-unlink", "postgres", s.Name, a.Name); err != nil {
		return err
	}
	if err := c.setLink(s, a.Name, false); err != nil {
		return err
	}
	linked := keysWithValue(a.Config, s.dsn())
	if len(linked) == 0 {
		return fail("Not linked to app %s", a.Name)
	}
	if err := c.trigger("", "service-action", "post-unlink", "postgres", s.Name, a.Name); err != nil {
		return err
	}
	restart := given["--no-restart"] == "" && given["-n"] == ""
	if err := c.unsetConfig(a.Name, linked, restart); err != nil {
		return err
	}
	if !restart {
		c.verbose("Skipping restart of linked app")
	}
	return c.trigger("", "service-action", "post-unlink-complete", "postgres", s.Name, a.Name)
}

// unlinkAll forgets an app in every service, saying so for each service that
// there is: dokku-postgres's pre-delete.
func (c *call) unlinkAll(app string) error {
	names, err := c.h.services()
	if err != nil {
		return err
	}
	for _, n := range names {
		c.verboseQuiet("Unlinking from %s", n)
		err := c.h.changeService(n, func(s *Service) {
			s.Links = slices.DeleteFunc(s.Links, func(l string) bool { return l == app })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// relink gives a renamed or cloned app the links of the other.
func (c *call) relink(from, to string) error {
	names, err := c.h.services()
	if err != nil {
		return err
	}
	for _, n := range names {
		err := c.h.changeService(n, func(s *Service) {
			if slices.Contains(s.Links, from) && !slices.Contains(s.Links, to) {
				s.Links = append(s.Links, to)
				slices.Sort(s.Links)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *call) serviceLinks() error {
	s, err := c.h.loadService(c.arg(0))
	if err != nil {
		return err
	}
	for _, app := range s.Links {
		fmt.Fprintln(c.out, app)
	}
	return nil
}

func (c *call) serviceLinked() error {
	s, a, err := c.both()
	if err != nil {
		return err
	}
	if len(keysWithValue(a.Config, s.dsn())) == 0 {
		return fail("Service %s is not linked to %s", s.Name, a.Name)
	}
	c.info1("Service %s is linked to %s", s.Name, a.Name)
	return nil
}

func (c *call) serviceAppLinks() error {
	a, err := c.h.loadApp(or(c.arg(0), c.app))
	if err != nil {
		return err
	}
	names, err := c.h.services()
	if err != nil {
		return err
	}
	for _, n := range names {
		s, err := c.h.loadService(n)
		if err != nil {
			return err
		}
		if slices.Contains(s.Links, a.Name) {
			fmt.Fprintln(c.out, n)
		}
	}
	return nil
}

// servicePromote makes a linked service the app's DATABASE_URL. What that was
// gets a colour's name, unless it has another name already.
func (c *call) servicePromote() error {
	s, a, err := c.both()
	if err != nil {
		return err
	}
	linked := keysWithValue(a.Config, s.dsn())
	if len(linked) == 0 {
		return fail("Not linked to app %s", a.Name)
	}
	if slices.Contains(linked, "DATABASE_URL") {
		return fail("Service %s already promoted as DATABASE_URL", s.Name)
	}
	set := map[string]string{"DATABASE_URL": a.Config[linked[0]]}
	if old := a.Config["DATABASE_URL"]; old != "" && len(keysWithValue(a.Config, old)) == 1 {
		set[colour(a.Config)+"_URL"] = old
	}
	return c.setConfig(a.Name, set, true)
}
