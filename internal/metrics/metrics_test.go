package metrics

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

// TestWrite: what is written is what Prometheus' own parser reads, in base units, and another user may read it.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dokku_backup.prom")
	services := []Service{
		{
			Name: "postgres:happycows-db", State: "problems", Problems: map[string]int{"store-behind": 2}, Backups: 14, Newest: at(1795262640), Size: 5000, Stored: 70,
			Duration: 1500 * time.Millisecond, Run: at(1795266240), RunFailed: true, Practice: at(1795000000), RTO: 21 * time.Second,
			Confirmed: map[string]time.Time{"offsite": at(1795262000), "never": {}}, Next: at(1795269840), RetentionFailed: true,
		},
		{Name: `postgres:odd"\name`, State: "no-good-backup"},
	}
	for range 2 { // the second replaces the first
		if err := Write(path, services); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode().Perm(), os.FileMode(0o644); got != want {
		t.Errorf("mode: got %v, want %v", got, want)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("files: got %v, %v, want one", entries, err)
	}
	got := parse(t, path)
	for name, want := range map[string]float64{
		`state postgres:happycows-db problems`:                            1,
		`state postgres:happycows-db ok`:                                  0,
		`problems postgres:happycows-db store-behind`:                     2,
		`backups postgres:happycows-db`:                                   14,
		`newest_timestamp_seconds postgres:happycows-db`:                  1795262640,
		`newest_size_bytes postgres:happycows-db`:                         5000,
		`newest_stored_bytes postgres:happycows-db`:                       70,
		`newest_duration_seconds postgres:happycows-db`:                   1.5,
		`last_run_timestamp_seconds postgres:happycows-db`:                1795266240,
		`last_run_success postgres:happycows-db`:                          0,
		`last_practice_timestamp_seconds postgres:happycows-db`:           1795000000,
		`last_practice_success postgres:happycows-db`:                     1,
		`last_practice_rto_seconds postgres:happycows-db`:                 21,
		`store_confirmed_timestamp_seconds postgres:happycows-db offsite`: 1795262000,
		`retention_success postgres:happycows-db`:                         0,
		`next_run_timestamp_seconds postgres:happycows-db`:                1795269840,
		`state postgres:odd"\name no-good-backup`:                         1,
		`retention_success postgres:odd"\name`:                            1,
	} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s: got %v (there: %v), want %v", name, value, there, want)
		}
	}
	for name := range got {
		if strings.HasSuffix(name, "never") || strings.Contains(name, "odd") && strings.Contains(name, "_seconds") {
			t.Errorf("got %s, which is not known", name)
		}
	}
}

func TestNoFolder(t *testing.T) {
	err := Write(filepath.Join(t.TempDir(), "none", "dokku_backup.prom"), nil)
	if err == nil || !strings.Contains(err.Error(), "write metrics: ") {
		t.Errorf("got %v, want what was being done", err)
	}
}

// parse reads the file as Prometheus does: name without its prefix and label values -> value.
func parse(t *testing.T, path string) map[string]float64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(f)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for name, family := range families {
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		for _, m := range family.GetMetric() {
			key, other := strings.TrimPrefix(name, "dokku_backup_"), ""
			for _, label := range m.GetLabel() {
				if label.GetName() == "service" {
					key += " " + label.GetValue()
				} else {
					other = " " + label.GetValue()
				}
			}
			key += other
			values[key] = m.GetGauge().GetValue()
		}
	}
	return values
}
