package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"
)

// functions are the ones that Docker's templates have (docker/cli,
// templates/templates.go).
func functions() template.FuncMap {
	return template.FuncMap{
		"json":  toJSON,
		"split": strings.Split,
		"join":  strings.Join,
		"title": strings.ToTitle,
		"lower": strings.ToLower,
		"upper": strings.ToUpper,
		"pad": func(s string, prefix, suffix int) string {
			return strings.Repeat(" ", prefix) + s + strings.Repeat(" ", suffix)
		},
		"truncate": func(s string, n int) string { return s[:min(n, len(s))] },
	}
}

func toJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSpace(b.String()), err
}

// show prints objects as `inspect` does: as a JSON array, or each through a
// template, tried on the typed object first and on its JSON then.
func show(out io.Writer, format string, objects []any) error {
	if format == "" || format == "json" {
		b, err := json.MarshalIndent(public(objects), "", "    ")
		if err != nil {
			return err
		}
		if len(objects) == 0 {
			b = []byte("[]")
		}
		_, err = fmt.Fprintf(out, "%s\n", b)
		return err
	}
	t, err := template.New("").Funcs(functions()).Option("missingkey=error").Parse(format)
	if err != nil {
		return &Exit{64, "template parsing error: " + err.Error()}
	}
	for _, o := range objects {
		var b bytes.Buffer
		if t.Execute(&b, o) != nil {
			b.Reset()
			if err := t.Execute(&b, public(o)); err != nil {
				return &Exit{1, "template parsing error: " + err.Error()}
			}
		}
		fmt.Fprintln(out, b.String())
	}
	if len(objects) == 0 {
		fmt.Fprintln(out)
	}
	return nil
}

// public is v as plain JSON values, without what Docker would not show.
func public(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var plain any
	if json.Unmarshal(b, &plain) != nil {
		return nil
	}
	hide(plain)
	return plain
}

func hide(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			hide(e)
		}
	case map[string]any:
		delete(v, "Sandbox")
	}
}

// inspect answers `docker inspect`: containers first, then images, networks.
func (c *call) inspect() error {
	kind := c.last("type")
	return c.inspectAll(func(ref string) (any, error) {
		if kind == "" || kind == "container" {
			if con, err := c.e.Container(ref); err == nil {
				return con, nil
			}
		}
		if kind == "" || kind == "image" {
			if i, err := c.e.image(ref); err == nil {
				return i, nil
			}
		}
		if kind == "" || kind == "network" {
			if n, err := c.e.network(ref); err == nil {
				return n, nil
			}
		}
		if kind != "" {
			return nil, daemon("No such %s: %s", kind, ref)
		}
		return nil, &Exit{1, "Error: No such object: " + ref}
	})
}

func (c *call) inspectImages() error {
	return c.inspectAll(func(ref string) (any, error) {
		i, err := c.e.image(ref)
		if err != nil {
			return nil, daemon("No such image: %s", normalTag(ref))
		}
		return i, nil
	})
}

func (c *call) networkInspect() error {
	return c.inspectAll(func(ref string) (any, error) {
		n, err := c.e.network(ref)
		if err != nil {
			return nil, daemon("network %s not found", ref)
		}
		all, err := c.e.Containers()
		if err != nil {
			return nil, err
		}
		for _, con := range all {
			if ep := con.NetworkSettings.Networks[n.Name]; ep != nil && con.State.Running {
				n.Containers[con.ID] = map[string]string{"Name": strings.TrimPrefix(con.Name, "/"), "EndpointID": ep.EndpointID,
					"MacAddress": ep.MacAddress, "IPv4Address": fmt.Sprintf("%s/%d", ep.IPAddress, ep.IPPrefixLen), "IPv6Address": ""}
			}
		}
		return n, nil
	})
}

// inspectAll shows what is found and says what is not.
func (c *call) inspectAll(find func(string) (any, error)) error {
	var objects []any
	var missing []string
	for _, ref := range c.args {
		o, err := find(ref)
		if err != nil {
			missing = append(missing, err.Error())
			continue
		}
		objects = append(objects, o)
	}
	if err := show(c.out, c.last("format"), objects); err != nil {
		return err
	}
	if len(missing) > 0 {
		return &Exit{1, strings.Join(missing, "\n")}
	}
	return nil
}

func (c *call) version() error {
	v := map[string]map[string]string{}
	for _, side := range []string{"Client", "Server"} {
		v[side] = map[string]string{"Version": "28.5.2", "ApiVersion": "1.51", "APIVersion": "1.51", "Os": "linux", "Arch": "amd64"}
	}
	if f := c.last("format"); f != "" && f != "json" {
		return show(c.out, f, []any{v})
	}
	if c.last("format") == "json" {
		s, err := toJSON(v)
		fmt.Fprintln(c.out, s)
		return err
	}
	fmt.Fprintln(c.out, "Docker version 28.5.2, build sandbox")
	return nil
}

func (c *call) info() error {
	all, err := c.e.Containers()
	if err != nil {
		return err
	}
	running := 0
	for _, con := range all {
		if con.State.Running {
			running++
		}
	}
	v := map[string]any{"ID": "sandbox", "Name": "sandbox", "ServerVersion": "28.5.2", "Containers": len(all), "ContainersRunning": running,
		"Driver": "overlay2", "OperatingSystem": "sandbox", "OSType": "linux", "DockerRootDir": c.e.Dir, "SecurityOptions": []string{}}
	if f := c.last("format"); f != "" && f != "json" {
		return show(c.out, f, []any{v})
	}
	s, err := toJSON(v)
	fmt.Fprintln(c.out, s)
	return err
}
