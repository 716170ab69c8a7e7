package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// RowDigest fingerprints the rows of a table whatever their order: the sum, modulo 2^128, of the XXH3-128 of each row's
// COPY text without its newline. Order must not matter, because a restored table's heap may return the same rows in
// another order. The digest finds differences that happen; against forgery stand the manifest's MAC and the segments'
// keyed names. The zero value is the digest of no rows.
type RowDigest struct {
	Rows   int64
	hi, lo uint64
}

// Add takes one row, without its newline, and returns the row's own hash (low half), which callers use to find places
// to cut.
func (d *RowDigest) Add(row []byte) uint64 {
	return d.AddHash(xxh3.Hash128(row))
}

// AddHash is Add for a row of which only the XXH3-128 is at hand.
func (d *RowDigest) AddHash(h xxh3.Uint128) uint64 {
	var carry uint64
	d.lo, carry = bits.Add64(d.lo, h.Lo, 0)
	d.hi, _ = bits.Add64(d.hi, h.Hi, carry)
	d.Rows++
	return h.Lo
}

// RowDigestPrefix begins a digest of rows, so that a digest says what it is of. Other content has "sha256:".
const RowDigestPrefix = "xxh3-rows:"

// String is the digest as RowDigestPrefix and 32 hexadecimal digits.
func (d *RowDigest) String() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], d.hi)
	binary.BigEndian.PutUint64(b[8:], d.lo)
	return RowDigestPrefix + hex.EncodeToString(b[:])
}

// DumpDigest is one value to compare two dumps of a database by: the SHA-256 of a line for each table, in the order
// given, of its quoted schema and name, rows, bytes and digest. Two dumps of equal data have equal digests; the
// archive's head, which holds the time of the dump, is left out.
func DumpDigest(tables []Table) string {
	h := sha256.New()
	for _, t := range tables {
		fmt.Fprintf(h, "%q %q %d %d %s\n", t.Schema, t.Name, t.Rows, t.Bytes, t.Digest)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
