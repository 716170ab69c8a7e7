package cloud

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Secret is a secret that a kind of store needs.
type Secret struct {
	Name      string // as in Config.Secrets
	Question  string // for the person who is asked
	Optional  bool
	Multiline bool // a file's content, such as JSON
}

// Secrets are those of a kind, in the order to ask for them.
func Secrets(kind string) []Secret {
	return kinds()[kind].secrets
}

// Options are the names of the options that a kind knows, sorted.
func Options(kind string) []string {
	return slices.Sorted(maps.Keys(kinds()[kind].options))
}

// kind is what differs between services.
type kind struct {
	backend  string            // name of rclone's backend
	settings map[string]string // of that backend, always so
	options  map[string]string // ours, by the backend's
	required []string          // options that must be there
	secrets  []Secret
	fields   map[string]string // the backend's setting for each secret
	place    string            // what a person calls the place that has to be there already; empty where nothing has to
	page     int               // objects in one page of a listing
}

// kinds are described in rclone's documentation, a page for each backend.
//
// The settings see to it that no bucket is looked for or made, that an object goes up in one request, and that nothing is asked twice.
func kinds() map[string]kind {
	return map[string]kind{
		"s3": {
			backend:  "s3",
			settings: map[string]string{"no_check_bucket": "true", "no_head": "true", "no_head_object": "true"},
			options: map[string]string{
				"endpoint": "endpoint", "region": "region", "provider": "provider", "path-style": "force_path_style",
				"storage-class": "storage_class", "sse": "server_side_encryption", "sse-kms-key-id": "sse_kms_key_id",
			},
			secrets: []Secret{{Name: "access-key", Question: "Access key id"}, {Name: "secret-key", Question: "Secret access key"}},
			fields:  map[string]string{"access-key": "access_key_id", "secret-key": "secret_access_key"},
			place:   "bucket",
			page:    1000,
		},
		"azblob": {
			backend: "azureblob",
			// A chunk is the most that goes up in one request. hns is about folders, which are not used. A page could hold five times as
			// much, but then a proof of paging would need as many objects.
			settings: map[string]string{"no_check_container": "true", "no_head_object": "true", "hns": "false", "chunk_size": "64Mi", "list_chunk": "1000", "delete_snapshots": "include"},
			options:  map[string]string{"account": "account", "endpoint": "endpoint", "access-tier": "access_tier"},
			required: []string{"account"},
			secrets: []Secret{
				{Name: "account-key", Question: "Account key (empty to give a SAS instead)", Optional: true},
				{Name: "sas", Question: "Shared access signature (SAS) of the account or the container", Optional: true},
			},
			fields: map[string]string{"account-key": "key", "sas": "sas_url"},
			place:  "container",
			page:   1000,
		},
		"gs": {
			backend: "googlecloudstorage",
			// With uniform access, which new buckets have, an object cannot have permissions of its own.
			settings: map[string]string{"no_check_bucket": "true", "bucket_policy_only": "true"},
			options:  map[string]string{"endpoint": "endpoint", "storage-class": "storage_class", "user-project": "user_project"},
			secrets:  []Secret{{Name: "service-account", Question: "Key of a service account, the whole JSON file", Multiline: true}},
			fields:   map[string]string{"service-account": "service_account_credentials"},
			place:    "bucket",
			page:     1000,
		},
		"dropbox": {
			backend:  "dropbox",
			settings: map[string]string{"batch_mode": "off"},
			options:  map[string]string{"root-namespace": "root_namespace"},
			secrets: []Secret{
				{Name: "token", Question: "Token, the JSON that 'rclone authorize dropbox' prints", Multiline: true},
				{Name: "app-key", Question: "Key of your own app (empty for rclone's)", Optional: true},
				{Name: "app-secret", Question: "Secret of your own app (empty for rclone's)", Optional: true},
			},
			fields: map[string]string{"token": "token", "app-key": "client_id", "app-secret": "client_secret"},
			page:   1000,
		},
		"swift": {
			backend: "swift",
			// Large objects are what rclone makes of files beyond 5 GB; looking for them costs a request before each write.
			settings: map[string]string{"no_large_objects": "true"},
			options: map[string]string{
				"auth": "auth", "user": "user", "user-id": "user_id", "domain": "domain", "tenant": "tenant", "tenant-id": "tenant_id",
				"tenant-domain": "tenant_domain", "region": "region", "auth-version": "auth_version", "endpoint-type": "endpoint_type", "storage-url": "storage_url",
			},
			required: []string{"auth", "user"},
			secrets:  []Secret{{Name: "key", Question: "API key or password"}},
			fields:   map[string]string{"key": "key"},
			place:    "container",
			page:     1000,
		},
		"b2": {
			backend:  "b2",
			settings: map[string]string{"hard_delete": "true"},
			options:  map[string]string{"account": "account", "endpoint": "endpoint"},
			required: []string{"account"},
			secrets:  []Secret{{Name: "key", Question: "Application key (its id is the option account)"}},
			fields:   map[string]string{"key": "key"},
			place:    "bucket",
			page:     1000,
		},
	}
}

// values are the settings of rclone's backend for c.
func (k kind) values(c Config, bucket string) (map[string]string, error) {
	values := maps.Clone(k.settings)
	for _, name := range slices.Sorted(maps.Keys(c.Options)) {
		field, known := k.options[name]
		if !known {
			return nil, &backup.Problem{
				Message: fmt.Sprintf("a store of kind %q has no option %q", c.Kind, name),
				Hints:   []string{"its options are " + strings.Join(Options(c.Kind), ", ")},
			}
		}
		values[field] = c.Options[name]
	}
	for _, name := range k.required {
		if c.Options[name] == "" {
			return nil, &backup.Problem{
				Message: fmt.Sprintf("a store of kind %q needs the option %q", c.Kind, name),
				Hints:   []string{fmt.Sprintf("add it to the URL: %s://%s?%s=...", c.Kind, c.Path, name)},
			}
		}
	}
	for _, secret := range k.secrets {
		value := strings.TrimSpace(c.Secrets[secret.Name])
		if value == "" && !secret.Optional {
			return nil, missing(c.Kind, secret.Name)
		}
		values[k.fields[secret.Name]] = value
	}
	switch c.Kind {
	case "s3":
		setS3(values)
	case "azblob":
		return values, setAzure(values, bucket)
	}
	return values, nil
}

func missing(kind, secret string) error {
	return &backup.Problem{Message: fmt.Sprintf("a store of kind %q needs the secret %q", kind, secret)}
}

// setS3 chooses Amazon where there is no endpoint, and otherwise what nearly every other service understands: the bucket in the path.
func setS3(values map[string]string) {
	if values["provider"] != "" {
		return
	}
	values["provider"] = "AWS"
	if values["endpoint"] != "" {
		values["provider"] = "Other"
	}
}

// setAzure makes of a bare SAS the URL of the container that rclone wants.
func setAzure(values map[string]string, container string) error {
	if values["key"] != "" {
		values["sas_url"] = ""
		return nil
	}
	sas := values["sas_url"]
	if sas == "" {
		return missing("azblob", "account-key or sas")
	}
	if _, query, isURL := strings.Cut(sas, "?"); isURL {
		sas = query
	}
	endpoint := values["endpoint"]
	if endpoint == "" {
		endpoint = "https://" + values["account"] + ".blob.core.windows.net"
	}
	values["sas_url"] = strings.TrimRight(endpoint, "/") + "/" + container + "?" + sas
	return nil
}
