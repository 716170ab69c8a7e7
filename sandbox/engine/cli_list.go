package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"
)

// row is one line of a listing, by the names that Docker's formats use.
type row map[string]string

// psRow is one container in `docker ps`.
type psRow struct {
	ID, Names, Image, Command, CreatedAt, Status, State, Ports, Labels, Networks string

	labels map[string]string
}

// Label is what `{{.Label "key"}}` asks for.
func (r psRow) Label(key string) string { return r.labels[key] }

// table prints rows through a --format, or as columns.
func table[R any](c *call, rows []R, columns ...string) error {
	format, isTable := strings.CutPrefix(c.last("format"), "table ")
	if format == "json" {
		format = "{{json .}}"
	}
	if format == "" || format == "table" {
		isTable = true
		format = "{{." + strings.Join(columns, "}}\\t{{.") + "}}"
	}
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	t, err := template.New("").Funcs(functions()).Parse(format)
	if err != nil {
		return &Exit{64, "template parsing error: " + err.Error()}
	}
	w := tabwriter.NewWriter(c.out, 10, 1, 3, ' ', 0)
	if isTable {
		names := regexp.MustCompile(`{{\s*\.(\w+)[^}]*}}`)
		fmt.Fprintln(w, strings.ToUpper(names.ReplaceAllString(format, "$1")))
	}
	for _, r := range rows {
		var line bytes.Buffer
		if err := t.Execute(&line, r); err != nil {
			return &Exit{1, err.Error()}
		}
		fmt.Fprintln(w, line.String())
	}
	return w.Flush()
}

func (c *call) id(id string) string {
	if c.has("no-trunc") {
		return id
	}
	return strings.TrimPrefix(id, "sha256:")[:12]
}

// ps answers `docker ps`.
func (c *call) ps() error {
	all, err := c.e.Containers()
	if err != nil {
		return err
	}
	var rows []psRow
	for _, con := range all {
		ok, err := c.filtered(con)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if c.has("quiet") {
			fmt.Fprintln(c.out, c.id(con.ID))
			continue
		}
		rows = append(rows, c.rowOf(con))
	}
	if c.has("quiet") {
		return nil
	}
	return table(c, rows, "ID", "Image", "Command", "CreatedAt", "Status", "Ports", "Names")
}

func (c *call) rowOf(con *Container) psRow {
	status := con.State.Status
	switch status {
	case "running":
		status = "Up " + since(con.State.StartedAt)
	case "exited":
		status = fmt.Sprintf("Exited (%d) %s ago", con.State.ExitCode, since(con.State.FinishedAt))
	case "created":
		status = "Created"
	}
	var labels, networks []string
	for k, v := range con.Config.Labels {
		labels = append(labels, k+"="+v)
	}
	for n := range con.NetworkSettings.Networks {
		networks = append(networks, n)
	}
	sort.Strings(labels)
	return psRow{ID: c.id(con.ID), Names: strings.TrimPrefix(con.Name, "/"), Image: con.Config.Image, State: con.State.Status,
		Status: status, CreatedAt: con.Created, Command: fmt.Sprintf("%q", con.Path), Labels: strings.Join(labels, ","),
		Networks: strings.Join(networks, ","), labels: con.Config.Labels}
}

func since(stamp string) string {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return "?"
	}
	return fmt.Sprintf("%d seconds", int(time.Since(t).Seconds()))
}

// filtered reports whether the options of ps select the container. Filters of
// one kind are alternatives, except labels.
func (c *call) filtered(con *Container) (bool, error) {
	wanted := map[string][]bool{}
	for _, f := range c.given["filter"] {
		k, v, _ := strings.Cut(f, "=")
		var ok bool
		switch k {
		case "label":
			name, value, exact := strings.Cut(v, "=")
			has, set := con.Config.Labels[name]
			ok = set && (!exact || has == value)
			k += v
		case "name":
			re, err := regexp.Compile(v)
			if err != nil {
				return false, daemon("invalid filter 'name=%s'", v)
			}
			ok = re.MatchString(con.Name) || re.MatchString(strings.TrimPrefix(con.Name, "/"))
		case "id":
			ok = strings.HasPrefix(con.ID, v)
		case "status":
			ok = con.State.Status == v
		case "ancestor":
			ok = con.Image == v || normalTag(con.Config.Image) == normalTag(v)
		case "network":
			_, ok = con.NetworkSettings.Networks[v]
		default:
			return false, daemon("invalid filter '%s'", k)
		}
		wanted[k] = append(wanted[k], ok)
	}
	if !c.has("all") && len(wanted["status"]) == 0 && !con.State.Running {
		return false, nil
	}
	for _, oks := range wanted {
		any := false
		for _, ok := range oks {
			any = any || ok
		}
		if !any {
			return false, nil
		}
	}
	return true, nil
}

func (c *call) images() error {
	all, err := c.e.images()
	if err != nil {
		return err
	}
	var rows []row
	for _, i := range all {
		tags := i.RepoTags
		if len(tags) == 0 {
			tags = []string{"<none>:<none>"}
		}
		for _, t := range tags {
			if !c.imageSelected(i, t) {
				continue
			}
			repo, tag, _ := strings.Cut(t, ":")
			rows = append(rows, row{"ID": c.id(i.ID), "Repository": repo, "Tag": tag, "CreatedAt": i.Created, "Size": "0B"})
		}
	}
	if c.has("quiet") {
		for _, r := range rows {
			fmt.Fprintln(c.out, r["ID"])
		}
		return nil
	}
	return table(c, rows, "Repository", "Tag", "ID", "CreatedAt", "Size")
}

func (c *call) imageSelected(i *Image, tag string) bool {
	if len(c.args) > 0 && c.args[0] != tag && normalTag(c.args[0]) != tag && !strings.HasPrefix(tag, c.args[0]+":") {
		return false
	}
	for _, f := range c.given["filter"] {
		k, v, _ := strings.Cut(f, "=")
		name, value, exact := strings.Cut(v, "=")
		if has, set := i.Config.Labels[name]; k == "label" && (!set || exact && has != value) {
			return false
		}
		if k == "dangling" && (v == "true") != strings.HasPrefix(tag, "<none>") {
			return false
		}
	}
	return true
}

func (c *call) networkList() error {
	all, err := c.e.networks()
	if err != nil {
		return err
	}
	var rows []row
	for _, n := range all {
		skip := false
		for _, f := range c.given["filter"] {
			k, v, _ := strings.Cut(f, "=")
			name, value, exact := strings.Cut(v, "=")
			has, set := n.Labels[name]
			skip = skip || k == "label" && (!set || exact && has != value) || k == "name" && !strings.Contains(n.Name, v)
		}
		if !skip {
			rows = append(rows, row{"ID": c.id(n.ID), "Name": n.Name, "Driver": n.Driver, "Scope": n.Scope, "Internal": fmt.Sprint(n.Internal)})
		}
	}
	if c.has("quiet") {
		for _, r := range rows {
			fmt.Fprintln(c.out, r["ID"])
		}
		return nil
	}
	return table(c, rows, "ID", "Name", "Driver", "Scope")
}

func (c *call) networkCreate() error {
	unlock, err := c.e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	name := c.args[0]
	if _, err := c.e.network(name); err == nil {
		return daemon("network with name %s already exists", name)
	}
	n := newNetwork(name, "bridge")
	n.Internal = c.has("internal")
	for _, l := range c.given["label"] {
		k, v, _ := strings.Cut(l, "=")
		n.Labels[k] = v
	}
	fmt.Fprintln(c.out, n.ID)
	return c.e.saveNetwork(n)
}

func (c *call) networkRemove() error {
	all, err := c.e.Containers()
	if err != nil {
		return err
	}
	var errs error
	for _, ref := range c.args {
		n, err := c.e.network(ref)
		if err != nil {
			errs = errors.Join(errs, daemon("network %s not found", ref))
			continue
		}
		used := ""
		for _, con := range all {
			if con.NetworkSettings.Networks[n.Name] != nil && con.State.Running {
				used = con.Name
			}
		}
		if used != "" {
			errs = errors.Join(errs, daemon("error while removing network: network %s has active endpoints (name:%q)", n.Name, used))
			continue
		}
		if err := os.Remove(c.e.networkPath(n.Name)); err != nil {
			return err
		}
		fmt.Fprintln(c.out, ref)
	}
	return errs
}

func (c *call) build() error {
	labels, args := map[string]string{}, map[string]string{}
	for _, l := range c.given["label"] {
		k, v, _ := strings.Cut(l, "=")
		labels[k] = v
	}
	for _, a := range c.given["build-arg"] {
		k, v, _ := strings.Cut(a, "=")
		args[k] = v
	}
	file := c.last("file")
	if file == "" {
		file = filepath.Join(c.args[0], "Dockerfile")
	}
	out := c.out
	if c.has("quiet") {
		out = &bytes.Buffer{}
	}
	i, err := c.e.Build(file, c.args[0], c.last("tag"), labels, args, out)
	if err != nil {
		return &Exit{1, err.Error()}
	}
	if c.has("quiet") {
		fmt.Fprintln(c.out, i.ID)
	}
	return nil
}

func (c *call) pull() error {
	i, err := c.e.pull(c.args[0])
	if err != nil {
		return daemon("%s", strings.TrimSuffix(err.Error(), ": "+ErrNotFound.Error()))
	}
	fmt.Fprintf(c.out, "Digest: %s\nStatus: Image is up to date for %s\ndocker.io/library/%s\n", i.ID, normalTag(c.args[0]), normalTag(c.args[0]))
	return nil
}

func (c *call) tag() error {
	i, err := c.e.image(c.args[0])
	if err != nil {
		return daemon("No such image: %s", normalTag(c.args[0]))
	}
	return c.e.tag(i, c.args[1])
}

func (c *call) rmi() error {
	for _, ref := range c.args {
		i, err := c.e.image(ref)
		if err != nil {
			return daemon("No such image: %s", normalTag(ref))
		}
		if err := c.e.removeImage(i, ref); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "Untagged: %s\n", normalTag(ref))
	}
	return nil
}
