// Package sftp is a store in a folder of an SFTP server. New checks the configuration and connects to nothing; the
// first request connects, and so does the first one after a connection broke.
//
// Requests run concurrently over one SSH connection. Errors that trying again cannot mend (a wrong password, a changed
// host key, no permission, a full disk) are a *backup.Problem; everything else may pass.
package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

const (
	// partPrefix begins the names of files that are still being written. They are never listed as objects.
	partPrefix = ".part-"
	// listAtOnce is how many folders are read at a time: 256 folders of segments over 50 ms in some 2 s.
	listAtOnce = 32
	// maxObject bounds what a server can make us hold in memory, in bytes. No object comes near it (doc/format.md).
	maxObject = 128 << 20
)

var _ backup.Store = (*Store)(nil)

// Config says which server, and how to log in.
type Config struct {
	Host     string
	Port     int
	User     string
	Path     string        // the folder that holds the repository: "/abs", or relative to the login's folder
	Password string        // either this
	Key      []byte        // or a private key as OpenSSH writes it, without a passphrase
	HostKey  string        // "ssh-ed25519 AAAA...": the server must show exactly this key
	Timeout  time.Duration // a connection from which nothing came for so long is given up
}

// Store keeps each object as a file below Config.Path. A write goes to a temporary file in the object's own folder, is
// flushed and measured, and then renamed, so that a reader never sees a part of an object.
//
// Two things depend on the server. Without fsync@openssh.com it flushes when it likes. Without posix-rename@openssh.com a
// rename replaces nothing: the old object is removed first, and a cut in that moment leaves neither, only the temporary file.
// SFTP has no permissions worth setting here: files get what the server's umask says, and objects are sealed.
type Store struct {
	config Config
	login  *ssh.ClientConfig

	mu   sync.Mutex
	conn *connection // the last one, nil before the first
}

// New is a store as c says. It fails when c cannot be right.
func New(c Config) (*Store, error) {
	login, err := c.login()
	if err != nil {
		return nil, err
	}
	c.Path = path.Clean(c.Path) // "" is the login's folder, "."
	return &Store{config: c, login: login}, nil
}

// Put implements backup.Store. When it returns nil, the server has said that it holds exactly len(data) bytes.
func (s *Store) Put(ctx context.Context, name string, data []byte) error {
	target, err := s.path(name)
	if err != nil {
		return err
	}
	return s.do(ctx, "put "+name, func(c *sftp.Client) error {
		part := newPart(target)
		f, err := s.create(c, part)
		if err != nil {
			return s.explain(c, err, len(data))
		}
		err = write(ctx, c, f, data)
		if err == nil {
			err = replace(c, part, target)
		}
		if err != nil {
			err = s.explain(c, err, len(data)) // asks for the free space, so before the part is removed
			c.Remove(part)                     // a part that stays is Sweep's
		}
		return err
	})
}

// Get implements backup.Store.
func (s *Store) Get(ctx context.Context, name string) (data []byte, err error) {
	target, err := s.path(name)
	if err != nil {
		return nil, err
	}
	err = s.do(ctx, "get "+name, func(c *sftp.Client) error {
		f, err := c.Open(target)
		if err != nil {
			return s.explain(c, err, 0)
		}
		defer func() { go f.Close() }() // nothing depends on it: the answer need not be waited for
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if size := info.Size(); !info.Mode().IsRegular() || size < 0 || size > maxObject {
			return fmt.Errorf("the server has something else there: %v, %d bytes", info.Mode(), size)
		}
		data, err = readAt(ctx, f, 0, info.Size())
		return err
	})
	return data, err
}

// List implements backup.Store.
func (s *Store) List(ctx context.Context, prefix string, fn func(backup.Object) error) error {
	// Only the folder part of the prefix can be opened; the rest filters.
	start := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		start = prefix[:i]
		if _, err := s.path(start); err != nil {
			return err
		}
	}
	return s.do(ctx, "list "+prefix, func(c *sftp.Client) error {
		return s.walk(ctx, c, start, prefix, func(name string, info fs.FileInfo) error {
			if strings.HasPrefix(path.Base(name), partPrefix) || !strings.HasPrefix(name, prefix) {
				return nil
			}
			return fn(backup.Object{Name: name, Size: info.Size(), ModTime: info.ModTime()})
		})
	})
}

// walk calls fn for every regular file below the folder start, one at a time, and passes by folders in which no name begins with
// prefix. Names are relative to the store.
func (s *Store) walk(ctx context.Context, c *sftp.Client, start, prefix string, fn func(name string, info fs.FileInfo) error) error {
	folders := []string{start}
	for len(folders) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch := slices.Clone(folders[max(0, len(folders)-listAtOnce):])
		folders = folders[:len(folders)-len(batch)]
		listings, err := s.readFolders(ctx, c, batch)
		if err != nil {
			return err
		}
		for i, listing := range listings {
			for _, info := range listing {
				name := path.Join(batch[i], info.Name())
				switch below := name + "/"; {
				case info.Mode().IsRegular():
					if err := fn(name, info); err != nil {
						return err
					}
				case info.IsDir() && (strings.HasPrefix(below, prefix) || strings.HasPrefix(prefix, below)):
					folders = append(folders, name)
				}
			}
		}
	}
	// pkg/sftp takes a connection that breaks between two pages (io.EOF) for the end of the folder. One that still
	// answers did not break.
	_, err := c.RealPath(".")
	return err
}

// readFolders lists each folder. One that is not there, perhaps no longer, is empty.
func (s *Store) readFolders(ctx context.Context, c *sftp.Client, folders []string) ([][]fs.FileInfo, error) {
	listings := make([][]fs.FileInfo, len(folders))
	var group errgroup.Group
	for i, folder := range folders {
		group.Go(func() error {
			listing, err := c.ReadDirContext(ctx, path.Join(s.config.Path, folder))
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			listings[i] = listing
			return s.explain(c, err, 0)
		})
	}
	return listings, group.Wait()
}

// Delete implements backup.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	target, err := s.path(name)
	if err != nil {
		return err
	}
	return s.do(ctx, "delete "+name, func(c *sftp.Client) error { return s.remove(c, target) })
}

// Sweep removes the temporary files of writes that were cut off. Nobody may be writing meanwhile.
func (s *Store) Sweep() error {
	ctx := context.Background()
	return s.do(ctx, "remove unfinished files", func(c *sftp.Client) error {
		return s.walk(ctx, c, ".", "", func(name string, _ fs.FileInfo) error {
			if !strings.HasPrefix(path.Base(name), partPrefix) {
				return nil
			}
			return s.remove(c, path.Join(s.config.Path, name))
		})
	})
}

// remove removes a file, which need not be there.
func (s *Store) remove(c *sftp.Client, path string) error {
	err := c.Remove(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		return s.noDelete(err)
	}
	return s.explain(c, err, 0)
}

// Close ends the connection. Requests that are under way fail; a later request connects again.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.close()
	}
	return nil
}

// path is where the object lies. Names that would leave the store, or hide among the temporary files, are refused.
func (s *Store) path(name string) (string, error) {
	if !fs.ValidPath(name) || name == "." || strings.HasPrefix(path.Base(name), partPrefix) {
		return "", fmt.Errorf("object name %q is not valid", name)
	}
	return path.Join(s.config.Path, name), nil
}
