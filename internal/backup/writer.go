package backup

import "io"

// Writer takes the content of one backup. The segments of a Content are complete only after the whole writer was closed
// without an error. One goroutine at a time.
type Writer interface {
	// Rows stores COPY text: rows that each end in a newline. It counts and fingerprints them.
	Rows(src io.Reader) (*Content, error)
	// Bytes stores content that has no rows.
	Bytes(src io.Reader) (*Content, error)
}
