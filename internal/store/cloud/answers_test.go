package cloud

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// TestAnswers gives each library an answer that the real servers do not give here, in the words of the service's documentation.
func TestAnswers(t *testing.T) {
	const (
		s3Form     = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>CODE</Code><Message>said</Message></Error>`
		azureForm  = `<?xml version="1.0" encoding="utf-8"?><Error><Code>CODE</Code><Message>Request date header too old</Message></Error>`
		googleForm = `{"error": {"code": 403, "message": "said", "errors": [{"reason": "CODE"}]}}`
		b2Form     = `{"status": STATUS, "code": "CODE", "message": "said"}`
	)
	tests := []struct {
		kind   string
		status int
		form   string
		code   string
		want   string // empty: an error that passes
	}{
		{"s3", 403, s3Form, "RequestTimeTooSkewed", "clock"},
		{"s3", 403, s3Form, "AccessDenied", "do not allow to write"},
		{"s3", 403, s3Form, "InvalidAccessKeyId", "does not accept the credentials"},
		{"s3", 403, s3Form, "QuotaExceeded", "is full"},
		{"s3", 507, s3Form, "XMinioStorageFull", "is full"},
		{"s3", 400, s3Form, "AuthorizationHeaderMalformed", "another region"},
		{"s3", 503, s3Form, "SlowDown", ""},
		{"s3", 400, s3Form, "RequestTimeout", ""},
		{"azblob", 403, azureForm, "AuthenticationFailed", "clock"},
		{"azblob", 403, azureForm, "AuthorizationPermissionMismatch", "do not allow to write"},
		{"azblob", 503, azureForm, "ServerBusy", ""},
		{"gs", 403, googleForm, "forbidden", "do not allow to write"},
		{"gs", 403, googleForm, "rateLimitExceeded", ""},
		{"b2", 403, b2Form, "storage_cap_exceeded", "is full"},
		{"b2", 401, b2Form, "unauthorized", "does not accept the credentials"},
		{"b2", 401, b2Form, "expired_auth_token", ""},
		{"b2", 503, b2Form, "service_unavailable", ""},
		{"swift", 413, "", "", "is full"},
		{"swift", 403, "", "", "do not allow to write"},
	}
	for _, kind := range []string{"s3", "azblob", "gs", "swift", "b2"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c, front := behind(t, configs[kind](t))
			s := opened(t, c, unchanged)
			if err := s.Put(t.Context(), "a/b", nil); err != nil {
				t.Fatal(err)
			}
			for _, tt := range tests {
				if tt.kind != kind {
					continue
				}
				front.answer = strings.NewReplacer("CODE", tt.code, "STATUS", strconv.Itoa(tt.status)).Replace(tt.form)
				front.status.Store(int64(tt.status))
				err := s.Put(t.Context(), "a/b", []byte("data"))
				front.status.Store(0)
				if tt.want != "" {
					wantProblem(t, tt.code, err, tt.want)
				} else if _, permanent := errors.AsType[*backup.Problem](err); err == nil || permanent {
					t.Errorf("%s: got error %v, want one that passes", tt.code, err)
				}
			}
		})
	}
}

// TestDropbox: a token that the service no longer takes, and one that has run out and cannot be renewed.
func TestDropbox(t *testing.T) {
	c, adjust := dropboxConfig(t)
	for _, token := range []string{
		`{"access_token":"another-token","token_type":"bearer","refresh_token":"x","expiry":"2099-01-01T00:00:00Z"}`,
		`{"access_token":"token-of-the-tests","token_type":"bearer","expiry":"2020-01-01T00:00:00Z"}`,
	} {
		c.Secrets["token"] = token
		for name, run := range operations(t, opened(t, c, adjust)) {
			wantProblem(t, name, run(), "does not accept the credentials")
		}
	}
}

// TestSharedAccess uses a SAS of a container in place of the account's key, and finds nothing of it in an error.
func TestSharedAccess(t *testing.T) {
	c := azureConfig(started(t, "azurite"))
	key, err := service.NewSharedKeyCredential(c.Options["account"], c.Secrets["account-key"])
	if err != nil {
		t.Fatal(err)
	}
	owner := opened(t, c, unchanged)
	if err := owner.Put(t.Context(), "a/old", []byte("old")); err != nil {
		t.Fatal(err)
	}
	c.Path += "/" + owner.prefix
	permissions := sas.ContainerPermissions{Read: true, List: true}
	query, err := sas.BlobSignatureValues{
		ContainerName: "backups", Permissions: permissions.String(), ExpiryTime: time.Now().AddDate(0, 0, 1), Protocol: sas.ProtocolHTTPSandHTTP,
	}.SignWithSharedKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.Secrets = map[string]string{"sas": query.Encode()}
	reader, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := reader.Get(t.Context(), "a/old"); err != nil || string(got) != "old" {
		t.Errorf("get: got %q and error %v", got, err)
	}
	wantProblem(t, "put", reader.Put(t.Context(), "a/new", nil), "do not allow to write")

	c.Options["endpoint"] = "http://127.0.0.1:1/tester"
	nowhere, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = nowhere.Get(t.Context(), "a/old")
	if signature := query.Signature(); err == nil || strings.Contains(err.Error(), signature) || strings.Contains(err.Error(), "sig=") && !strings.Contains(err.Error(), "sig=(hidden)") {
		t.Errorf("nobody there: got error %v, want one without the signature", err)
	}
}

func TestHide(t *testing.T) {
	token := `{"access_token": "sl.AAAAAAAA", "refresh_token": "bbbb/bbbb"}`
	hidden := hide(map[string]string{"token": token, "key": "a secret+key", "sas": "https://host/c?sv=1&sig=abc%2Fdef%3D", "short": "a"})
	text := token + " sl.AAAAAAAA bbbb/bbbb bbbb%2Fbbbb a secret+key a+secret%2Bkey abc/def= abc%2Fdef%3D"
	if got, want := hidden.Replace(text), strings.TrimSuffix(strings.Repeat("(hidden) ", 8), " "); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOpen is what is refused before anything is sent.
func TestOpen(t *testing.T) {
	whole := func() Config {
		return Config{Kind: "s3", Path: "b/p", Options: map[string]string{}, Secrets: map[string]string{"access-key": "a-key", "secret-key": "a-secret"}}
	}
	if _, err := Open(t.Context(), whole()); err != nil {
		t.Fatalf("a whole configuration: %v", err)
	}
	tests := []struct {
		name   string
		change func(c *Config)
		want   string
	}{
		{"unknown option", func(c *Config) { c.Options["colour"] = "red" }, `no option "colour"`},
		{"missing option", func(c *Config) { c.Kind = "b2" }, `needs the option "account"`},
		{"missing secret", func(c *Config) { delete(c.Secrets, "secret-key") }, `needs the secret "secret-key"`},
		{"no bucket", func(c *Config) { c.Path = "/" }, "the bucket is missing"},
		{"a prefix that escapes", func(c *Config) { c.Path = "b/../c" }, "not a clean path"},
		{"an unknown kind", func(c *Config) { c.Kind = "ftp" }, `no kind of store is called "ftp"`},
		{"neither key nor SAS", func(c *Config) { c.Kind, c.Options = "azblob", map[string]string{"account": "x"} }, "account-key or sas"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := whole()
			tt.change(&c)
			if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one that holds %q", err, tt.want)
			}
		})
	}
}

// TestEnvironment: settings of rclone's in the environment are not heard.
func TestEnvironment(t *testing.T) {
	t.Setenv("RCLONE_S3_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("RCLONE_CONFIG_STORE_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("RCLONE_S3_NO_CHECK_BUCKET", "false")
	s := opened(t, s3Config(started(t, "s3")), unchanged)
	if err := s.Put(t.Context(), "a/b", nil); err != nil {
		t.Error(err)
	}
}
