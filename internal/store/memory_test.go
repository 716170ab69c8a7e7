package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/store"
)

// memory is a store that keeps its objects in memory, and fails in the ways that its fields choose.
type memory struct {
	page    int
	before  func(ctx context.Context, call, name string) error // fails a call: put, get, list, delete
	keep    func(name string, old, data []byte) []byte         // bends what a put stores; old is nil for a new object
	show    func([]backup.Object) []backup.Object              // bends a listing
	cut     func(m *memory, name string, data []byte) error    // bends CutOff
	part    func(data []byte) []byte                           // bends ReadRange
	stay    bool                                               // objects are not deleted, though it is said that they were
	unswept error                                              // of Sweep
	sweeps  int
	closed  bool

	mu      sync.Mutex
	objects map[string]object
}

type object struct {
	data []byte
	at   time.Time
}

var _ store.Kind = (*memory)(nil)

// oneByOne is for a before that remembers, since calls come at the same time.
func oneByOne(before func(ctx context.Context, call, name string) error) func(ctx context.Context, call, name string) error {
	var mu sync.Mutex
	return func(ctx context.Context, call, name string) error {
		mu.Lock()
		defer mu.Unlock()
		return before(ctx, call, name)
	}
}

func (m *memory) fail(ctx context.Context, call, name string) error {
	if m.before != nil {
		if err := m.before(ctx, call, name); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (m *memory) Put(ctx context.Context, name string, data []byte) error {
	if err := m.fail(ctx, "put", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	data = bytes.Clone(data)
	if m.keep != nil {
		data = m.keep(name, m.objects[name].data, data)
	}
	if m.objects == nil {
		m.objects = map[string]object{}
	}
	m.objects[name] = object{data, time.Now()}
	return nil
}

func (m *memory) Get(ctx context.Context, name string) ([]byte, error) {
	if err := m.fail(ctx, "get", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[name]
	if !ok {
		return nil, fmt.Errorf("get %s: %w", name, fs.ErrNotExist)
	}
	return bytes.Clone(o.data), nil
}

// List calls m.before for each object too, as "listed", so that a listing can break off.
func (m *memory) List(ctx context.Context, prefix string, fn func(backup.Object) error) error {
	if err := m.fail(ctx, "list", prefix); err != nil {
		return err
	}
	var found []backup.Object
	m.mu.Lock()
	for _, name := range slices.Sorted(maps.Keys(m.objects)) {
		if strings.HasPrefix(name, prefix) {
			found = append(found, backup.Object{Name: name, Size: int64(len(m.objects[name].data)), ModTime: m.objects[name].at})
		}
	}
	m.mu.Unlock()
	if m.show != nil {
		found = m.show(found)
	}
	for _, o := range found {
		if err := m.fail(ctx, "listed", o.Name); err != nil {
			return err
		}
		if err := fn(o); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Delete(ctx context.Context, name string) error {
	if err := m.fail(ctx, "delete", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stay {
		delete(m.objects, name)
	}
	return nil
}

func (m *memory) ReadRange(ctx context.Context, name string, offset, length int64) ([]byte, error) {
	data, err := m.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	data = data[min(offset, int64(len(data))):min(offset+length, int64(len(data)))]
	if m.part != nil {
		data = m.part(data)
	}
	return data, nil
}

func (m *memory) CutOff(_ context.Context, name string, data []byte) error {
	if m.cut != nil {
		return m.cut(m, name, data)
	}
	return errors.New("cut off")
}

func (m *memory) Finish() string { return "kept in memory" }
func (m *memory) Page() int      { return m.page }
func (m *memory) Sweep() error   { m.sweeps++; return m.unswept }
func (m *memory) Close() error   { m.closed = true; return nil }

func (m *memory) names() []string { return slices.Sorted(maps.Keys(m.objects)) }
