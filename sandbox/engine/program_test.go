package engine

import (
	"slices"
	"testing"
)

func TestRewrite(t *testing.T) {
	w := where{
		roots: []Mount{{Destination: "/out", Source: "/tmp/h/out$1"}, {Destination: "/app", Source: "/tmp/h/root/app"}},
		peers: map[string]string{"dokku-postgres-x": "127.9.9.3", "dokku-postgres-x-2": "127.9.9.4"},
		own:   "127.9.9.2",
	}
	for _, c := range []struct{ in, want string }{
		{"/out", "/tmp/h/out$1"},
		{"/out/fifo", "/tmp/h/out$1/fifo"},
		{"-f/out/fifo", "-f/tmp/h/out$1/fifo"},
		{"--file=/out/fifo", "--file=/tmp/h/out$1/fifo"},
		{"cat >/out/a </app/b", "cat >/tmp/h/out$1/a </tmp/h/root/app/b"},
		{"/output", "/output"},
		{"/var/out", "/var/out"},
		{"127.0.0.1", "127.9.9.2"},
		{"-hlocalhost", "-h127.9.9.2"},
		{"--host=localhost", "--host=127.9.9.2"},
		{"host=127.0.0.1 user=postgres", "host=127.9.9.2 user=postgres"},
		{"postgres://postgres:p@dokku-postgres-x:5432/x", "postgres://postgres:p@127.9.9.3:5432/x"},
		{"postgres://postgres:p@dokku-postgres-x-2:5432/x_2", "postgres://postgres:p@127.9.9.4:5432/x_2"},
		{"127.0.0.10", "127.0.0.10"},
		{"mylocalhost", "mylocalhost"},
	} {
		if got := w.rewrite(c.in); got != c.want {
			t.Errorf("rewrite(%q): got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args  []string
		stops bool
		given map[string][]string
		rest  []string
		fails bool
	}{
		{[]string{"-it", "-eA=b", "--env", "C", "--rm=false", "image", "-x"}, true,
			map[string][]string{"interactive": {"true"}, "tty": {"true"}, "env": {"A=b", "C"}, "rm": {"false"}}, []string{"image", "-x"}, false},
		{[]string{"a", "--env=1", "b"}, false, map[string][]string{"env": {"1"}}, []string{"a", "b"}, false},
		{[]string{"--", "-i"}, false, map[string][]string{}, []string{"-i"}, false},
		{[]string{"--nope"}, false, nil, nil, true},
		{[]string{"-e"}, false, nil, nil, true},
	} {
		o, err := parse(c.args, "i|interactive t|tty e|env= rm", c.stops)
		if (err != nil) != c.fails {
			t.Errorf("parse(%q): error %v", c.args, err)
			continue
		}
		if c.fails {
			continue
		}
		for name, want := range c.given {
			if !slices.Equal(o.given[name], want) {
				t.Errorf("parse(%q): %s is %q, want %q", c.args, name, o.given[name], want)
			}
		}
		if len(o.given) != len(c.given) || !slices.Equal(o.args, c.rest) {
			t.Errorf("parse(%q): got %v %q, want %v %q", c.args, o.given, o.args, c.given, c.rest)
		}
	}
}
