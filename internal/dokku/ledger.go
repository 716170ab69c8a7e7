package dokku

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Ledger remembers which commit each image of an app was built from: one file of JSON lines an app, the newest entries
// last. Hooks write it during deploys (Host.Hook), possibly several at once; every change is a new file that replaces
// the old one under a lock, so that neither a concurrent deploy nor a kill can lose or cut an entry.
type Ledger struct {
	Dir string
}

// ledgerEntries is how many entries are kept of an app. A deploy makes two.
const ledgerEntries = 200

// Entry is one line of a ledger: an extraction, by which a build begins, or an image that was released.
type Entry struct {
	At     time.Time `json:"at"`              // of an image: when it was first released
	Run    string    `json:"run"`             // the dokku run, equal for the extraction and the release of one build
	Commit string    `json:"commit"`          // as Dokku gave it
	Image  string    `json:"image,omitempty"` // sha256:...; empty for an extraction
	Layers int       `json:"layers,omitempty"`
	Chain  string    `json:"chain,omitempty"` // digest of the image's layers
}

// Ledger is the host's ledger.
func (h *Host) Ledger() Ledger { return Ledger{Dir: filepath.Join(h.DataDir(), "ledger")} }

// RecordExtract notes that the run builds the app from rev.
func (l Ledger) RecordExtract(ctx context.Context, run, app, rev string) error {
	if !isSHA(rev) {
		return fmt.Errorf("ledger of app %q: revision %q is not a commit", app, rev)
	}
	return l.change(ctx, app, func(entries []Entry) []Entry {
		return append(entries, Entry{At: time.Now().UTC(), Run: run, Commit: rev})
	})
}

// RecordRelease notes that the run finished image for the app. A run that built nothing, such as a start after a stop,
// releases what was there before, yet often as a new image: the same layers with the labels put on again, or, where
// grows is true, with layers for the app's config on top. Such an image takes over the commit of the image that it was
// made of; if none is known by its layers, nothing is recorded.
func (l Ledger) RecordRelease(ctx context.Context, run, app string, image Image, grows bool) error {
	return l.change(ctx, app, func(entries []Entry) []Entry {
		e := Entry{At: time.Now().UTC(), Run: run, Image: image.ID, Layers: len(image.Layers), Chain: chain(image.Layers)}
		if built, ok := last(entries, func(o Entry) bool { return o.Image == "" && o.Run == run }); ok {
			e.Commit = built.Commit
			return append(entries, e)
		}
		base, ok := last(entries, func(o Entry) bool { return o.Image == image.ID || o.isBaseOf(image, grows) })
		if !ok || base.Image == image.ID {
			return entries
		}
		e.Commit, e.At = base.Commit, base.At
		return append(entries, e)
	})
}

func (e Entry) isBaseOf(image Image, grows bool) bool {
	n := e.Layers
	if e.Image == "" || n == 0 || n > len(image.Layers) || n < len(image.Layers) && !grows {
		return false
	}
	return e.Chain == chain(image.Layers[:n])
}

func chain(layers []string) string {
	if len(layers) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(layers, "\n")))
	return hex.EncodeToString(sum[:])
}

// last is the newest entry that fits.
func last(entries []Entry, fits func(Entry) bool) (Entry, bool) {
	for _, e := range slices.Backward(entries) {
		if fits(e) {
			return e, true
		}
	}
	return Entry{}, false
}

// Rename moves what is known of app old to app new. Dokku deletes the old name right afterwards, so this must run in
// post-app-rename-setup, not later. An app without entries is no error.
func (l Ledger) Rename(ctx context.Context, old, new string) error {
	return l.locked(ctx, func() error {
		from, err := l.file(old)
		if err != nil {
			return err
		}
		to, err := l.file(new)
		if err != nil {
			return err
		}
		if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rename the ledger of app %q: %w", old, err)
		}
		return nil
	})
}

// Delete forgets the app. One without entries is no error.
func (l Ledger) Delete(ctx context.Context, app string) error {
	return l.locked(ctx, func() error {
		name, err := l.file(app)
		if err != nil {
			return err
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete the ledger of app %q: %w", app, err)
		}
		return nil
	})
}

// Entries are the app's entries, the oldest first; none is no error. A line that cannot be read is skipped: one entry
// less means a deployment that is inferred instead of recorded, never a wrong one.
func (l Ledger) Entries(app string) ([]Entry, error) {
	name, err := l.file(app)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the ledger of app %q: %w", app, err)
	}
	var entries []Entry
	for line := range bytes.Lines(data) {
		var e Entry
		if json.Unmarshal(line, &e) == nil && isSHA(e.Commit) {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

func (l Ledger) file(app string) (string, error) {
	if !validAppName(app) {
		return "", fmt.Errorf("ledger: %q is not a valid name of an app", app)
	}
	return filepath.Join(l.Dir, app+".jsonl"), nil
}

// change replaces the app's entries by what edit makes of them, the newest ledgerEntries of it.
func (l Ledger) change(ctx context.Context, app string, edit func([]Entry) []Entry) error {
	return l.locked(ctx, func() error {
		old, err := l.Entries(app)
		if err != nil {
			return err
		}
		entries := edit(old)
		entries = entries[max(0, len(entries)-ledgerEntries):]
		if err := l.write(app, entries); err != nil {
			return fmt.Errorf("write the ledger of app %q: %w", app, err)
		}
		return nil
	})
}

// write replaces the app's file. The lock is held, so the temporary name, which is no valid app's, is its own.
func (l Ledger) write(app string, entries []Entry) (err error) {
	name, err := l.file(app)
	if err != nil {
		return err
	}
	temp := filepath.Join(l.Dir, "."+app+".new")
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // a second Close after the one below only repeats its result
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for _, e := range entries {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	if err := errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, name)
}

// locked runs change while no other process changes the ledger. It waits for the lock until ctx ends.
func (l Ledger) locked(ctx context.Context, change func() error) error {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return fmt.Errorf("make the ledger: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(l.Dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock the ledger: %w", err)
	}
	defer f.Close() // unlocks
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return change()
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock the ledger: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock the ledger: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
