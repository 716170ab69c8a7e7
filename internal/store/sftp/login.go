package sftp

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// errSeen ends a handshake that was only made to see the host key.
var errSeen = errors.New("host key seen")

// changedKey is what the handshake fails with when the server shows another host key.
type changedKey struct {
	shown, pinned ssh.PublicKey
}

func (e *changedKey) Error() string {
	return fmt.Sprintf("the server shows %s, pinned is %s", describe(e.shown), describe(e.pinned))
}

// describe is a public key as ssh shows it to a person.
func describe(key ssh.PublicKey) string { return key.Type() + " " + ssh.FingerprintSHA256(key) }

// login checks the configuration and is how ssh logs in with it.
func (c Config) login() (*ssh.ClientConfig, error) {
	switch {
	case c.Host == "" || c.User == "":
		return nil, errors.New("an SFTP store needs a host and a user")
	case c.Port < 1 || c.Port > 65535:
		return nil, fmt.Errorf("port %d is not between 1 and 65535", c.Port)
	case c.Timeout < time.Millisecond:
		return nil, fmt.Errorf("timeout %v is too short", c.Timeout)
	case (c.Password == "") == (len(c.Key) == 0):
		return nil, errors.New("an SFTP store needs either a password or a key")
	case strings.ContainsRune(c.Path, 0):
		return nil, fmt.Errorf("path %q is not valid", c.Path)
	}
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(c.HostKey))
	if err != nil {
		return nil, fmt.Errorf("host key %q is not a public key as ssh-keyscan prints it, \"ssh-ed25519 AAAA...\"", c.HostKey)
	}
	methods, err := c.methods()
	if err != nil {
		return nil, err
	}
	return &ssh.ClientConfig{
		User:              c.User,
		Auth:              methods,
		HostKeyAlgorithms: algorithms(pinned.Type()),
		HostKeyCallback: func(_ string, _ net.Addr, shown ssh.PublicKey) error {
			if !bytes.Equal(shown.Marshal(), pinned.Marshal()) {
				return &changedKey{shown: shown, pinned: pinned}
			}
			return nil
		},
	}, nil
}

// methods is how the user shows who he is. Some servers take a password only as the answer to a question.
func (c Config) methods() ([]ssh.AuthMethod, error) {
	if c.Password != "" {
		answer := func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range answers {
				answers[i] = c.Password
			}
			return answers, nil
		}
		return []ssh.AuthMethod{ssh.Password(c.Password), ssh.KeyboardInteractive(answer)}, nil
	}
	signer, err := ssh.ParsePrivateKey(c.Key)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, errors.New("the private key has a passphrase: give one without, made for this store alone")
	}
	if err != nil {
		return nil, errors.New("the private key cannot be read: it must be one as ssh-keygen writes it")
	}
	return []ssh.AuthMethod{ssh.PublicKeys(signer)}, nil
}

// algorithms are the signatures that a host key of this type can make.
func algorithms(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// ReadHostKey gives the key that the server shows, as an authorized_keys line without comment, and its fingerprint
// ("SHA256:..."), before anything is sent that is secret. It prefers ed25519 to ECDSA to RSA.
func ReadHostKey(ctx context.Context, host string, port int, timeout time.Duration) (hostKey, fingerprint string, err error) {
	tcp, err := dialTCP(ctx, host, port, timeout)
	if err != nil {
		return "", "", err
	}
	defer tcp.Close()
	defer context.AfterFunc(ctx, func() { tcp.Close() })()
	_, _, _, err = ssh.NewClientConn(tcp, host, &ssh.ClientConfig{
		HostKeyAlgorithms: []string{
			ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
		},
		HostKeyCallback: func(_ string, _ net.Addr, shown ssh.PublicKey) error {
			hostKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(shown)))
			fingerprint = ssh.FingerprintSHA256(shown)
			return errSeen
		},
	})
	switch {
	case errors.Is(err, errSeen):
		return hostKey, fingerprint, nil
	case ctx.Err() != nil:
		return "", "", context.Cause(ctx)
	}
	return "", "", fmt.Errorf("read host key: %w", err)
}

// NewKey makes an ed25519 key pair: the private half as OpenSSH writes it, the public half as a line for authorized_keys.
func NewKey(comment string) (private []byte, public string, err error) {
	publicKey, privateKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, "", fmt.Errorf("make key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(privateKey, comment)
	if err != nil {
		return nil, "", fmt.Errorf("make key: %w", err)
	}
	line, err := ssh.NewPublicKey(publicKey)
	if err != nil {
		return nil, "", fmt.Errorf("make key: %w", err)
	}
	return pem.EncodeToMemory(block), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))) + " " + comment, nil
}
