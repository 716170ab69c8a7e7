package repository

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

func TestParseIdentities(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	check(t, err)
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("moo"))
	check(t, err)
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	other, err := ssh.MarshalPrivateKey(large, "")
	check(t, err)
	one, two := newIdentity(t).String(), newIdentity(t).String()
	declined := errors.New("declined")
	says := func(answer string, err error) func() ([]byte, error) {
		return func() ([]byte, error) { return []byte(answer), err }
	}
	tests := []struct {
		name, text string
		passphrase func() ([]byte, error)
		count      int
		want       string
	}{
		{"one", one, nil, 1, ""},
		{"two, with comments", "# created\r\n\r\n " + one + "\r\n#next\n" + two, nil, 2, ""},
		{"second cut", one + "\n" + two[:30], nil, 0, "a line of it is no age identity"},
		{"comments only", "# nothing\n", nil, 0, "it is empty"},
		{"ssh, the passphrase", string(pem.EncodeToMemory(locked)), says("moo", nil), 1, ""},
		{"ssh, another passphrase", string(pem.EncodeToMemory(locked)), says("boo", nil), 0, "the passphrase does not open it"},
		{"ssh, nobody to ask", string(pem.EncodeToMemory(locked)), nil, 0, "there is no terminal"},
		{"ssh, not answered", string(pem.EncodeToMemory(locked)), says("", declined), 0, "declined"},
		{"ssh, rsa", string(pem.EncodeToMemory(other)), nil, 0, "not of kind ed25519"},
		{"ssh, cut", string(pem.EncodeToMemory(locked))[:100], says("moo", nil), 0, "damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseIdentities([]byte(tt.text), tt.passphrase)
			if len(got) != tt.count || (tt.want == "") != (err == nil) || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got %d identities, error %v, want %d, %q", len(got), err, tt.count, tt.want)
			}
			if err != nil && !errors.Is(err, declined) && exitCode(err) != backup.ExitKey {
				t.Errorf("got exit code %d, want %d", exitCode(err), backup.ExitKey)
			}
			if err != nil && strings.Contains(err.Error(), one[20:40]) {
				t.Errorf("the error holds the key: %v", err)
			}
		})
	}
}
