package notify

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// hidden stands for what is not shown.
const hidden = "***"

// shortestSecret is the fewest bytes of a part of an address that are hidden wherever they occur; less would hide ordinary words.
const shortestSecret = 4

var anyURL = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>]+`)

func isControl(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// mask is an address as a person may see it. Only where the host is the receiver's is it shown: elsewhere it can be a key, as Pushover's user is.
func mask(kind string, u *url.URL) string {
	switch {
	case kind == "smtp":
		return clean(fmt.Sprintf("smtp://%s to %s", u.Host, strings.Join(append(u.Query()["to"], u.Query()["toaddresses"]...), ",")), longestLine)
	case showsHost(kind):
		return clean(fmt.Sprintf("%s://%s/%s", u.Scheme, u.Host, hidden), longestLine)
	}
	return kind + "://" + hidden
}

func showsHost(kind string) bool {
	return slices.Contains([]string{"json", "ping", "smtp", "generic", "ntfy", "gotify", "mattermost", "rocketchat", "matrix", "bark", "signal", "zulip"}, kind)
}

// redact is text without the secrets of an address: of each URL in it only the host is left, and what may be secret of the address
// itself is hidden wherever it is. The errors of senders hold whole URLs, tokens included.
func redact(text, kind string, u *url.URL) string {
	text = anyURL.ReplaceAllStringFunc(text, func(found string) string {
		v, err := url.Parse(found)
		if err != nil {
			return hidden
		}
		return v.Scheme + "://" + v.Host + "/" + hidden
	})
	for _, secret := range secrets(kind, u) {
		text = strings.ReplaceAll(text, secret, hidden)
	}
	return clean(text, longestWhy)
}

// secrets are the parts of an address that may be secret, the longest first, as they are written and as they are meant.
func secrets(kind string, u *url.URL) []string {
	var parts []string
	add := func(part string) {
		parts = append(parts, part, url.QueryEscape(part), url.PathEscape(part))
		parts = append(parts, strings.FieldsFunc(part, func(r rune) bool { return strings.ContainsRune("/:,-", r) })...)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		add(u.User.Username())
		add(password)
		add(u.User.String())
	}
	if kind != "smtp" { // there it is senders and recipients
		add(u.Path)
		add(u.Fragment)
		for _, values := range u.Query() {
			add(strings.Join(values, ","))
		}
	}
	if !showsHost(kind) {
		add(u.Host)
	}
	fixed := []string{"hook", "webhook", "telegram", "shoutrrr"} // words that the library wants in its URLs
	parts = slices.DeleteFunc(parts, func(part string) bool { return len(part) < shortestSecret || slices.Contains(fixed, part) })
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(parts)
}
