package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Rewrap seals every object anew to the current recipients, manifests and marks with a MAC of the current keys too. It can be killed at any
// point and be run again: what is done already is left as it is. It wants the repository alone. progress, which may be nil, is called after each
// object that was read, never at once. A damaged object stays as it is; the error tells of one, a *DamageError, when all others are done.
func (r *Repository) Rewrap(ctx context.Context, progress func(objects int, bytes int64)) error {
	return r.rewrap(ctx, progress, segmentsPrefix, manifestsPrefix, marksPrefix, writerName)
}

// RewrapRecords does that to manifests and marks only: old ones cannot be read by a sealed host before.
func (r *Repository) RewrapRecords(ctx context.Context) error {
	return r.rewrap(ctx, nil, manifestsPrefix, marksPrefix, writerName)
}

func (r *Repository) rewrap(ctx context.Context, progress func(objects int, bytes int64), prefixes ...string) error {
	if r.Sealed() {
		return errSealed()
	}
	var objects []backup.Object
	for _, prefix := range prefixes {
		err := r.store.List(ctx, prefix, func(o backup.Object) error {
			objects = append(objects, o)
			return nil
		})
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
	}
	var mu sync.Mutex
	var damaged error
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for _, o := range objects {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error {
			err := r.rewrapOne(groupCtx, o.Name)
			mu.Lock()
			defer mu.Unlock()
			if errors.As(err, new(*DamageError)) {
				damaged = err
				return nil
			}
			if err == nil && progress != nil {
				progress(1, o.Size)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return errors.Join(damaged, ctx.Err())
}

func (r *Repository) rewrapOne(ctx context.Context, name string) error {
	object, err := r.store.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a listing may lag
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	rewrapped, changed, err := r.RewrapObject(name, object)
	if err != nil || !changed {
		return err
	}
	if err := r.store.Put(ctx, name, rewrapped); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}

// RewrapObject seals a segment, a manifest or a mark anew to the current recipients, unless it is already. What is damaged or not authentic is a
// *DamageError.
func (r *Repository) RewrapObject(name string, object []byte) (rewrapped []byte, changed bool, err error) {
	record := !strings.HasPrefix(name, segmentsPrefix)
	to := r.recipients
	if record {
		to = r.recordsTo // changes with the keys, so that the MAC is of the current ones where the list is
	}
	if sealedFor(object) == to.list {
		return object, false, nil
	}
	if record {
		text, err := r.unsealRecord(name, object)
		if err != nil {
			return nil, false, err
		}
		rewrapped, err = r.sealRecord(name, text)
		return rewrapped, true, err
	}
	codec, err := r.borrowCodec()
	if err != nil {
		return nil, false, err
	}
	defer r.codecs.Put(codec)
	rewrapped, err = codec.rewrap(name, object, to)
	return rewrapped, true, err
}

// rewrap seals the body of an object anew, byte for byte, and reads it back.
func (c *codec) rewrap(name string, object []byte, to audience) ([]byte, error) {
	plain, err := age.Decrypt(bytes.NewReader(object), c.repository.identities...)
	if err != nil {
		return nil, &DamageError{shortName(name), "damaged"}
	}
	body := bytes.NewBuffer(slices.Grow(c.compressed[:0], len(object)))
	if _, err := body.ReadFrom(plain); err != nil {
		return nil, &DamageError{shortName(name), "damaged"}
	}
	c.compressed = body.Bytes()
	key, err := c.encrypt(to)
	if err != nil {
		return nil, fmt.Errorf("rewrap: %w", err)
	}
	back, err := age.Decrypt(bytes.NewReader(c.sealed.Bytes()), key)
	if err != nil {
		return nil, fmt.Errorf("rewrap: %w", err)
	}
	same := &comparer{want: c.compressed}
	if _, err := io.Copy(same, back); err != nil || len(same.want) > 0 {
		return nil, errors.New("rewrap: what was sealed anew does not open")
	}
	sealed := c.sealed.Bytes()
	c.sealed = bytes.Buffer{} // it is the caller's now
	return sealed, nil
}
