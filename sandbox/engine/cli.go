package engine

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Exit is an error with the exit code that the docker command ends with.
// An empty message says that all has been said already.
type Exit struct {
	Code    int
	Message string
}

func (x *Exit) Error() string { return x.Message }

// daemon is an error as the Docker daemon's are shown.
func daemon(format string, args ...any) error {
	return &Exit{1, "Error response from daemon: " + fmt.Sprintf(format, args...)}
}

// call is one docker command line on its way through.
type call struct {
	e   *Engine
	in  io.Reader
	out io.Writer
	err io.Writer
	env func(string) (string, bool)
	options
}

// CLI answers `docker ARGS`. env looks up a variable of the caller's
// environment. The error, if any, holds the exit code (see Exit).
func (e *Engine) CLI(args []string, in io.Reader, out, stderr io.Writer, env func(string) (string, bool)) error {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "--version", "-v":
			args = []string{"version"}
			continue
		case "-H", "--host", "--config", "-c", "--context", "-l", "--log-level":
			args = args[1:]
		}
		if len(args) > 0 {
			args = args[1:]
		}
	}
	if len(args) == 0 {
		return &Exit{1, "docker: 'docker' needs a command"}
	}
	c := &call{e: e, in: in, out: out, err: stderr, env: env}
	if args[0] == "container" && len(args) > 1 {
		args = args[1:]
		if args[0] == "ls" || args[0] == "list" {
			args[0] = "ps"
		}
		if args[0] == "inspect" {
			args = append([]string{"inspect", "--type=container"}, args[1:]...)
		}
	}
	name := args[0]
	if (name == "image" || name == "network" || name == "volume") && len(args) > 1 {
		name, args = name+" "+args[1], args[1:]
	}
	cmd, ok := commands()[name]
	if !ok {
		return &Exit{1, fmt.Sprintf("docker: '%s' is not a docker command.\nSee 'docker --help'", name)}
	}
	opts, err := parse(args[1:], cmd.options, cmd.stops)
	if err != nil {
		code := 1
		if name == "run" || name == "create" {
			code = 125
		}
		return &Exit{code, fmt.Sprintf("%s\nSee 'docker %s --help'.", err, name)}
	}
	c.options = opts
	if len(c.args) < cmd.least {
		return &Exit{1, fmt.Sprintf("%q requires at least %d argument(s).\nSee 'docker %s --help'.", "docker "+name, cmd.least, name)}
	}
	return cmd.run(c)
}

// command is one docker command: its options (see parse), whether they stop at
// the first argument, the least number of arguments, and what it does.
type dockerCommand struct {
	options string
	stops   bool
	least   int
	run     func(*call) error
}

func commands() map[string]dockerCommand {
	inspect := "f|format= type= s|size"
	images := "a|all q|quiet no-trunc f|filter= format= digests"
	networks := "q|quiet no-trunc f|filter= format="
	build := "t|tag= f|file= label= build-arg= q|quiet no-cache pull rm force-rm network= add-host= platform= progress="
	return map[string]dockerCommand{
		"inspect":         {inspect, false, 1, (*call).inspect},
		"ps":              {"a|all q|quiet no-trunc f|filter= format= n|last= l|latest s|size", false, 0, (*call).ps},
		"run":             {runOptions, true, 1, (*call).run},
		"create":          {runOptions, true, 1, (*call).create},
		"start":           {"a|attach i|interactive", false, 1, (*call).start},
		"exec":            {"i|interactive t|tty d|detach u|user= e|env= env-file= w|workdir= privileged", true, 2, (*call).exec},
		"kill":            {"s|signal=", false, 1, (*call).kill},
		"stop":            {"t|time= s|signal= timeout=", false, 1, (*call).stop},
		"restart":         {"t|time= s|signal= timeout=", false, 1, (*call).restart},
		"rm":              {"f|force v|volumes l|link", false, 1, (*call).rm},
		"rename":          {"", false, 2, (*call).rename},
		"update":          {"restart= memory= m|memory= cpus= c|cpu-shares=", false, 1, (*call).update},
		"wait":            {"", false, 1, (*call).wait},
		"logs":            {"f|follow n|tail= t|timestamps since= until= details", false, 1, (*call).logs},
		"top":             {"", true, 1, (*call).top},
		"version":         {"f|format=", false, 0, (*call).version},
		"info":            {"f|format=", false, 0, (*call).info},
		"build":           {build, false, 1, (*call).build},
		"image build":     {build, false, 1, (*call).build},
		"pull":            {"q|quiet a|all-tags platform=", false, 1, (*call).pull},
		"image pull":      {"q|quiet a|all-tags platform=", false, 1, (*call).pull},
		"images":          {images, false, 0, (*call).images},
		"image ls":        {images, false, 0, (*call).images},
		"image inspect":   {inspect, false, 1, (*call).inspectImages},
		"tag":             {"", false, 2, (*call).tag},
		"image tag":       {"", false, 2, (*call).tag},
		"rmi":             {"f|force no-prune", false, 1, (*call).rmi},
		"image rm":        {"f|force no-prune", false, 1, (*call).rmi},
		"image remove":    {"f|force no-prune", false, 1, (*call).rmi},
		"network ls":      {networks, false, 0, (*call).networkList},
		"network list":    {networks, false, 0, (*call).networkList},
		"network create":  {"internal attachable label= d|driver= subnet= gateway= o|opt= ipv6", false, 1, (*call).networkCreate},
		"network rm":      {"f|force", false, 1, (*call).networkRemove},
		"network remove":  {"f|force", false, 1, (*call).networkRemove},
		"network inspect": {"f|format= v|verbose", false, 1, (*call).networkInspect},
	}
}

// options are a command line taken apart: what was given for each option, by
// its long name, and the arguments.
type options struct {
	given map[string][]string
	args  []string
}

func (o options) has(name string) bool {
	v := o.given[name]
	return len(v) > 0 && v[len(v)-1] != "false"
}

func (o options) last(name string) string {
	if v := o.given[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// parse takes args apart. spec lists the options as "s|long" or "long", with a
// "=" at the end of those that take a value. stops ends at the first argument.
func parse(args []string, spec string, stops bool) (options, error) {
	long, takes := map[string]string{}, map[string]bool{}
	for _, word := range strings.Fields(spec) {
		names, value := strings.CutSuffix(word, "=")
		short, name, both := strings.Cut(names, "|")
		if !both {
			short, name = "", short
		} else {
			long[short] = name
		}
		long[name], takes[name] = name, value
	}
	o := options{given: map[string][]string{}}
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		if a == "--" {
			o.args = append(o.args, args...)
			return o, nil
		}
		if len(a) < 2 || a[0] != '-' {
			o.args = append(o.args, a)
			if stops {
				o.args = append(o.args, args...)
				return o, nil
			}
			continue
		}
		var err error
		if args, err = o.option(a, args, long, takes); err != nil {
			return o, err
		}
	}
	return o, nil
}

// option reads one word of options, such as --name=x, -it or -eX, and takes
// its value from the words that follow if need be; it returns those left.
func (o options) option(word string, rest []string, long map[string]string, takes map[string]bool) ([]string, error) {
	if name, isLong := strings.CutPrefix(word, "--"); isLong {
		name, value, hasValue := strings.Cut(name, "=")
		full, ok := long[name]
		if !ok || len(name) < 2 {
			return nil, errors.New("unknown flag: --" + name)
		}
		switch {
		case takes[full] && !hasValue && len(rest) == 0:
			return nil, errors.New("flag needs an argument: --" + name)
		case takes[full] && !hasValue:
			value, rest = rest[0], rest[1:]
		case !takes[full] && !hasValue:
			value = "true"
		}
		o.given[full] = append(o.given[full], value)
		return rest, nil
	}
	for i := 1; i < len(word); i++ {
		full, ok := long[word[i:i+1]]
		if !ok {
			return nil, fmt.Errorf("unknown shorthand flag: '%c' in %s", word[i], word)
		}
		if !takes[full] {
			o.given[full] = append(o.given[full], "true")
			continue
		}
		value := strings.TrimPrefix(word[i+1:], "=")
		if value == "" {
			if len(rest) == 0 {
				return nil, fmt.Errorf("flag needs an argument: '%c' in %s", word[i], word)
			}
			value, rest = rest[0], rest[1:]
		}
		o.given[full] = append(o.given[full], value)
		return rest, nil
	}
	return rest, nil
}
