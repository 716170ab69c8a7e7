package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// step is one command of a transcript with what it answered.
type step struct {
	section, command, stdout, stderr string
	code                             string
}

// transcript reads a file of testdata/dokku-0.38: "$ command", its output with
// "[stderr] " before lines of stderr, and "[exit N]".
func transcript(t *testing.T, name string) []step {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/dokku-0.38", name))
	if err != nil {
		t.Fatal(err)
	}
	end := regexp.MustCompile(`\[exit (\d+)\]\n$`)
	var steps []step
	section, in := "", false
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "$ "); ok && !in {
			steps = append(steps, step{section: section, command: strings.TrimSuffix(command, "\n")})
			in = true
			continue
		}
		if heading, ok := strings.CutPrefix(line, "## "); ok && !in {
			section = strings.TrimSuffix(heading, "\n")
		}
		if !in {
			continue
		}
		s := &steps[len(steps)-1]
		if m := end.FindStringSubmatch(line); m != nil {
			s.code, in = m[1], false
			line = strings.TrimSuffix(line, m[0])
		}
		if errLine, ok := strings.CutPrefix(line, "[stderr] "); ok {
			s.stderr += errLine
		} else {
			s.stdout += line
		}
	}
	if len(steps) == 0 {
		t.Fatalf("%s holds no command", name)
	}
	return steps
}

// quoted are the commands whose words the transcripts, which show no quotes,
// do not tell.
var quoted = map[string][]string{
	"dokku config:set --no-restart happycows GREETING=hello \"world\" $HOME MULTI=line1": {
		"dokku", "config:set", "--no-restart", "happycows", `GREETING=hello "world" $HOME`, "MULTI=line1\nline2"},
	"docker exec dokku.postgres.happycows-db-practice psql -U postgres -At -c show server_version happycows_db_practice": {
		"docker", "exec", "dokku.postgres.happycows-db-practice", "psql", "-U", "postgres", "-At", "-c", "show server_version", "happycows_db_practice"},
	"docker exec dokku.postgres.happycows-db-practice psql -U postgres -At -c select nonsense happycows_db_practice": {
		"docker", "exec", "dokku.postgres.happycows-db-practice", "psql", "-U", "postgres", "-At", "-c", "select nonsense", "happycows_db_practice"},
	"docker exec dokku.postgres.happycows-db-practice sh -c exit 3": {
		"docker", "exec", "dokku.postgres.happycows-db-practice", "sh", "-c", "exit 3"},
	`echo {"MULTI":"line1\\nline2 $HOME"} | dokku config:import --no-restart --format json happycows-2 -`: {
		"sh", "-c", `printf %s '{"MULTI":"line1\nline2 $HOME"}' | dokku config:import --no-restart --format json happycows-2 -`},
	`echo {} | dokku config:import --no-restart --format json happycows-2 -`: {
		"sh", "-c", `echo {} | dokku config:import --no-restart --format json happycows-2 -`},
	`echo {"A B":"x"} | dokku config:import --no-restart --format json happycows-2 -`: {
		"sh", "-c", `echo '{"A B":"x"}' | dokku config:import --no-restart --format json happycows-2 -`},
	"docker inspect happycows.web.1: its GIT_REV": {
		"sh", "-c", `docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' happycows.web.1 | grep ^GIT_REV=`},
	"ls db/migrate inside the running container": {
		"sh", "-c", `docker exec happycows.web.1 ls /app/db/migrate | tr '\n' ' '; echo`},
}

// words takes a transcript's command apart. A --format takes all that follows.
func words(command string) []string {
	if argv, ok := quoted[command]; ok {
		return argv
	}
	before, format, ok := strings.Cut(command, " --format {{")
	if !ok {
		return strings.Fields(command)
	}
	format = "{{" + format
	// An argument after the template stands last.
	if end := strings.LastIndex(format, "}}"); end+2 < len(format) {
		return append(strings.Fields(before), "--format", format[:end+2], strings.TrimSpace(format[end+2:]))
	}
	return append(strings.Fields(before), "--format", format)
}

// leftOut says which commands are not replayed, and why.
var leftOut = map[string]string{
	"curl -s -H Host: happycows-practice.dokku.me http://127.0.0.1:5000/": "the sandbox has no proxy: apps are reached at their own address",
}

// before are the commands that bring a host to where a section begins.
var before = map[string][]string{
	"git:sync --build to the first commit":                                        {},
	"then git:sync to the second commit, without --build: nothing was deployed":   {},
	"then ps:rebuild: the second commit runs now":                                 {"dokku ps:rebuild happycows"},
	"moving a link: production app happycows from happycows-db to happycows-db-2": {"dokku ps:stop happycows"},
	"git:sync --build to a third commit, 116506964e54179626c40d08530f74bfe283a34b, whose process exits at once: exit 1, the old container keeps serving": {
		"dokku config:unset --no-restart happycows DATABASE_URL",
		"dokku postgres:link happycows-db happycows --alias ANALYTICS_DATABASE --no-restart",
		"dokku ps:rebuild happycows",
		"! dokku git:sync --build happycows https://github.com/example/happycows.git 116506964e54179626c40d08530f74bfe283a34b"},
}

// volatile turns what differs from host to host into words.
var volatile = []struct{ pattern, word string }{
	{`sha256:[0-9a-f]{64}`, "IMAGE"},
	{`\b[0-9a-f]{64}\b`, "ID"},
	{`\b[0-9a-f]{32}\b`, "PASSWORD"},
	{`\b[0-9a-f]{11,12}\b`, "CID"},
	{`\b02(:[0-9a-f]{2}){5}\b`, "MAC"},
	{`\b1(72|27)\.\d+\.\d+\.\d+\b`, "ADDRESS"},
	{`\b1[78]\d{8}\b`, "SECONDS"},
	{`\d{4}-\d\d-\d\dT\S+Z`, "TIME"},
	{`upcoming-\d+`, "upcoming-N"},
	{`15\.\d+`, "15.VERSION"},
	{`(?m) +$`, ""},
}

// builderLog is what the builder, not Dokku, says of a build.
var builderLog = regexp.MustCompile(`(?ms)^(-----> Building \S+ from \S+\n).*?^(-----> Releasing)`)

// fetchLog is what git, not Dokku, says of a fetch.
var fetchLog = regexp.MustCompile(`(?m)^(From \S+| \* \[new branch\] .*)\n`)

func normal(s string, known map[string]string) string {
	for from, to := range known {
		s = strings.ReplaceAll(s, from, to)
	}
	s = builderLog.ReplaceAllString(s, "$1$2")
	s = fetchLog.ReplaceAllString(s, "")
	for _, v := range volatile {
		s = regexp.MustCompile(v.pattern).ReplaceAllString(s, v.word)
	}
	return s
}

// TestTranscripts replays what was seen on a real host and compares all that
// came of it.
func TestTranscripts(t *testing.T) {
	for _, name := range []string{"apps-and-git.txt", "deployed-sha.txt", "postgres-service.txt", "restore-flow.txt", "restore-more.txt"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReplay(t)
			if name == "restore-flow.txt" {
				r.h.must(t, "dokku", "postgres:create", "imp")
			}
			section := ""
			for _, s := range transcript(t, name) {
				if s.section != section {
					section = s.section
					r.prepare(t, section)
				}
				r.replay(t, s)
			}
		})
	}
}

// replay is a host with the transcripts' app and service, and the words that
// stand for what is the transcripts' own.
type replay struct {
	h     *host
	git   string
	known map[string]string
	shas  map[string]string
}

func newReplay(t *testing.T) *replay {
	h := newHost(t)
	git := t.TempDir()
	ids := appRepository(t, git)
	config := filepath.Join(git, "gitconfig")
	rewrite := fmt.Sprintf("[url %q]\ninsteadOf = https://github.com/example/\n[url %q]\ninsteadOf = file:///srv/git/\n[url %q]\ninsteadOf = /srv/git/\n",
		git+"/", "file://"+git+"/", git+"/")
	if err := os.WriteFile(config, []byte(rewrite), 0o600); err != nil {
		t.Fatal(err)
	}
	// The name that the transcripts clone by.
	if err := os.Symlink("happycows", filepath.Join(git, "happycows.git")); err != nil {
		t.Fatal(err)
	}
	h.env = append(h.env, "GIT_CONFIG_GLOBAL="+config)
	r := &replay{h: h, git: git, shas: map[string]string{
		"b953596cc9e2f3bcf8c095b89a4b23e99e7e34d5": ids["first"],
		"48db95a1e9eb79298d5f92384ba86ef7ff1ac9ca": ids["mood"],
		"116506964e54179626c40d08530f74bfe283a34b": ids["crash"],
	}}
	r.known = map[string]string{h.dir + "/var": "/var", h.dir + "/home": "/home", git: "/srv/git"}
	for theirs, ours := range r.shas {
		r.known[ours] = theirs
	}
	h.must(t, "dokku", "postgres:create", "happycows-db")
	h.must(t, "dokku", "apps:create", "happycows")
	h.must(t, "dokku", "postgres:link", "happycows-db", "happycows")
	h.must(t, "dokku", "git:sync", "--build", "happycows", "https://github.com/example/happycows.git", ids["first"])
	return r
}

// ours puts this host's names into a transcript's command.
func (r *replay) ours(argv []string) []string {
	var all []string
	for _, a := range argv {
		for theirs, ours := range r.shas {
			a = strings.ReplaceAll(a, theirs, ours)
		}
		// git looks for a bundle before it rewrites addresses.
		for _, theirs := range []string{"/var/lib/dokku/data/backup/code.bundle", "/srv/git/code.bundle"} {
			a = strings.ReplaceAll(a, theirs, r.git+"/code.bundle")
		}
		all = append(all, a)
	}
	return all
}

func (r *replay) prepare(t *testing.T, section string) {
	for _, command := range before[section] {
		command, fails := strings.CutPrefix(command, "! ")
		stdout, stderr, code := r.h.run(t, r.ours(strings.Fields(command))...)
		if fails != (code != 0) {
			t.Fatalf("%s: exit %d\n%s%s", command, code, stdout, stderr)
		}
	}
}

func (r *replay) replay(t *testing.T, s step) {
	if why, out := leftOut[s.command]; out {
		t.Logf("left out: %s: %s", s.command, why)
		return
	}
	if strings.HasSuffix(s.command, "MULTI=line1") {
		s.stdout = strings.TrimPrefix(s.stdout, "line2\n")
	}
	s.stdout = strings.ReplaceAll(s.stdout, "/var/lib/dokku/data/backup/code.bundle", "/srv/git/code.bundle")
	stdout, stderr, code := r.h.run(t, r.ours(words(s.command))...)
	for _, c := range []struct{ what, got, want string }{
		{"stdout", normal(stdout, r.known), normal(s.stdout, nil)},
		{"stderr", normal(stderr, r.known), normal(s.stderr, nil)},
		{"exit code", fmt.Sprint(code), s.code},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s\ngot:\n%s\nwant:\n%s", s.command, c.what, c.got, c.want)
		}
	}
}
