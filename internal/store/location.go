package store

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Location says where a store is. It holds no secret, so it can be shown and kept as it is. ParseLocation makes it.
type Location struct {
	Kind    string            // file, sftp, s3, azblob, gs, dropbox, swift or b2
	User    string            // of sftp only, as Host and Port
	Host    string            // a name or an address, an IPv6 one without brackets
	Port    int               // 22 unless the URL says otherwise
	Path    string            // file and sftp: a folder; for sftp a relative one is below the login's. Others: the bucket or container, with a prefix
	Options map[string]string // what the URL's query says; nil when there is none
}

const sftpPort = 22

// ParseLocation reads the URL of a store, as a person wrote it: names may hold spaces and any letter, percent-encoded or as they
// are. Every error is a *backup.Problem; none repeats what may be a secret, and a secret in the URL is refused.
func ParseLocation(text string) (Location, error) {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(text), "://")
	scheme = strings.ToLower(scheme)
	if !ok || !slices.Contains(Kinds(), scheme) {
		return Location{}, unknownKind(scheme, ok)
	}
	l, problem := parse(scheme, rest)
	if problem != nil {
		problem.Message = scheme + "://: " + problem.Message
		problem.Hints = append(problem.Hints, "write it like this: "+kinds[scheme].example)
		return Location{}, problem
	}
	return l, nil
}

func parse(kind, rest string) (Location, *backup.Problem) {
	if !utf8.ValidString(rest) || strings.ContainsFunc(rest, unicode.IsControl) {
		return Location{}, refused("it holds characters that cannot be printed")
	}
	if holdsPassword(rest) {
		return Location{}, secretInside()
	}
	rest, query, _ := strings.Cut(rest, "?")
	l := Location{Kind: kind}
	var problem *backup.Problem
	if kind == "sftp" {
		var authority string
		authority, rest, _ = strings.Cut(rest, "/")
		rest = "/" + rest
		if problem = l.parseAuthority(authority); problem != nil {
			return Location{}, problem
		}
	}
	if l.Path, problem = parsePath(kind, rest); problem != nil {
		return Location{}, problem
	}
	if l.Options, problem = parseOptions(kind, query); problem != nil {
		return Location{}, problem
	}
	return l, nil
}

// holdsPassword tells of user:password@, whatever characters the password is of: it may well hold a slash or a question mark.
func holdsPassword(rest string) bool {
	first, _, _ := strings.Cut(rest, "/")
	colon := strings.Index(first, ":")
	if colon < 0 {
		return false
	}
	return !strings.Contains(first[:colon], "@") && strings.Contains(rest[colon:], "@") || strings.LastIndex(first, "@") > colon
}

// hostName is deliberately narrow: a host's name ends up in messages and in the record of its key.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// parseAuthority reads user@host:port.
func (l *Location) parseAuthority(text string) *backup.Problem {
	at := strings.LastIndex(text, "@")
	if at < 1 {
		return refused("it does not say which user logs in")
	}
	var err error
	if l.User, err = url.PathUnescape(text[:at]); err != nil || strings.ContainsFunc(l.User, unicode.IsControl) || !utf8.ValidString(l.User) {
		return refused("the name of the user is not valid")
	}
	host, port := text[at+1:], ""
	if bracketed, after, ok := strings.Cut(strings.TrimPrefix(host, "["), "]"); ok && strings.HasPrefix(host, "[") {
		address, err := netip.ParseAddr(bracketed)
		if err != nil || !address.Is6() || address.Zone() != "" || after != "" && after[0] != ':' {
			return refused("the address in brackets is not an IPv6 address")
		}
		l.Host, port = address.String(), strings.TrimPrefix(after, ":")
	} else if l.Host, port, _ = strings.Cut(host, ":"); !hostName.MatchString(l.Host) {
		return refused("the name of the host is missing or not valid")
	}
	l.Port = sftpPort
	if port != "" {
		if l.Port, err = strconv.Atoi(port); err != nil || l.Port < 1 || l.Port > 65535 {
			return refused("the port is not a number from 1 to 65535")
		}
	}
	return nil
}

// parsePath reads the folder, or the bucket and prefix.
func parsePath(kind, text string) (string, *backup.Problem) {
	decoded, err := url.PathUnescape(text)
	switch {
	case err != nil:
		return "", refused("a percent sign stands for itself only when written as %25")
	case !utf8.ValidString(decoded) || strings.ContainsFunc(decoded, unicode.IsControl):
		return "", refused("the path holds characters that cannot be printed")
	case slices.Contains(strings.Split(decoded, "/"), ".."):
		return "", refused(`the path holds ".."`)
	}
	first, _, _ := strings.Cut(text, "/")
	if kind != "file" && kind != "sftp" {
		if strings.ContainsAny(first, "@:") {
			return "", refused("what comes first is the name of the " + kinds[kind].first + ", with neither a user nor a port")
		}
		decoded = strings.TrimPrefix(path.Clean("/"+decoded), "/")
		if first == "" {
			decoded = ""
		}
		return named(kind, decoded)
	}
	if first != "" {
		return "", refused("the folder's path is not absolute: file:// is followed by a third slash")
	}
	decoded = path.Clean(decoded)
	if relative, ok := strings.CutPrefix(decoded+"/", "/~/"); ok && kind == "sftp" {
		decoded = strings.TrimSuffix(relative, "/")
	}
	return named(kind, decoded)
}

func named(kind, path string) (string, *backup.Problem) {
	if path == "" || path == "/" {
		return "", refused("it does not name the " + kinds[kind].first)
	}
	return path, nil
}

// parseOptions reads the query. Names and values of what is refused are repeated only where they cannot be a secret.
func parseOptions(kind, query string) (map[string]string, *backup.Problem) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, refused("what follows the question mark is not of the form name=value&name=value")
	}
	var options map[string]string
	for name, given := range values {
		if !slices.Contains(optionNames(kind), name) {
			return nil, unknownOption(kind, name)
		}
		value := given[0]
		if holdsSecret(value) {
			return nil, secretInside()
		}
		if len(given) > 1 || value == "" || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
			return nil, refused(fmt.Sprintf("%s is to be given once, with a value", name))
		}
		if options == nil {
			options = map[string]string{}
		}
		options[name] = value
	}
	for _, name := range kinds[kind].required {
		if options[name] == "" {
			return nil, refused(fmt.Sprintf("it does not say the %s: add %s=...", name, name))
		}
	}
	return options, nil
}

// holdsSecret tells of an address, such as that of an endpoint, with a password or a signature in it.
func holdsSecret(value string) bool {
	_, address, ok := strings.Cut(value, "://")
	return ok && strings.ContainsAny(address, "@?")
}

// String is the URL, in one form for all that mean the same.
func (l Location) String() string {
	var b strings.Builder
	b.WriteString(l.Kind + "://")
	if l.Kind == "sftp" {
		b.WriteString(url.User(l.User).String() + "@")
		if strings.Contains(l.Host, ":") {
			b.WriteString("[" + l.Host + "]")
		} else {
			b.WriteString(l.Host)
		}
		if l.Port != sftpPort {
			b.WriteString(":" + strconv.Itoa(l.Port))
		}
		if !strings.HasPrefix(l.Path, "/") {
			b.WriteString("/~/")
		}
	}
	for i, element := range strings.Split(l.Path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(strings.NewReplacer(":", "%3A", "@", "%40").Replace(url.PathEscape(element)))
	}
	separator := "?"
	for _, name := range slices.Sorted(maps.Keys(l.Options)) {
		value := strings.NewReplacer("%2F", "/", "%3A", ":").Replace(url.QueryEscape(l.Options[name]))
		b.WriteString(separator + name + "=" + value)
		separator = "&"
	}
	return b.String()
}

// MarshalText gives the URL.
func (l Location) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the URL.
func (l *Location) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLocation(string(text))
	return err
}
