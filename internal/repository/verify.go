package repository

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/zeebo/xxh3"

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

func (r *Repository) verifyContent(ctx context.Context, c *backup.Content, progress func(n int64)) (problem string, err error) {
	reader := r.Reader(ctx, c)
	defer reader.Close()
	got, err := Fingerprint(io.TeeReader(reader, progressWriter(progress)), strings.HasPrefix(c.Digest, backup.RowDigestPrefix))
	var damage *DamageError
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.As(err, &damage):
		return damage.Error(), nil
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

// Fingerprint measures content: bytes, and, when it is COPY text, rows and the digest of rows; else its SHA-256.
func Fingerprint(src io.Reader, rows bool) (backup.Content, error) {
	if !rows {
		hash := sha256.New()
		n, err := io.Copy(hash, src)
		return backup.Content{Bytes: n, Digest: "sha256:" + hex.EncodeToString(hash.Sum(nil))}, err
	}
	var c backup.Content
	var digest backup.RowDigest
	var long *xxh3.Hasher // a row that does not fit the buffer
	in := bufio.NewReaderSize(src, 1<<20)
	for {
		line, err := in.ReadSlice('\n')
		c.Bytes += int64(len(line))
		switch {
		case err == bufio.ErrBufferFull:
			if long == nil {
				long = xxh3.New()
			}
			long.Write(line)
			continue
		case err == io.EOF && len(line) == 0 && long == nil:
			c.Rows, c.Digest = digest.Rows, digest.String()
			return c, nil
		case err == io.EOF:
			return c, &DamageError{"the last row", "cut"}
		case err != nil:
			return c, err
		}
		row := bytes.TrimSuffix(line, []byte("\n"))
		if long == nil {
			digest.Add(row)
			continue
		}
		long.Write(row)
		digest.AddHash(long.Sum128())
		long = nil
	}
}

// progressWriter counts what passes through a TeeReader.
type progressWriter func(n int64)

func (p progressWriter) Write(b []byte) (int, error) {
	p(int64(len(b)))
	return len(b), nil
}
