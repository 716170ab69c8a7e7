package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/telegram"
)

// telegramChats sends to Telegram itself, with a URL as the library has it: the library takes an API that cannot be reached for one that has
// taken the message (GetErrorResponse in its pkg/services/chat/telegram/telegram_client.go, v0.13.2).
type telegramChats struct{ config *telegram.Config }

func newTelegram(u *url.URL) (sender, error) {
	library := &telegram.Service{}
	if err := library.Initialize(u, nil); err != nil {
		return nil, err
	}
	return telegramChats{library.GetConfig()}, nil
}

// send calls the method sendMessage of Telegram's Bot API for each chat. Where some have taken the message, the error is none of a message that was not
// sent.
func (t telegramChats) send(ctx context.Context, e Event) error {
	u := &url.URL{Scheme: "https", Host: "api.telegram.org", Path: "/bot" + t.config.Token + "/sendMessage"}
	var all error
	taken := false
	for _, chat := range t.config.Chats {
		body, err := json.Marshal(map[string]any{
			"chat_id": chat, "text": e.subject() + "\n\n" + e.text(), "disable_notification": !t.config.Notification,
		})
		if err == nil {
			err = post(ctx, u, "application/json", body)
		}
		all = errors.Join(all, err)
		taken = taken || err == nil
	}
	if taken && all != nil {
		return errors.New(all.Error())
	}
	return all
}
