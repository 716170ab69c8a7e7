package sftp

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/pkg/sftp"
)

// Extensions of OpenSSH's server, as its file PROTOCOL describes them.
const (
	posixRename = "posix-rename@openssh.com" // rename replaces
	fsync       = "fsync@openssh.com"
)

// maxPacket is how many bytes pkg/sftp writes with one request; every server takes as many.
const maxPacket = 32 << 10

// newPart is a new name for a temporary file beside target.
func newPart(target string) string {
	var random [8]byte
	rand.Read(random[:])
	return path.Join(path.Dir(target), partPrefix+hex.EncodeToString(random[:]))
}

// create makes a new file, and the folders above it where they lack.
func (s *Store) create(c *sftp.Client, name string) (*sftp.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := c.OpenFile(name, flags)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := s.makeFolder(c, path.Dir(name)); err != nil {
		return nil, err
	}
	return c.OpenFile(name, flags)
}

// makeFolder makes a folder and its parents. One that is there is fine.
func (s *Store) makeFolder(c *sftp.Client, folder string) error {
	err := c.Mkdir(folder)
	if errors.Is(err, fs.ErrNotExist) && folder != path.Dir(folder) {
		if err := s.makeFolder(c, path.Dir(folder)); err != nil {
			return err
		}
		err = c.Mkdir(folder)
	}
	if err == nil {
		return nil
	}
	// That something is there already, SFTP 3 has no code to say.
	info, statErr := c.Stat(folder)
	switch {
	case statErr == nil && info.IsDir():
		return nil
	case statErr == nil:
		return s.notFolder(folder, err)
	case errors.Is(err, fs.ErrPermission):
		return s.noFolder(folder, err)
	}
	return err
}

// write fills the new file f with data, flushes it where the server can, and makes sure of its size. It closes f.
func write(ctx context.Context, c *sftp.Client, f *sftp.File, data []byte) error {
	if err := fill(ctx, c, f, data); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func fill(ctx context.Context, c *sftp.Client, f *sftp.File, data []byte) error {
	requests := len(data)/maxPacket + 1 // pkg/sftp allows 64 at a time
	if _, err := f.ReadFromWithConcurrency(reader{ctx, bytes.NewReader(data)}, requests); err != nil {
		return err
	}
	if _, ok := c.HasExtension(fsync); ok {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != int64(len(data)) {
		return fmt.Errorf("the server says that it holds %d bytes of %d", info.Size(), len(data))
	}
	return ctx.Err()
}

// replace gives the finished file its final name.
func replace(c *sftp.Client, part, target string) error {
	if _, ok := c.HasExtension(posixRename); ok {
		return c.PosixRename(part, target)
	}
	err := c.Rename(part, target)
	if err == nil {
		return nil
	}
	if _, statErr := c.Stat(target); statErr != nil {
		return err // not because of an old object
	}
	if err := c.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return c.Rename(part, target)
}

// readAt gives length bytes of f from offset on, neither more nor fewer.
func readAt(ctx context.Context, f *sftp.File, offset, length int64) ([]byte, error) {
	data := make([]byte, length)
	n, err := f.ReadAt(data, offset)
	switch {
	case n == len(data):
		return data, ctx.Err()
	case err == nil || errors.Is(err, io.EOF):
		return nil, fmt.Errorf("the server gave %d bytes of %d: %w", n, length, io.ErrUnexpectedEOF)
	}
	return nil, err
}

// reader stops when its context ends.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}
