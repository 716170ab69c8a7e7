package cloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"github.com/ncw/swift/v2"
	b2 "github.com/rclone/rclone/backend/b2/api"
	rclone "github.com/rclone/rclone/fs"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// problem is err, of doing what with name, as the contract of backup.Store wants it.
func (s *Store) problem(ctx context.Context, what, name string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	quiet := errors.New(s.hidden.Replace(err.Error())) // in place of err, whose text may hold a secret, at any depth
	status, code := s.facts(err)
	switch {
	case errors.Is(err, rclone.ErrorDirNotFound) && s.bucket != "", stateOf(status, code, "") == noBucket:
		return s.noBucket(quiet)
	case isNotThere(err, status, code):
		if err := s.findBucket(ctx); err != nil {
			return err
		}
		return fmt.Errorf("%s %s: %w", what, name, fs.ErrNotExist)
	}
	if p := s.permanent(what, status, code, quiet.Error()); p != nil {
		p.Err = quiet
		return p
	}
	return fmt.Errorf("%s %s: %w", what, name, quiet)
}

func (s *Store) noBucket(cause error) error {
	return &backup.Problem{
		Message: fmt.Sprintf("the %s %q is not there", s.kind.place, s.bucket),
		Hints:   []string{fmt.Sprintf("make the %s with the service's own tools, or correct its name; a bucket is never made here", s.kind.place)},
		Err:     cause,
	}
}

func isNotThere(err error, status int, code string) bool {
	return errors.Is(err, rclone.ErrorObjectNotFound) || errors.Is(err, rclone.ErrorNotAFile) || errors.Is(err, swift.ObjectNotFound) ||
		status == 404 || code == "file_not_present" || code == "not_found"
}

// facts are the HTTP status and the service's own word for what went wrong, as far as err holds them.
func (s *Store) facts(err error) (status int, code string) {
	if err == nil {
		return 0, ""
	}
	if e, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		status = e.HTTPStatusCode()
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return status, e.ErrorCode()
	}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return e.StatusCode, e.ErrorCode
	}
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		if len(e.Errors) > 0 {
			code = e.Errors[0].Reason
		}
		if e.Code == 404 && strings.Contains(e.Message, "bucket does not exist") {
			code = "NoSuchBucket"
		}
		return e.Code, code
	}
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if e.Response != nil {
			status = e.Response.StatusCode
		}
		return status, e.ErrorCode
	}
	if e, ok := errors.AsType[*swift.Error](err); ok {
		if errors.Is(e, swift.ContainerNotFound) {
			code = "NoSuchBucket"
		}
		return e.StatusCode, code
	}
	if e, ok := errors.AsType[*b2.Error](err); ok {
		return e.Status, e.Code
	}
	if s.name == "dropbox" {
		code = dropboxCode(err.Error())
	}
	return status, code
}

// dropboxCode finds the service's own words in the text of an error: the library's types have no common one.
func dropboxCode(text string) string {
	if strings.Contains(text, "token expired") { // rclone's, of a token that cannot be renewed
		return "expired_access_token"
	}
	for _, code := range []string{
		"invalid_access_token", "expired_access_token", "invalid_grant", "missing_scope", "insufficient_space", "no_write_permission", "not_found",
	} {
		if strings.Contains(text, code) {
			return code
		}
	}
	return ""
}
