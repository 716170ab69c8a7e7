package sftp

import (
	"context"
	"errors"
	"io/fs"

	"github.com/pkg/sftp"
)

// errCutOff is what CutOff succeeds with.
var errCutOff = errors.New("the connection was cut on purpose")

// ReadRange gives length bytes of the object from offset on.
func (s *Store) ReadRange(ctx context.Context, name string, offset, length int64) (data []byte, err error) {
	target, err := s.path(name)
	if err != nil {
		return nil, err
	}
	err = s.do(ctx, "read "+name, func(c *sftp.Client) error {
		f, err := c.Open(target)
		if err != nil {
			return s.explain(c, err, 0)
		}
		defer f.Close()
		data, err = readAt(ctx, f, offset, length)
		return err
	})
	return data, err
}

// CutOff begins to put the object and breaks its connection, one of its own, half-way through data. It leaves the temporary file. It
// returns an error, always.
func (s *Store) CutOff(ctx context.Context, name string, data []byte) error {
	target, err := s.path(name)
	if err != nil {
		return err
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	defer context.AfterFunc(ctx, conn.close)()
	f, err := s.create(conn.sftp, newPart(target))
	if err == nil {
		_, err = f.Write(data[:len(data)/2])
	}
	if err == nil {
		err = errCutOff
	}
	return s.outcome(ctx, conn, "put "+name, s.explain(conn.sftp, err, len(data)))
}

// RemoveFolder removes the folder name, which must be empty, and need not be there.
func (s *Store) RemoveFolder(ctx context.Context, name string) error {
	folder, err := s.path(name)
	if err != nil {
		return err
	}
	return s.do(ctx, "remove folder "+name, func(c *sftp.Client) error {
		if err := c.RemoveDirectory(folder); !errors.Is(err, fs.ErrNotExist) {
			return s.explain(c, err, 0)
		}
		return nil
	})
}

// Finish says in a few words how an object gets its final name. Before the first request it supposes the better server.
func (s *Store) Finish() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		if _, ok := s.conn.sftp.HasExtension(posixRename); !ok {
			return "written beside, then renamed; an old one is removed just before"
		}
	}
	return "written beside, then renamed"
}

// Page is how many names a server gives at a time: 100 in OpenSSH (sftp-server.c, process_readdir).
func (s *Store) Page() int { return 100 }
