package notify

import (
	"context"
	"errors"
	"mime"
	"net/url"
	"slices"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// service is one of the library's.
type service struct {
	kind string
	url  *url.URL
}

// newService refuses what the library does not understand, or would log in to at once, or print.
func newService(kind string, u *url.URL) (sender, error) {
	if kind == "logger" {
		return nil, errors.New("it sends nothing")
	}
	if kind == "matrix" && u.User.Username() != "" {
		return nil, errors.New("give an access token instead of a user and a password, as in matrix://:TOKEN@host/?rooms=ROOM")
	}
	s := service{kind, u}
	if _, err := s.locate(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s service) locate() (types.Service, error) {
	library, err := (&router.ServiceRouter{Timeout: Limit}).Locate(s.url.String())
	if err != nil {
		return nil, err
	}
	return library, nil
}

// send has no way to make the library stop when ctx ends.
func (s service) send(_ context.Context, e Event) error {
	library, err := s.locate()
	if err != nil {
		return err
	}
	params := types.Params{}
	text := e.text()
	switch {
	case s.kind == "smtp":
		params.SetTitle(mime.QEncoding.Encode("utf-8", e.subject())) // the library writes it as it is
	case hasTitle(s.kind):
		params.SetTitle(e.subject())
	default:
		text = e.subject() + "\n\n" + text
	}
	return library.Send(text, &params)
}

// hasTitle tells whether a kind shows a title apart from the text. For others the library drops it, or refuses to send.
func hasTitle(kind string) bool {
	return slices.Contains([]string{"slack", "discord", "teams", "ntfy", "gotify", "pushover", "pushbullet", "bark"}, kind)
}

// onceConnected tells of a kind that it makes one connection a message, so that when that fails nothing has arrived anywhere.
func onceConnected(kind string) bool {
	return slices.Contains([]string{"json", "ping", "smtp", "slack", "teams", "ntfy", "gotify", "googlechat", "mattermost", "pushover", "generic"}, kind)
}
