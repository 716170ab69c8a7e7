package cloud

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// state is a state of a service that trying again does not change.
type state int

const (
	passing state = iota
	noBucket
	clock
	region
	full
	credentials
	permission
)

// stateOf reads a service's answer. The words are from the lists of error codes in the documentation of each.
func stateOf(status int, code, text string) state {
	switch code {
	case "NoSuchBucket", "ContainerNotFound", "bad_bucket_id":
		return noBucket
	case "RequestTimeTooSkewed":
		return clock
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException":
		return region
	case "QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "insufficient_space", "quotaExceeded",
		"cap_exceeded", "storage_cap_exceeded", "download_cap_exceeded", "transaction_cap_exceeded":
		return full
	case "AuthenticationFailed", "invalid_grant":
		// Azure and Google have no word of their own for it.
		if strings.Contains(text, "Request date header too old") || strings.Contains(text, "reasonable timeframe") {
			return clock
		}
		return credentials
	case "AuthorizationFailure":
		if strings.Contains(text, "failed to authenticate") {
			return credentials
		}
		return permission
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "InvalidAuthenticationInfo", "NoAuthenticationInformation",
		"unauthorized", "invalid_client", "invalid_access_token", "expired_access_token":
		return credentials
	case "missing_scope", "no_write_permission":
		return permission
	case "rateLimitExceeded", "userRateLimitExceeded", "RequestTimeout", // of Google's and S3's
		"bad_auth_token", "expired_auth_token": // of B2's, and for the next call there is a new one
		return passing
	}
	switch status {
	case 301:
		return region
	case 401:
		return credentials
	case 403:
		return permission
	case 413, 507: // Swift's word for a quota, and WebDAV's, which some services use
		return full
	}
	return passing
}

// permanent is the problem of a state that trying again does not change; nil where there is none.
func (s *Store) permanent(what string, status int, code, text string) *backup.Problem {
	where := s.name
	if s.kind.place != "" {
		where = fmt.Sprintf("%s %q", s.kind.place, s.bucket)
	}
	switch stateOf(status, code, text) {
	case clock:
		return &backup.Problem{
			Message: "this host's clock is not that of the service, which therefore refuses what is signed here",
			Hints:   []string{"set the clock, and keep it set: timedatectl set-ntp true"},
		}
	case region:
		return &backup.Problem{
			Message: fmt.Sprintf("%s is in another region than the one that the URL names", where),
			Hints:   []string{"correct region= in the store's URL" + said(text)},
		}
	case full:
		return &backup.Problem{
			Message: fmt.Sprintf("%s is full, or its quota is used up", where),
			Hints:   []string{"make room or raise the quota with the service" + said(text)},
		}
	case credentials:
		return &backup.Problem{
			Message: "the service does not accept the credentials",
			Hints:   []string{"check that they are complete and not revoked, then add the store anew" + said(text)},
		}
	case permission:
		return &backup.Problem{
			Message: fmt.Sprintf("the credentials do not allow to %s in %s", verb(what), where),
			Hints:   []string{"they need to read, write, list and delete there" + said(text)},
		}
	}
	return nil
}

// said quotes the service, shortened to what fits on a line.
func said(text string) string {
	const most = 200
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return fmt.Sprintf(" (it said: %s)", text)
}

func verb(what string) string {
	switch what {
	case "put":
		return "write"
	case "get", "open":
		return "read"
	}
	return what
}

// hide takes the secrets out of a text, in each form that a request can give them.
func hide(secrets map[string]string) *strings.Replacer {
	var pairs []string
	add := func(secret string) {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			if len(form) >= 6 && !slices.Contains(pairs, form) { // shorter ones would hide every other word
				pairs = append(pairs, form, "(hidden)")
			}
		}
	}
	for _, secret := range secrets {
		add(strings.TrimSpace(secret))
		var fields map[string]any // of a token or a service account
		if json.Unmarshal([]byte(secret), &fields) == nil {
			for _, name := range []string{"access_token", "refresh_token", "private_key"} {
				value, _ := fields[name].(string)
				add(value)
			}
		}
		query := secret[strings.IndexByte(secret, '?')+1:] // of a SAS, whose signature is what is secret
		if values, err := url.ParseQuery(query); err == nil {
			add(values.Get("sig"))
		}
	}
	return strings.NewReplacer(pairs...)
}
