package dokku

import (
	"strconv"
	"strings"
	"time"
)

// report is one `:report` or `:info` of Dokku by its keys in lower case, such as "git sha" or "dsn".
type report map[string]string

// parseReport reads the plain form: a heading `=====> ...`, then lines `       Key:   value`. Keys hold no colon, values
// may. An empty value is kept as the empty string.
func parseReport(out []byte) report {
	r := report{}
	for line := range strings.Lines(string(out)) {
		if isHeading(line) {
			continue
		}
		if key, value, ok := strings.Cut(line, ":"); ok {
			r[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
		}
	}
	return r
}

// first is the first value that is not empty.
func (r report) first(keys ...string) string {
	for _, key := range keys {
		if r[key] != "" {
			return r[key]
		}
	}
	return ""
}

// list splits a value of names. dokku-postgres puts blanks between them and writes `-` for none; dokku-datastore puts
// commas.
func (r report) list(key string) []string {
	var names []string
	for _, name := range strings.FieldsFunc(r[key], func(c rune) bool { return c == ' ' || c == ',' }) {
		if name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// time reads seconds since the epoch; anything else is the zero time.
func (r report) time(key string) time.Time {
	seconds, err := strconv.ParseInt(r[key], 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// parseLines gives the lines of a `:list` without its heading.
func parseLines(out []byte) []string {
	var lines []string
	for line := range strings.Lines(string(out)) {
		if text := strings.TrimSpace(line); text != "" && !isHeading(line) {
			lines = append(lines, text)
		}
	}
	return lines
}

// parseScale reads `ps:scale APP`: lines `web:  1` below a heading and a title.
func parseScale(out []byte) map[string]int {
	scale := map[string]int{}
	for _, line := range parseLines(out) {
		name, value, _ := strings.Cut(line, ":")
		if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
			scale[name] = n
		}
	}
	return scale
}

func isHeading(line string) bool {
	return strings.HasPrefix(line, "=====>") || strings.HasPrefix(line, "----->")
}
