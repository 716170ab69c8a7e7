package dokku

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// fact is one line of a report: the flag without its dashes, and the value.
type fact struct{ flag, value string }

// report is one of Dokku's :report commands.
type report struct {
	// kind is the word in the heading; prefix is what flags begin with and
	// JSON keys leave out.
	kind, prefix string
	facts        func(c *call, a *App) ([]fact, error)
}

func reportCommands() map[string]func(*call) error {
	commands := map[string]func(*call) error{"storage:list": (*call).storageList, "storage:mount": (*call).storageMount,
		"storage:unmount": (*call).storageUnmount, "report": (*call).report, "ports:set": (*call).portsSet}
	for name, r := range reports() {
		commands[name+":report"] = func(c *call) error { return c.reportOn(r) }
	}
	return commands
}

func reports() map[string]report {
	return map[string]report{
		"apps":    {"app", "app-", appFacts},
		"git":     {"git", "git-", gitFacts},
		"ps":      {"ps", "ps-", psFacts},
		"ports":   {"ports", "ports-", portsFacts},
		"domains": {"domains", "domains-", domainsFacts},
		"storage": {"storage", "storage-", storageFacts},
		"checks":  {"checks", "checks-", checksFacts},
		"network": {"network", "network-", networkFacts},
	}
}

// reportOn answers one :report command for one app, or for all.
func (c *call) reportOn(r report) error {
	given := c.option("--format=")
	names := []string{}
	flag := ""
	for _, arg := range c.args {
		if strings.HasPrefix(arg, "--") {
			flag = arg
		} else {
			names = append(names, arg)
		}
	}
	if len(names) == 0 {
		all, err := c.h.apps()
		if err != nil {
			return err
		}
		names = all
	}
	for _, n := range names {
		a, err := c.h.loadApp(n)
		if err != nil {
			return err
		}
		facts, err := r.facts(c, a)
		if err != nil {
			return err
		}
		if err := c.showReport(r, a.Name, flag, given["--format"], facts); err != nil {
			return err
		}
	}
	return nil
}

// showReport prints facts in Dokku's form: all, one bare value, or JSON.
func (c *call) showReport(r report, name, flag, format string, facts []fact) error {
	width := 30
	var valid []string
	values := map[string]string{}
	for _, f := range facts {
		if flag == "--"+f.flag {
			fmt.Fprintln(c.out, f.value)
			return nil
		}
		valid = append(valid, "--"+f.flag)
		values[strings.TrimPrefix(f.flag, r.prefix)] = f.value
		width = max(width, len(f.flag)+1)
	}
	if flag != "" {
		return fail("Invalid flag passed, valid flags: %s", strings.Join(valid, ", "))
	}
	if format == "json" {
		b, err := json.Marshal(values)
		fmt.Fprintf(c.out, "%s\n", b)
		return err
	}
	c.info2Quiet("%s %s information", name, r.kind)
	for _, f := range facts {
		c.verbose("%-*s %s", width, title(f.flag)+":", f.value)
	}
	return nil
}

// report answers `dokku report`: every report, then the plugins' own.
func (c *call) report() error {
	a, err := c.h.loadApp(c.arg(0))
	if err != nil {
		return err
	}
	for _, n := range inOrder(reports()) {
		r := reports()[n]
		facts, err := r.facts(c, a)
		if err != nil {
			return err
		}
		if err := c.showReport(r, a.Name, "", "", facts); err != nil {
			return err
		}
	}
	return c.trigger("", "report", a.Name)
}

func appFacts(c *call, a *App) ([]fact, error) {
	return []fact{
		{"app-created-at", strconv.FormatInt(a.CreatedAt, 10)}, {"app-deploy-source", a.Source}, {"app-deploy-source-metadata", a.SourceMetadata},
		{"app-dir", c.h.repo(a.Name)}, {"app-global-disable-autocreation", ""}, {"app-locked", strconv.FormatBool(a.Locked)},
	}, nil
}

func gitFacts(c *call, a *App) ([]fact, error) {
	updated, sha := "", "HEAD"
	if commit, err := c.git(a.Name, "rev-parse", "--verify", "-q", "refs/heads/"+a.branch()); err == nil {
		sha = commit
		if info, err := os.Stat(filepath.Join(c.h.repo(a.Name), "refs/heads", a.branch())); err == nil {
			updated = strconv.FormatInt(info.ModTime().Unix(), 10)
		}
	}
	p := func(key string) string { return a.Properties["git/"+key] }
	return []fact{
		{"git-computed-archive-max-files", or(p("archive-max-files"), "10000")},
		{"git-computed-archive-max-size", or(p("archive-max-size"), "1073741824")},
		{"git-computed-deploy-branch", a.branch()}, {"git-computed-keep-git-dir", or(p("keep-git-dir"), "false")},
		{"git-deploy-branch", p("deploy-branch")}, {"git-global-archive-max-files", ""}, {"git-global-archive-max-size", ""},
		{"git-global-deploy-branch", ""}, {"git-global-keep-git-dir", ""}, {"git-keep-git-dir", p("keep-git-dir")},
		{"git-last-updated-at", updated}, {"git-rev-env-var", a.revVariable()}, {"git-sha", sha}, {"git-source-image", p("source-image")},
	}, nil
}

func psFacts(c *call, a *App) ([]fact, error) {
	running, err := c.running(a.Name)
	if err != nil {
		return nil, err
	}
	facts := []fact{{"deployed", strconv.FormatBool(a.Deployed)}, {"processes", ""}, {"ps-can-scale", "true"},
		{"ps-computed-dockerfile-start-cmd", ""}, {"ps-computed-procfile-path", "Procfile"}, {"ps-computed-restart-policy", "on-failure:10"},
		{"ps-computed-skip-deploy", "false"}, {"ps-computed-start-cmd", ""}, {"ps-computed-stop-timeout-seconds", "30"},
		{"ps-dockerfile-start-cmd", ""}, {"ps-global-procfile-path", ""}, {"ps-global-restart-policy", ""}, {"ps-global-skip-deploy", ""},
		{"ps-global-stop-timeout-seconds", ""}, {"ps-procfile-path", ""}, {"ps-restart-policy", ""}, {"ps-skip-deploy", ""},
		{"ps-start-cmd", ""}, {"ps-stop-timeout-seconds", ""}, {"restore", strconv.FormatBool(a.Restore)}, {"running", running}}
	out, err := c.ask("ps", "-a", "--no-trunc", "--filter", "label=com.dokku.app-name="+a.Name, "--filter", "label=com.dokku.container-type=deploy",
		"--format", `{{.Label "com.dokku.dyno"}} {{.ID}} {{.State}}`)
	if err != nil {
		return nil, err
	}
	var statuses []fact
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) == 3 {
			process, n, _ := strings.Cut(words[0], ".")
			statuses = append(statuses, fact{"status-" + process + "-" + n, fmt.Sprintf("%s (CID: %.11s)", words[2], words[1])})
		}
	}
	slices.SortFunc(statuses, func(x, y fact) int { return strings.Compare(x.flag, y.flag) })
	facts[1].value = strconv.Itoa(len(statuses))
	return append(facts, statuses...), nil
}

func domainsFacts(c *call, a *App) ([]fact, error) {
	return []fact{{"domains-app-enabled", "true"}, {"domains-app-vhosts", a.Name + ".dokku.me"},
		{"domains-global-enabled", "true"}, {"domains-global-vhosts", "dokku.me"}}, nil
}

func storageFacts(c *call, a *App) ([]fact, error) {
	var mounts []string
	for _, m := range a.Mounts {
		mounts = append(mounts, "-v "+m)
	}
	all := strings.Join(mounts, " ")
	return []fact{{"storage-build-mounts", ""}, {"storage-deploy-mounts", all}, {"storage-run-mounts", all}}, nil
}

func checksFacts(c *call, a *App) ([]fact, error) {
	return []fact{{"checks-computed-wait-to-retire", "60"}, {"checks-disabled-list", "none"}, {"checks-global-wait-to-retire", ""},
		{"checks-skipped-list", "none"}, {"checks-wait-to-retire", ""}}, nil
}

func (c *call) storageList() error {
	a, err := c.h.loadApp(c.arg(0))
	if err != nil {
		return err
	}
	c.info1Quiet("%s volume bind-mounts:", a.Name)
	for _, m := range a.Mounts {
		c.verbose("%s", m)
	}
	return nil
}

func (c *call) storageMount() error {
	mount := c.arg(1)
	if !strings.Contains(mount, ":") {
		return fail("Storage path must be two valid paths divided by colon.")
	}
	return c.h.changeApp(c.arg(0), func(a *App) error {
		if slices.Contains(a.Mounts, mount) {
			return fail("Mount path already exists.")
		}
		a.Mounts = append(a.Mounts, mount)
		return nil
	})
}

func (c *call) storageUnmount() error {
	return c.h.changeApp(c.arg(0), func(a *App) error {
		n := slices.Index(a.Mounts, c.arg(1))
		if n < 0 {
			return fail("Mount path does not exist.")
		}
		a.Mounts = slices.Delete(a.Mounts, n, n+1)
		return nil
	})
}
