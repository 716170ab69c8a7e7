package sftp

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Codes of later drafts of SFTP (draft-ietf-secsh-filexfer-13, 9.1) that some servers of version 3 send.
const (
	codeWriteProtect  = 12
	codeNoSpace       = 14
	codeQuotaExceeded = 15
)

// readOnlyFlag is SSH_FXE_STATVFS_ST_RDONLY of OpenSSH's PROTOCOL.
const readOnlyFlag = 1

// explain turns an answer of the server that trying again does not change into a *backup.Problem, and leaves any other as it is.
// size is what was to be written, in bytes.
func (s *Store) explain(c *sftp.Client, err error, size int) error {
	var problem *backup.Problem
	if errors.As(err, &problem) {
		return err // explained where more was known
	}
	if errors.Is(err, fs.ErrPermission) {
		return &backup.Problem{
			Message: fmt.Sprintf("%q has no permission in folder %q of the server, or it may only be read", s.config.User, s.config.Path),
			Hints:   []string{"let that user read and write the folder and all that is in it", "see what there is: " + s.byHand()},
			Err:     err,
		}
	}
	var status *sftp.StatusError
	if !errors.As(err, &status) {
		return err
	}
	text := strings.ToLower(status.Error())
	switch {
	case status.Code == codeWriteProtect || strings.Contains(text, "read-only"):
		return s.readOnly(err)
	case status.Code == codeNoSpace || status.Code == codeQuotaExceeded || strings.Contains(text, "no space") || strings.Contains(text, "quota"):
		return s.full(err)
	case status.FxCode() != sftp.ErrSSHFxFailure:
		return err
	}
	// OpenSSH says no more than "Failure"; its file system tells.
	disk, statErr := c.StatVFS(s.config.Path)
	switch {
	case statErr != nil:
		return err
	case disk.Flag&readOnlyFlag != 0:
		return s.readOnly(err)
	case disk.Bavail*disk.Frsize < uint64(size) || disk.Files > 0 && disk.Favail == 0:
		return s.full(err)
	}
	return err
}

func (s *Store) readOnly(err error) error {
	return &backup.Problem{
		Message: fmt.Sprintf("folder %q of the server can only be read", s.config.Path),
		Hints:   []string{"mount its file system for writing on the server, or choose another folder"},
		Err:     err,
	}
}

func (s *Store) full(err error) error {
	return &backup.Problem{
		Message: fmt.Sprintf("the server has no space left for folder %q", s.config.Path),
		Hints:   []string{"free space there, or raise the user's quota", "see what is left: " + s.byHand() + ", then: df -h"},
		Err:     err,
	}
}

func (s *Store) noDelete(err error) error {
	return &backup.Problem{
		Message: fmt.Sprintf("%q may not delete in folder %q of the server", s.config.User, s.config.Path),
		Hints:   []string{"let the user delete there; without it no space can be freed"},
		Err:     err,
	}
}

func (s *Store) notFolder(path string, err error) error {
	return &backup.Problem{
		Message: fmt.Sprintf("%q is a file on the server, not a folder", path),
		Hints:   []string{"choose another path, or move the file away"},
		Err:     err,
	}
}

func (s *Store) noFolder(path string, err error) error {
	return &backup.Problem{
		Message: fmt.Sprintf("%q may not make folder %q on the server", s.config.User, path),
		Hints: []string{
			"choose a path inside a folder that the user may write; a login that is locked into a folder (chroot) can often write only below it",
			"see what there is: " + s.byHand(),
		},
		Err: err,
	}
}

// loginProblem says why there is no connection.
func (s *Store) loginProblem(err error) error {
	var changed *changedKey
	var noCommon *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &changed):
		return s.otherHostKey(changed.Error(), err)
	case errors.As(err, &noCommon) && noCommon.What == "host key":
		return s.otherHostKey("it shows none of the pinned type", err)
	// What the server said to each attempt is known to ssh's client only, and it says so only in words.
	case !strings.Contains(err.Error(), "unable to authenticate"):
		return fmt.Errorf("log in: %w", err)
	case s.config.Password != "":
		return &backup.Problem{
			Message: fmt.Sprintf("the server does not accept the password of %q", s.config.User),
			Hints:   []string{"try it by hand: " + s.byHand()},
			Err:     err,
		}
	}
	return &backup.Problem{
		Message: fmt.Sprintf("the server does not accept the key for %q", s.config.User),
		Hints:   []string{"add this line to ~/.ssh/authorized_keys of that user on the server: " + s.publicKey()},
		Err:     err,
	}
}

func (s *Store) otherHostKey(what string, err error) error {
	return &backup.Problem{
		Message: "the server's host key has changed: " + what,
		Hints: []string{
			"somebody may be in between, or the server was installed anew: nothing was sent to it",
			"ask whoever runs the server for its fingerprint; when it is the one shown, remove the store and add it again",
		},
		Err: err,
	}
}

// sessionProblem says why a login did not lead to SFTP. ssh has no type for a refused subsystem.
func (s *Store) sessionProblem(err error) error {
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) && !strings.Contains(err.Error(), "subsystem request failed") {
		return fmt.Errorf("the server let %q in, but then did not begin SFTP (its log may say why): %w", s.config.User, err)
	}
	return &backup.Problem{
		Message: fmt.Sprintf("the server does not let %q use SFTP", s.config.User),
		Hints:   []string{"allow it in the server's sshd_config: Subsystem sftp internal-sftp", "see what it says: " + s.byHand()},
		Err:     err,
	}
}

// publicKey is the line that belongs into authorized_keys.
func (s *Store) publicKey() string {
	signer, err := ssh.ParsePrivateKey(s.config.Key)
	if err != nil {
		return "" // New has refused such a key
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// byHand is a command that logs in as this store does.
func (s *Store) byHand() string {
	return fmt.Sprintf("sftp -P %d %s@%s", s.config.Port, s.config.User, s.config.Host)
}
