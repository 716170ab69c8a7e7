package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store"
)

const allSteps = "write, read back, read a part, list, overwrite, final name, cut off, delete, list many"

// refuse fails a call for good.
func refuse(call, message string) func(context.Context, string, string) error {
	return func(_ context.Context, c, _ string) error {
		if c == call {
			return &backup.Problem{Message: message, Hints: []string{"ask who runs it"}}
		}
		return nil
	}
}

// young hides from a listing what was written less than age ago.
func young(age time.Duration) func([]backup.Object) []backup.Object {
	return func(all []backup.Object) []backup.Object {
		return slices.DeleteFunc(all, func(o backup.Object) bool { return time.Since(o.ModTime) < age })
	}
}

func shifted(by time.Duration) func([]backup.Object) []backup.Object {
	return func(all []backup.Object) []backup.Object {
		for i := range all {
			all[i].ModTime = all[i].ModTime.Add(by)
		}
		return all
	}
}

func TestProve(t *testing.T) {
	tests := []struct {
		name        string
		store       *memory
		wantFailed  string // names of the steps that failed
		wantErr     string // what it begins with
		wantWarning string // of any step
		wantLeft    bool
	}{
		{name: "sound", store: &memory{}},
		{name: "sound, with pages", store: &memory{page: 1000}},
		{name: "larger pages than are tried", store: &memory{page: 5000}},
		{
			name: "read-only", store: &memory{before: refuse("put", "it can only be read")},
			wantFailed: "write", wantErr: "write: it can only be read; nothing, or not everything, can be stored there",
		},
		{
			name: "full", wantFailed: "write", wantErr: "write: no space is left",
			store: &memory{before: func(ctx context.Context, call, name string) error {
				if strings.HasSuffix(name, "/large") {
					return refuse("put", "no space is left")(ctx, call, name)
				}
				return nil
			}},
		},
		{
			name: "what was written cannot be read", store: &memory{before: refuse("get", "it may not be read")},
			wantFailed: "read back", wantErr: "read back: it may not be read; ",
		},
		{
			name:       "cuts large objects short",
			store:      &memory{keep: func(_ string, _, data []byte) []byte { return data[:min(len(data), 1<<20)] }},
			wantFailed: "read back, list", wantErr: "read back: 8388608 bytes were written and 1048576 came back",
		},
		{
			name: "changes a byte", wantFailed: "read back", wantErr: "read back: 8388608 bytes were written and came back changed",
			store: &memory{keep: func(name string, _, data []byte) []byte {
				if strings.HasSuffix(name, "/large") {
					data[4<<20] ^= 1
				}
				return data
			}},
		},
		{
			name: "lies about a size", wantFailed: "list", wantErr: "list: an object of 0 bytes is listed with 1;",
			store: &memory{show: func(all []backup.Object) []backup.Object {
				for i := range all {
					all[i].Size++
				}
				return all
			}},
		},
		{
			name: "tells of what is not there as of something else", wantFailed: "read back", wantErr: "read back: an object that is not there is not told as such",
			store: &memory{before: func(_ context.Context, call, name string) error {
				if call == "get" && (strings.HasSuffix(name, "/absent") || strings.HasSuffix(name, "/cut")) {
					return &backup.Problem{Message: "404"}
				}
				return nil
			}},
		},
		{name: "ignores what part is asked for", store: &memory{part: func(data []byte) []byte { return append(data, 0) }}, wantFailed: "read a part", wantErr: "read a part: 1048581 bytes were written and 1048582 came back"},
		{name: "a listing that lags", store: &memory{show: young(2 * time.Second)}, wantWarning: "its listing shows only after 2.0 s what was changed"},
		{name: "a listing that lags for long", store: &memory{show: young(time.Minute)}, wantFailed: "list", wantErr: "list: 3 of 3 objects that are there are not listed"},
		{
			name: "a listing of one page only", store: &memory{page: 1000, show: func(all []backup.Object) []backup.Object { return all[:min(len(all), 1000)] }},
			wantFailed: "list many", wantErr: "list many: 1 of 1001 objects that are there are not listed; a large repository is not seen whole",
		},
		{
			name: "a listing that repeats", store: &memory{show: func(all []backup.Object) []backup.Object { return append(all, all...) }},
			wantFailed: "list", wantErr: "list: one listing shows ",
		},
		{
			name: "keeps what was there", wantFailed: "overwrite", wantErr: "overwrite: the object that was there is still there, whole or in part",
			store: &memory{keep: func(_ string, old, data []byte) []byte {
				if old != nil {
					return old
				}
				return data
			}},
		},
		{
			name: "refuses to overwrite", wantFailed: "overwrite", wantErr: "overwrite: objects are locked; an object that is damaged there could not be healed",
			store: func() *memory {
				seen := map[string]bool{}
				return &memory{before: oneByOne(func(_ context.Context, call, name string) error {
					if call == "put" && seen[name] {
						return &backup.Problem{Message: "objects are locked"}
					}
					seen[name] = seen[name] || call == "put"
					return nil
				})}
			}(),
		},
		{
			name: "overwrites in place", wantFailed: "overwrite", wantErr: "overwrite: the object that was there is still there, whole or in part",
			store: &memory{keep: func(_ string, old, data []byte) []byte {
				return append(bytes.Clone(data), old[min(len(old), len(data)):]...)
			}},
		},
		{
			name: "half an upload counts", wantFailed: "cut off", wantErr: "cut off: an upload of 2097152 bytes that was cut off half-way left an object of 1048576 bytes; ",
			store: &memory{cut: func(m *memory, name string, data []byte) error {
				return errors.Join(m.Put(context.Background(), name, data[:len(data)/2]), errors.New("cut"))
			}},
		},
		{
			name: "half an upload is listed", wantFailed: "cut off", wantErr: "cut off: an upload that was cut off half-way is listed as an object; ",
			store: &memory{cut: func(m *memory, name string, data []byte) error {
				return errors.Join(m.Put(context.Background(), name+".part", data[:len(data)/2]), errors.New("cut"))
			}},
		},
		{name: "a cut upload is accepted", store: &memory{cut: func(*memory, string, []byte) error { return nil }}, wantFailed: "cut off", wantErr: "cut off: an upload that was cut off half-way was accepted"},
		{
			name: "no deleting", store: &memory{before: refuse("delete", "s3:DeleteObject is denied")}, wantFailed: "delete", wantLeft: true,
			wantErr: "delete: s3:DeleteObject is denied; objects cannot be deleted: retention could not free space there, and prune would fail",
		},
		{name: "what a cut upload left stays", store: &memory{unswept: errors.New("denied")}, wantWarning: "what the upload left is not seen, but it cannot be removed: denied"},
		{name: "clock ahead", store: &memory{show: shifted(90 * time.Second)}, wantWarning: "its clock is 1m30s ahead of this host's"},
		{name: "clock behind", store: &memory{show: shifted(-time.Hour)}, wantWarning: "its clock is 1h0m0s behind this host's"},
		{name: "clock a little off", store: &memory{show: shifted(59 * time.Second)}},
		{
			name: "fails in passing", store: func() *memory {
				calls := 0
				return &memory{page: 1000, before: oneByOne(func(_ context.Context, call, _ string) error {
					if calls++; call != "listed" && calls%17 == 0 {
						return errPassing
					}
					return nil
				})}
			}(),
		},
		{
			name: "silent", store: &memory{before: func(context.Context, string, string) error { return errPassing }},
			wantFailed: "write", wantErr: "write: an object of 1000 bytes: 503 slow down (tried 3 times); nothing", wantLeft: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				proof := prove(t, tt.store)
				var failed, warnings []string
				for _, s := range proof.Steps {
					if !s.OK && s.Reason == "" {
						t.Errorf("step %q failed without a reason", s.Name)
					}
					if s.Meaning != "" {
						failed = append(failed, s.Name)
					}
					warnings = append(warnings, s.Warning)
				}
				if got := strings.Join(failed, ", "); got != tt.wantFailed {
					t.Errorf("failed: got %q, want %q\n%+v", got, tt.wantFailed, proof.Steps)
				}
				if got := strings.Join(warnings, ""); !strings.HasPrefix(got, tt.wantWarning) || tt.wantWarning == "" && got != "" {
					t.Errorf("warnings: got %q, want %q", got, tt.wantWarning)
				}
				switch err := proof.Err(); {
				case tt.wantErr == "" && err != nil:
					t.Errorf("got error %v, want none", err)
				case tt.wantErr != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.wantErr)):
					t.Errorf("got error %v, want one that begins with %q", err, tt.wantErr)
				}
				if got := tt.store.sweeps; got > 1 {
					t.Errorf("sweeps: got %d, want one at most", got)
				}
				if got := len(tt.store.objects) + len(proof.Left); (got > 0) != tt.wantLeft {
					t.Errorf("left: got %q, and %q in the store", proof.Left, tt.store.names())
				}
			})
		})
	}
}

// prove also checks what every proof must give: each step once, in order, reported as it is.
func prove(t *testing.T, m *memory) store.Proof {
	t.Helper()
	var reported []store.Step
	proof, err := store.Prove(t.Context(), m, func(s store.Step) { reported = append(reported, s) })
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range reported {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, ", "); got != allSteps {
		t.Errorf("steps reported: got %q, want %q", got, allSteps)
	}
	if !slices.EqualFunc(reported, proof.Steps, func(a, b store.Step) bool { return a.Name == b.Name && a.OK == b.OK && a.Reason == b.Reason }) {
		t.Errorf("reported: got %+v, want %+v", reported, proof.Steps)
	}
	return proof
}

// TestProveInPages: the listing is of more than one page, where that is not too much.
func TestProveInPages(t *testing.T) {
	for page, want := range map[int]string{
		0:    "20 objects",
		100:  "101 objects, of which a page holds 100",
		1000: "1001 objects, of which a page holds 1000",
		5000: "1100 objects; more than the 5000 of a page were not tried",
	} {
		synctest.Test(t, func(t *testing.T) {
			steps := prove(t, &memory{page: page}).Steps
			if got := steps[len(steps)-1].Found; got != want {
				t.Errorf("pages of %d: got %q, want %q", page, got, want)
			}
		})
	}
}

// TestProveSlow: many objects are written for a bounded time only.
func TestProveSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{page: 1000, before: func(_ context.Context, call, _ string) error {
			if call == "put" {
				time.Sleep(2 * time.Second)
			}
			return nil
		}}
		began := time.Now()
		proof := prove(t, m)
		if err := proof.Err(); err != nil {
			t.Error(err)
		}
		if got, most := time.Since(began), 3*time.Minute; got > most {
			t.Errorf("took %v, want at most %v", got, most)
		}
		if got, want := proof.Steps[8].Found, "481 objects; more than the 1000 of a page were not tried"; got != want {
			t.Errorf("found: got %q, want %q", got, want)
		}
		if got, want := proof.WriteRate, int64(8<<20/2); got != want {
			t.Errorf("write rate: got %d bytes/s, want %d", got, want)
		}
	})
}

// TestProveInterrupted at each of the calls of a proof: it cleans up all the same.
func TestProveInterrupted(t *testing.T) {
	for at := range 60 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			calls := 0
			m := &memory{page: 50, before: oneByOne(func(context.Context, string, string) error {
				if calls++; calls > at {
					cancel()
				}
				return nil
			})}
			_, err := store.Prove(ctx, m, func(store.Step) {})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("at call %d: got error %v, want context.Canceled", at, err)
			}
			if len(m.objects) > 0 {
				t.Errorf("at call %d: left: got %q, want nothing", at, m.names())
			}
		})
	}
}

func TestProveFolder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "made by the proof")
	l, err := store.ParseLocation("file://" + root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), l, nil, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	proof, err := store.Prove(t.Context(), s.Probe(), func(store.Step) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range proof.Steps {
		if !step.OK || step.Warning != "" {
			t.Errorf("step: got %+v, want it done without a warning", step)
		}
	}
	if proof.WriteRate <= 0 || proof.ReadRate <= 0 || len(proof.Left) > 0 {
		t.Errorf("got %d and %d bytes/s and %q left, want two rates and nothing left", proof.WriteRate, proof.ReadRate, proof.Left)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) > 0 {
		t.Errorf("left in the folder: got %v and error %v, want nothing", entries, err)
	}
}

// TestFolderProblems: what trying again does not change is told at once, by its cause.
func TestFolderProblems(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Location{Kind: "file", Path: file}, nil, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var problem *backup.Problem
	if err := s.Put(t.Context(), "segments/ab/abc", nil); !errors.As(err, &problem) || problem.Message != file+" is not a folder, or lies below what is none" {
		t.Errorf("put below a file: got error %v, want a problem that says so", err)
	}
	if _, err := s.Get(t.Context(), "absent"); errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get below a file: got %v, want another error than that it is not there", err)
	}
}

func TestProofJSON(t *testing.T) {
	got, err := json.Marshal(store.Proof{
		Steps:     []store.Step{{Name: "write", OK: true, Found: "8 MiB at 8.4 MB/s", Took: 12}, {Name: "delete", Reason: "denied", Meaning: "no space", Hints: []string{"ask"}}},
		WriteRate: 8400000, Skew: -3, Left: []string{"proof-1/small"},
	})
	const want = `{"steps":[{"name":"write","ok":true,"found":"8 MiB at 8.4 MB/s","took_ms":12},` +
		`{"name":"delete","ok":false,"reason":"denied","meaning":"no space","hints":["ask"],"took_ms":0}],` +
		`"write_bytes_per_second":8400000,"clock_skew_seconds":-3,"left":["proof-1/small"]}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s and error %v\nwant %s", got, err, want)
	}
}
