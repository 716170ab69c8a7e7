package store

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store/cloud"
)

// kinds says of each kind of store what its URL must hold. What else it may hold, the kinds of cloud know.
var kinds = map[string]struct {
	first    string   // what the URL names first
	example  string   // a whole URL
	required []string // options
}{
	"file":    {first: "folder", example: "file:///mnt/nas/backups"},
	"sftp":    {first: "folder", example: "sftp://backup@nas.example.org:22/volume1/backups, or /~/backups below the login's folder"},
	"s3":      {first: "bucket", example: "s3://bucket/prefix?region=eu-central-1, with endpoint=https://... for what is not Amazon's"},
	"azblob":  {first: "container", example: "azblob://container/prefix?account=name", required: []string{"account"}},
	"gs":      {first: "bucket", example: "gs://bucket/prefix"},
	"dropbox": {first: "folder", example: "dropbox://folder"},
	"swift":   {first: "container", example: "swift://container/prefix?auth=https://...&user=name&tenant=name", required: []string{"auth", "user"}},
	"b2":      {first: "bucket", example: "b2://bucket/prefix?account=id", required: []string{"account"}},
}

// Kinds names the kinds of stores that there are, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// optionNames are those that a URL of the kind may hold.
func optionNames(kind string) []string {
	if kind == "file" || kind == "sftp" {
		return nil
	}
	return cloud.Options(kind)
}

// Secret is a secret that a store needs.
type Secret = cloud.Secret

// Names of the secrets of sftp. One of password and key is needed; the host key is no secret, but is kept with them, since who can
// change it can pass for the server.
const (
	secretPassword = "password"
	secretKey      = "key"
	secretHostKey  = "host-key"
)

// Secrets are those that a store at l needs, in the order to ask for them.
func Secrets(l Location) []Secret {
	switch l.Kind {
	case "file":
		return nil
	case "sftp":
		return []Secret{
			{Name: secretPassword, Question: fmt.Sprintf("Password of %s at %s", l.User, l.Host), Optional: true},
			{Name: secretKey, Question: fmt.Sprintf("Private key of %s at %s, without a passphrase", l.User, l.Host), Optional: true, Multiline: true},
		}
	}
	return cloud.Secrets(l.Kind)
}

var storeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// ValidName tells whether a store may be called so: of a-z, 0-9 and inner hyphens, at most 32 characters, and not "here", which is
// the word for the host's own repository.
func ValidName(name string) bool { return name != "here" && storeName.MatchString(name) }

// refused is the problem of a URL that cannot be used.
func refused(why string) *backup.Problem { return &backup.Problem{Message: why} }

func secretInside() *backup.Problem {
	return &backup.Problem{
		Message: "the URL holds a secret, which does not belong there: it would show in lists of processes and in the shell's history",
		Hints: []string{
			"leave it out: dokku backup:store-add asks for it, or reads it from standard input or a file",
			"if others can read this shell's history, change the secret first",
		},
	}
}

// shown is what a piece of a URL looks like that can be repeated in an error: a word that is no secret.
var shown = regexp.MustCompile(`^[a-z][a-z0-9_+.-]{0,19}$`)

func unknownKind(scheme string, isURL bool) *backup.Problem {
	p := &backup.Problem{Message: "the store's address is not a URL"}
	if isURL {
		p.Message = "the URL is of no kind of store that is known"
		if shown.MatchString(scheme) {
			p.Message = fmt.Sprintf("there is no kind of store %q", scheme)
		}
	}
	p.Hints = append(p.Hints, "there are:")
	for _, kind := range Kinds() {
		p.Hints = append(p.Hints, "  "+kinds[kind].example)
	}
	return p
}

func unknownOption(kind, name string) *backup.Problem {
	for _, part := range []string{"key", "secret", "pass", "token", "sas", "sig", "cred"} {
		if strings.Contains(strings.ToLower(name), part) {
			return secretInside()
		}
	}
	p := refused("it has an option that is not known")
	if shown.MatchString(name) {
		p.Message = fmt.Sprintf("option %q is not known", name)
	}
	if names := optionNames(kind); len(names) > 0 {
		p.Hints = []string{"known are: " + strings.Join(names, ", ")}
	} else {
		p.Hints = []string{"it takes no options; a question mark in a name is written as %3F"}
	}
	return p
}
