package code

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/plumbing/transport/ssh"
	cryptossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

var (
	// ErrNoAccess says that a remote wants credentials that it was not given
	// or does not accept.
	ErrNoAccess = errors.New("the remote does not let us in")
	// ErrUnknownHost says that an SSH server's key is not in known_hosts.
	ErrUnknownHost = errors.New("the remote's SSH key is not known on this host")
)

// connectTimeout is how long an SSH server may take to answer.
const connectTimeout = 15 * time.Second

// Fetch adds what another repository holds: from is the folder of a
// repository of this host, which is read in place and never changed, or the
// URL of a remote (https, ssh, git, file), whose branches and tags are
// downloaded. A remote's names are found before those of a folder.
//
// Nobody is asked for credentials. Like Dokku's git:sync, Fetch uses what the
// home folder holds: .netrc (git:auth) for https; .ssh/id_* without a
// passphrase (git:generate-deploy-key) and .ssh/known_hosts (git:allow-host)
// for ssh. The error wraps os.ErrNotExist where there is no such repository,
// ErrNoAccess or ErrUnknownHost; it holds no password.
func (r *Repository) Fetch(ctx context.Context, from string) error {
	if filepath.IsAbs(from) {
		return r.join(from)
	}
	end, err := transport.NewEndpoint(from)
	if err != nil {
		return errors.New("fetch: the address of the remote is not understood") // err would hold a password
	}
	if end.Protocol == "file" {
		return r.join(end.Path)
	}
	shown := *end
	shown.Password = ""
	if end.Protocol == "https" || end.Protocol == "http" {
		shown.User = "" // may be a token
	}
	if err := r.download(ctx, from, end); err != nil {
		return fmt.Errorf("fetch from %s: %w", shown.String(), err)
	}
	return nil
}

// join adds a repository in a folder, which may be a work tree's.
func (r *Repository) join(dir string) error {
	if inside := filepath.Join(dir, ".git"); isFolder(inside) {
		dir = inside
	}
	other, err := Open(dir)
	if err != nil {
		return err
	}
	r.others = append(r.others, other)
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (r *Repository) download(ctx context.Context, from string, end *transport.Endpoint) error {
	auth, err := credentials(end)
	if err != nil {
		return err
	}
	remote := git.NewRemote(r.store, &config.RemoteConfig{Name: git.DefaultRemoteName, URLs: []string{from}})
	err = remote.FetchContext(ctx, &git.FetchOptions{
		RefSpecs: []config.RefSpec{"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"},
		Tags:     git.NoTags, // beyond those
		Force:    true,
		Auth:     auth,
	})
	r.store.Reindex()
	var asked *url.Error
	var unknown *knownhosts.KeyError
	switch {
	case err == nil || errors.Is(err, git.NoErrAlreadyUpToDate) || errors.Is(err, transport.ErrEmptyRemoteRepository):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return os.ErrNotExist
	case errors.Is(err, transport.ErrAuthenticationRequired) || errors.Is(err, transport.ErrAuthorizationFailed):
		return ErrNoAccess
	case errors.As(err, &unknown):
		return ErrUnknownHost
	case errors.As(err, &asked): // which names the whole address
		return asked.Err
	}
	return err
}

// credentials finds in the home folder what a remote may want; nil for none.
func credentials(end *transport.Endpoint) (transport.AuthMethod, error) {
	home, err := os.UserHomeDir()
	if err != nil || end.Password != "" {
		return nil, nil
	}
	switch end.Protocol {
	case "https", "http":
		user, password, err := netrc(filepath.Join(home, ".netrc"), end.Host)
		if err != nil || user == "" || end.User != "" && end.User != user {
			return nil, err
		}
		return &http.BasicAuth{Username: user, Password: password}, nil
	case "ssh":
		if _, err := ssh.NewKnownHostsDb(); err != nil {
			return nil, ErrUnknownHost
		}
		return keys(home, end.User)
	}
	return nil, nil
}

// keys are the home folder's own keys, or else, for nil, those of the agent.
func keys(home, user string) (transport.AuthMethod, error) {
	var signers []cryptossh.Signer
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		text, err := os.ReadFile(filepath.Join(home, ".ssh", name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		signer, err := cryptossh.ParsePrivateKey(text)
		if err == nil { // one with a passphrase is nobody's to use unattended
			signers = append(signers, signer)
		}
	}
	if len(signers) == 0 && os.Getenv("SSH_AUTH_SOCK") == "" {
		return nil, ErrNoAccess
	}
	if len(signers) == 0 {
		return nil, nil
	}
	return &homeKeys{cmp.Or(user, ssh.DefaultUsername), signers}, nil
}

// homeKeys is an ssh.AuthMethod. Unlike go-git's own it leaves the host's key
// to go-git's connect, which asks for the kinds of key that known_hosts has,
// and it limits the time.
type homeKeys struct {
	user    string
	signers []cryptossh.Signer
}

func (k *homeKeys) Name() string { return ssh.PublicKeysName }

func (k *homeKeys) String() string { return k.Name() + " of " + k.user }

func (k *homeKeys) ClientConfig() (*cryptossh.ClientConfig, error) {
	return &cryptossh.ClientConfig{
		User: k.user, Auth: []cryptossh.AuthMethod{cryptossh.PublicKeys(k.signers...)}, Timeout: connectTimeout,
	}, nil
}
