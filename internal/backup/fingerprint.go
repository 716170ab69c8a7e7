package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// Fingerprint measures content: bytes, and, when it is COPY text, rows and the digest of rows; else its SHA-256. A last row
// without its newline is an error that matches io.ErrUnexpectedEOF.
func Fingerprint(src io.Reader, rows bool) (Content, error) {
	if !rows {
		hash := sha256.New()
		n, err := io.Copy(hash, src)
		return Content{Bytes: n, Digest: "sha256:" + hex.EncodeToString(hash.Sum(nil))}, err
	}
	var c Content
	var digest RowDigest
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
			return c, fmt.Errorf("the last row is cut: %w", io.ErrUnexpectedEOF)
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
