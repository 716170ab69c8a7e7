package doc_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
)

const (
	baseConfig = `{"KEY":"the first secret value","MORE":"of the same"}`
	nextConfig = `{"KEY":"2nd secret value","MORE":"of the same"}`
)

// twoConfigs makes a repository of one backup with two apps, whose configs resemble each other.
func twoConfigs(t *testing.T) (root, key string, m *backup.Manifest) {
	needPrograms(t, "python3", "age", "zstd")
	root, key = filepath.Join(t.TempDir(), "repository"), filepath.Join(t.TempDir(), "key")
	identity, err := repository.CreateKey(key)
	check(t, err)
	r, err := repository.Create(t.Context(), local.New(root), identity)
	check(t, err)
	w, err := r.NewWriter(t.Context(), 1, nil)
	check(t, err)
	m = &backup.Manifest{Schema: backup.Schema, ID: id, State: backup.Complete}
	for name, text := range map[string]string{"one": baseConfig, "two": nextConfig} {
		config, err := w.Bytes(strings.NewReader(text))
		check(t, err)
		m.Apps = append(m.Apps, backup.App{Name: name, Certainty: backup.Unknown, Config: config})
	}
	_, err = w.Close()
	check(t, err)
	check(t, r.Commit(t.Context(), m))
	return root, key, m
}

// segmentOf is the file of the only segment of an app's config.
func segmentOf(root string, m *backup.Manifest, app string) (path, name string) {
	for _, a := range m.Apps {
		if a.Name == app {
			name = a.Config.Segments[0].Name
		}
	}
	return filepath.Join(root, "segments", name[:2], name), name
}

// TestRecoverDelta replaces a segment by a delta made by the letter of format.md, which the script must read.
func TestRecoverDelta(t *testing.T) {
	root, key, m := twoConfigs(t)
	_, base := segmentOf(root, m, "one")
	path, _ := segmentOf(root, m, "two")

	tail := strings.Index(baseConfig, " secret")
	var operations []byte
	for _, n := range []uint64{uint64(len(nextConfig)), 8<<1 | 1, 0, 3 << 1} { // the length; copy 8 bytes from 0; 3 literal bytes
		operations = binary.AppendUvarint(operations, n)
	}
	operations = append(operations, "2nd"...)
	operations = binary.AppendUvarint(operations, uint64(len(baseConfig)-tail)<<1|1)
	operations = binary.AppendUvarint(operations, uint64(tail))
	name, err := hex.DecodeString(base)
	check(t, err)
	body := append(append([]byte{2}, name...), filter(t, operations, "zstd", "-c")...)
	check(t, os.WriteFile(path, filter(t, body, "age", "-e", "-i", key), 0o600))

	out := filepath.Join(t.TempDir(), "out")
	run(t, "./recover", root, key, string(id), out)
	if got := string(read(t, filepath.Join(out, "two.config.json"))); got != nextConfig {
		t.Errorf("got %q, want %q", got, nextConfig)
	}
}

func filter(t *testing.T, in []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = bytes.NewReader(in)
	return []byte(output(t, cmd))
}

// TestRecoverDamage: the script says what is wrong, ends with 1, and gives what is whole.
func TestRecoverDamage(t *testing.T) {
	manifest := func(root string) string { return filepath.Join(root, "backups", "happycows-db", string(id)) }
	segment := func(root string, m *backup.Manifest) string { path, _ := segmentOf(root, m, "two"); return path }
	tests := []struct {
		name   string
		damage func(root, key string, m *backup.Manifest) error
		want   string
		other  bool // the other app's config is still given
	}{
		{"segment missing", func(root, _ string, m *backup.Manifest) error { return os.Remove(segment(root, m)) }, "NOT WHOLE: segments/", true},
		{"segment flipped", func(root, _ string, m *backup.Manifest) error { return flip(segment(root, m), 150) }, "does not pass through age", true},
		{"segment of another", func(root, _ string, m *backup.Manifest) error {
			one, _ := segmentOf(root, m, "one")
			return os.Rename(one, segment(root, m))
		}, "bytes instead of", false},
		{"manifest missing", func(root, _ string, m *backup.Manifest) error { return os.Remove(manifest(root)) }, "is missing", false},
		{"manifest flipped", func(root, _ string, m *backup.Manifest) error { return flip(manifest(root), 150) }, "does not pass through age", false},
		{"segment as manifest", func(root, _ string, m *backup.Manifest) error { return os.Rename(segment(root, m), manifest(root)) }, "not authentic", false},
		{"info changed", func(root, _ string, m *backup.Manifest) error {
			return flip(filepath.Join(root, "repository.json"), 40)
		}, "does not belong", false},
		{"another key", func(root, key string, m *backup.Manifest) error {
			_, err := repository.CreateKey(key + "2")
			return errors.Join(err, os.Rename(key+"2", key))
		}, "does not belong", false},
		{"no key", func(root, key string, m *backup.Manifest) error { return os.WriteFile(key, []byte("hello\n"), 0o600) }, "holds no line", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, key, m := twoConfigs(t)
			check(t, tt.damage(root, key, m))
			out := filepath.Join(t.TempDir(), "out")
			cmd := exec.CommandContext(t.Context(), "./recover", root, key, string(id), out)
			said, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != 1 || !bytes.Contains(said, []byte(tt.want)) || bytes.Contains(said, []byte("Traceback")) {
				t.Errorf("got exit code %d and %q, want 1 and %q", got, said, tt.want)
			}
			if _, err := os.Stat(filepath.Join(out, "two.config.json")); err == nil {
				t.Error("the damaged config was given as if it were whole")
			}
			if got, _ := os.ReadFile(filepath.Join(out, "one.config.json")); tt.other && string(got) != baseConfig {
				t.Errorf("the whole config: got %q, want %q", got, baseConfig)
			}
		})
	}
}

// flip changes one bit of a file.
func flip(path string, at int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[at] ^= 1
	return os.WriteFile(path, data, 0o600)
}
