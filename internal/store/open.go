package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/cloud"
	"github.com/dokku-backup/dokku-backup/internal/store/local"
	"github.com/dokku-backup/dokku-backup/internal/store/sftp"
)

// Open makes ready the store at l. Secrets are named as Secrets says; for sftp "host-key" is always among them. Whether the store can
// be reached shows at its first use. The caller closes it.
func Open(ctx context.Context, l Location, secrets map[string]string, o Options) (*Store, error) {
	kind, err := open(ctx, l, secrets, o.withDefaults().Timeout)
	if err != nil {
		return nil, err
	}
	return New(kind, o), nil
}

func open(ctx context.Context, l Location, secrets map[string]string, timeout time.Duration) (Kind, error) {
	if err := checkSecrets(l, secrets); err != nil {
		return nil, err
	}
	switch l.Kind {
	case "file":
		return folder{local.New(l.Path)}, nil
	case "sftp":
		return sftp.New(sftp.Config{
			Host: l.Host, Port: l.Port, User: l.User, Path: l.Path, Timeout: timeout,
			Password: secrets[secretPassword], Key: []byte(secrets[secretKey]), HostKey: secrets[secretHostKey],
		})
	}
	return cloud.Open(ctx, cloud.Config{Kind: l.Kind, Path: l.Path, Options: l.Options, Secrets: secrets, Timeout: timeout})
}

// checkSecrets sees that what was given is what is needed, before anything is sent anywhere.
func checkSecrets(l Location, secrets map[string]string) error {
	known := []string{}
	if l.Kind == "sftp" {
		known = append(known, secretHostKey)
	}
	for _, s := range Secrets(l) {
		known = append(known, s.Name)
		if !s.Optional && secrets[s.Name] == "" {
			return &backup.Problem{Message: fmt.Sprintf("the %s of %s is missing", s.Name, l)}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if !slices.Contains(known, name) {
			return &backup.Problem{Message: fmt.Sprintf("%s takes no secret %q", l, name)}
		}
	}
	if l.Kind != "sftp" {
		return nil
	}
	if secrets[secretHostKey] == "" {
		return &backup.Problem{Message: fmt.Sprintf("the host key of %s is not known", l)}
	}
	if (secrets[secretPassword] == "") == (secrets[secretKey] == "") {
		return &backup.Problem{Message: fmt.Sprintf("%s takes either a password or a key", l)}
	}
	return nil
}
