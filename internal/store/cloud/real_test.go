package cloud

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rclone "github.com/rclone/rclone/fs"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/storetest"
)

// servers are those that the tests have started, each kind once; they end with the tests.
var servers struct {
	sync.Mutex
	folder string
	facts  map[string]map[string]string
}

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "cloud-test-")
	if err != nil {
		panic(err)
	}
	servers.folder, servers.facts = folder, map[string]map[string]string{}
	code := m.Run()
	for _, facts := range servers.facts {
		storetest.End(facts)
	}
	os.RemoveAll(folder)
	os.Exit(code)
}

// started is what test/servers prints of a server of the kind, which it begins where there is none yet.
func started(t *testing.T, kind string) map[string]string {
	t.Helper()
	servers.Lock()
	defer servers.Unlock()
	if facts, found := servers.facts[kind]; found {
		return facts
	}
	folder := filepath.Join(servers.folder, kind)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	facts := storetest.Start(t, kind, folder)
	servers.facts[kind] = facts
	return facts
}

// configs are how to reach each kind: a real server where there is one, else a stand-in. Dropbox needs more; see everyKind.
var configs = map[string]func(t *testing.T) Config{
	"s3":     func(t *testing.T) Config { return s3Config(started(t, "s3")) },
	"azblob": func(t *testing.T) Config { return azureConfig(started(t, "azurite")) },
	"gs":     func(t *testing.T) Config { return googleConfig(t, started(t, "gcs")) },
	"swift":  swiftConfig,
	"b2":     b2Config,
}

func s3Config(facts map[string]string) Config {
	return Config{
		Kind: "s3", Path: facts["bucket"], Timeout: 20 * time.Second,
		Options: map[string]string{"endpoint": facts["endpoint"], "region": facts["region"]},
		Secrets: map[string]string{"access-key": facts["access_key"], "secret-key": facts["secret_key"]},
	}
}

func azureConfig(facts map[string]string) Config {
	return Config{
		Kind: "azblob", Path: facts["bucket"], Timeout: 20 * time.Second,
		Options: map[string]string{"endpoint": facts["endpoint"], "account": facts["account"]},
		Secrets: map[string]string{"account-key": facts["account_key"]},
	}
}

func googleConfig(t *testing.T, facts map[string]string) Config {
	t.Helper()
	key, err := os.ReadFile(filepath.Clean(facts["service_account"]))
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Kind: "gs", Path: facts["bucket"], Timeout: 20 * time.Second,
		Options: map[string]string{"endpoint": facts["endpoint"] + "/storage/v1/"},
		Secrets: map[string]string{"service-account": string(key)},
	}
}

// opened opens a store of c's, under a prefix of its own that has a space and a letter beyond ASCII.
func opened(t *testing.T, c Config, adjust func(*rclone.ConfigInfo)) *Store {
	t.Helper()
	c.Path = fmt.Sprintf("%s/two words/hôte-%d", c.Path, prefixes.Add(1))
	s, err := open(t.Context(), c, adjust)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

var prefixes atomic.Int64

// everyKind runs fn with a way to open empty stores of each kind.
func everyKind(t *testing.T, fn func(t *testing.T, open func(t *testing.T) *Store)) {
	for kind, config := range configs {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := config(t)
			fn(t, func(t *testing.T) *Store { return opened(t, c, unchanged) })
		})
	}
	t.Run("dropbox", func(t *testing.T) {
		t.Parallel()
		c, adjust := dropboxConfig(t)
		fn(t, func(t *testing.T) *Store { return opened(t, c, adjust) })
	})
}

func unchanged(*rclone.ConfigInfo) {}

func TestContract(t *testing.T) {
	everyKind(t, func(t *testing.T, open func(t *testing.T) *Store) {
		storetest.Run(t, func(t *testing.T) backup.Store { return open(t) })
	})
}
