package sftp_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"
)

// BenchmarkPut puts objects as large as segments, from so many goroutines, and lets the program sftp put the same as files.
func BenchmarkPut(b *testing.B) {
	const size, count = 8 << 20, 64
	data := make([]byte, size)
	rand.Read(data)
	server := startServer(b)

	for _, workers := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("store, %d at once", workers), func(b *testing.B) {
			s := open(b, server.config())
			b.SetBytes(size * count)
			for range b.N {
				var group errgroup.Group
				group.SetLimit(workers)
				for i := range count {
					group.Go(func() error { return s.Put(b.Context(), fmt.Sprintf("segments/%02x/object", i), data) })
				}
				if err := group.Wait(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}

	dir := b.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, server.key, 0o600); err != nil {
		b.Fatal(err)
	}
	var batch bytes.Buffer
	file := filepath.Join(dir, "object")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		b.Fatal(err)
	}
	for i := range count {
		fmt.Fprintf(&batch, "put %s /home/object-%d\n", file, i)
	}
	for name, option := range map[string]string{"the program sftp": "-q", "the program sftp, flushing": "-f"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size * count)
			for range b.N {
				cmd := exec.CommandContext(b.Context(), "sftp", option, "-b", "-", "-i", key, "-P", strconv.Itoa(server.port),
					"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", server.user+"@127.0.0.1")
				cmd.Stdin = bytes.NewReader(batch.Bytes())
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("sftp: %v\n%s", err, out)
				}
			}
		})
	}
}
