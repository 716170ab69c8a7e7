package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Verify reads every segment of a backup, checks each against its name, and each content against its size, rows and
// digest in the manifest. What is wrong with the backup is in the result; an error says that verify itself could not
// go on. progress is called with plain bytes as they are read.
func (r *Repository) Verify(ctx context.Context, m *backup.Manifest, progress func(n int64)) (backup.Verified, error) {
	var result backup.Verified
	err := m.Contents(func(what string, c *backup.Content) error {
		result.Segments += len(c.Segments)
		problem, err := r.verifyContent(ctx, c, progress)
		if problem != "" {
			result.Problems = append(result.Problems, what+": "+problem)
		}
		return err
	})
	return result, err
}

// Check sees that all segments of a backup are there in their full size, and tells how many they are and what they take. It reads
// none of them: that is Verify's, and that of every reader.
func (r *Repository) Check(ctx context.Context, m *backup.Manifest) (segments int, stored int64, err error) {
	present, err := r.segments(ctx)
	if err != nil {
		return 0, 0, err
	}
	seen := map[string]bool{}
	err = m.Contents(func(what string, c *backup.Content) error {
		for _, s := range c.Segments {
			size, there := present[s.Name]
			switch {
			case !there:
				return &DamageError{what, "not whole: a segment is missing"}
			case !r.Fits(s, size):
				return &DamageError{what, "not whole: a segment has the wrong size"}
			case !seen[s.Name]:
				seen[s.Name] = true
				stored += size
			}
		}
		return nil
	})
	return len(seen), stored, err
}

func (r *Repository) verifyContent(ctx context.Context, c *backup.Content, progress func(n int64)) (problem string, err error) {
	reader := r.Reader(ctx, c)
	defer reader.Close()
	got, err := backup.Fingerprint(io.TeeReader(reader, progressWriter(progress)), strings.HasPrefix(c.Digest, backup.RowDigestPrefix))
	var damage *DamageError
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.As(err, &damage):
		return damage.Error(), nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return err.Error(), nil
	case err != nil:
		return "", err
	case got.Bytes != c.Bytes:
		return fmt.Sprintf("holds %d bytes, the manifest says %d", got.Bytes, c.Bytes), nil
	case got.Rows != c.Rows:
		return fmt.Sprintf("holds %d rows, the manifest says %d", got.Rows, c.Rows), nil
	case got.Digest != c.Digest:
		return "its digest differs from the manifest's", nil
	}
	return "", nil
}

// progressWriter counts what passes through a TeeReader.
type progressWriter func(n int64)

func (p progressWriter) Write(b []byte) (int, error) {
	p(int64(len(b)))
	return len(b), nil
}
