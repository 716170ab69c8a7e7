package postgres

import (
	"io"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// fingerprints is a backup.Writer that keeps nothing but the fingerprints of what it is given.
type fingerprints struct{}

var _ backup.Writer = fingerprints{}

// Rows implements backup.Writer.
func (fingerprints) Rows(src io.Reader) (*backup.Content, error) { return fingerprint(src, true) }

// Bytes implements backup.Writer.
func (fingerprints) Bytes(src io.Reader) (*backup.Content, error) { return fingerprint(src, false) }

func fingerprint(src io.Reader, rows bool) (*backup.Content, error) {
	c, err := backup.Fingerprint(src, rows)
	return &c, err
}
