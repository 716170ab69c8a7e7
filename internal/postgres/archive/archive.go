// Package archive reads and writes PostgreSQL's custom archive format, the output of
// pg_dump -Fc --compress=0, as a stream: nothing is sought, and only the head is held in memory.
//
// Start at NewReader. It splits an archive into its head (header and table of contents) and its
// blocks of data, one for each table or group of large objects; of a table's block it gives the
// rows alone, free of framing, so that they can be counted, digested and stored. NewWriter puts
// head and blocks together again, into an archive that pg_restore loads.
//
// An archive of an unknown version or a compressed one is refused with a typed error, and can
// still be passed on whole through Reader.Raw.
//
// The format has no specification but PostgreSQL's source, src/bin/pg_dump: pg_backup_archiver.c
// (WriteHead, ReadHead, WriteToc, ReadToc, WriteInt, WriteStr, WriteOffset) for the head,
// pg_backup_custom.c (_StartData, _StartLOs, _CustomWriteFunc, _EndData) for the blocks. Compared
// for this package: the sources of PostgreSQL 10, 13, 14, 15, 16, 17 and 18. Their versions, from
// pg_backup_archiver.h, and what each changed in the bytes:
//
//	1.12  before 10.3  each large object has an entry of its own, besides the one for their data
//	1.13  10.3 to 11   nothing (pg_restore treats search_path differently)
//	1.14  12 to 15     an entry has a table access method
//	1.15  16           the header has a compression algorithm, a byte, for the level, an integer
//	1.16  17 and 18    an entry has a relkind; there may be several blocks of large objects
package archive

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"
)

// Version is an archive's format version. The revision, a third number, never changes the bytes
// (pg_backup_archiver.h: K_VERS_MAX admits all) and is left out.
type Version struct{ Major, Minor byte }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (v Version) atLeast(minor byte) bool { return v.Minor >= minor }

func (v Version) known() bool {
	return v.Major == 1 && v.Minor >= oldestMinor && v.Minor <= newestMinor
}

const (
	oldestMinor = 12
	newestMinor = 16
)

// VersionError says that an archive has a format version that this package does not know.
type VersionError struct{ Found Version }

func (e *VersionError) Error() string {
	return fmt.Sprintf("archive format %s is not known, only 1.%d to 1.%d", e.Found, oldestMinor, newestMinor)
}

// CompressionError says that an archive's blocks are compressed, and so cannot be split.
type CompressionError struct{ Method string }

func (e *CompressionError) Error() string {
	return fmt.Sprintf("archive is compressed with %s; only uncompressed ones (--compress=0) can be split", e.Method)
}

// Head is what stands before an archive's first block. Strings that the archive has as NULL are
// empty here.
type Head struct {
	// Raw holds the head's exact bytes. By itself it is a valid archive without data, enough for
	// pg_restore --section=pre-data and --section=post-data.
	Raw []byte

	Version     Version
	Compression string // none, gzip, lz4, zstd, or a number in quotes for an unknown one
	// Created is the clock of the machine that ran pg_dump, in its local time, shown as UTC: the
	// archive does not say which zone that was.
	Created       time.Time
	Database      string
	ServerVersion string
	DumpVersion   string // of pg_dump
	Entries       []Entry

	offsetSize int         // bytes of a position in the file
	byID       map[int]int // dump id -> index of Entries
}

// Entry is an entry of the table of contents.
type Entry struct {
	DumpID       int
	HadDumper    bool
	TableOID     uint32 // of the catalog that OID is from
	OID          uint32
	Tag          string // the object's name, unquoted
	Desc         string // its kind, such as "TABLE DATA"
	Section      Section
	Defn         string // SQL that makes it
	DropStmt     string
	CopyStmt     string // SQL that loads its data
	Namespace    string // its schema, unquoted
	Tablespace   string
	TableAM      string // since 1.14
	Relkind      byte   // pg_class.relkind, since 1.16; 0 if there is none
	Owner        string
	Dependencies []int // dump ids
	DataState    DataState

	stateAt int // index in Head.Raw of the byte that holds DataState
}

// HasData says whether a whole archive holds a block for the entry.
func (e *Entry) HasData() bool { return e.DataState != NoData }

// hasRows says whether the entry's block is COPY text: _tocEntry.copyStmt is set by dumpTableData
// in pg_dump.c when the data is not dumped as INSERTs.
func (e *Entry) hasRows() bool { return e.Desc == "TABLE DATA" && e.CopyStmt != "" }

// blockType is the type that WriteDataChunksForTocEntry in pg_backup_archiver.c gives the entry's block.
func (e *Entry) blockType() BlockType {
	if e.Desc == "BLOBS" {
		return LargeObjects
	}
	return Data
}

// name names the entry in messages.
func (e *Entry) name() string {
	return fmt.Sprintf("%s %q (dump id %d)", e.Desc, e.Tag, e.DumpID)
}

// Section is the part of a restore that an entry belongs to (pg_backup.h: teSection).
type Section int

const (
	SectionNone Section = iota + 1 // comments, grants: goes with what it depends on
	SectionPreData
	SectionData
	SectionPostData
)

// DataState says whether an entry has a block, and whether its position in the file is recorded
// (pg_backup_archiver.h: K_OFFSET_*). It is not when pg_dump wrote to a pipe.
type DataState byte

const (
	PositionUnset DataState = iota + 1
	PositionSet
	NoData
)

// BlockType is the kind of a block (pg_backup_archiver.h: BLK_*).
type BlockType byte

const (
	Data         BlockType = 1 // of a table
	LargeObjects BlockType = 3
)

// Block is the start of a block of data; Reader.Read gives its content.
type Block struct {
	Type   BlockType
	DumpID int
	Entry  *Entry // in Head.Entries

	// Rows says that the content is a table's rows in COPY's text format, each ended by '\n'.
	// Otherwise (large objects, or a table dumped as INSERTs) the content is the block's bytes as
	// they stand in the archive behind the block's type and id, framing and end mark included.
	Rows bool
}

// terminator ends the content of each block of rows: dumpTableData_copy in pg_dump.c writes it
// behind the last row, the same from PostgreSQL 10 to 18. It does so after a failed COPY too, and
// then exits without the block's end mark, so that a terminator alone proves nothing.
const terminator = "\\.\n\n\n"

// intSize is the size of C's int in the archive, without its sign byte. The header could name
// another, but PostgreSQL runs on no machine where it is.
const intSize = 4

// intLen is the length of an integer in the archive: a sign byte, then little endian.
const intLen = 1 + intSize

// decodeInt reads an integer that WriteInt of pg_backup_archiver.c wrote. ok is false when it does
// not fit a C int.
func decodeInt(b []byte) (v int, ok bool) {
	v = int(binary.LittleEndian.Uint32(b[1:intLen]))
	ok = v <= math.MaxInt32
	if b[0] != 0 {
		v = -v
	}
	return v, ok
}

// appendInt appends v, which must not be negative, as decodeInt reads it.
func appendInt(b []byte, v int) []byte {
	return binary.LittleEndian.AppendUint32(append(b, 0), uint32(v))
}

// unexpected turns the end of the stream, where more must follow, into io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
