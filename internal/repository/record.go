package repository

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/json"
	"fmt"
)

// macLine begins the plain content of a manifest and of a mark; the MAC as 64 hex digits and a newline end the line, and
// JSON follows.
const macLine = "dokku-backup 1 hmac-sha256 "

// putRecord seals v as JSON under name, with a MAC that binds it to that name.
func (r *Repository) putRecord(ctx context.Context, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	codec, err := r.borrowCodec()
	if err != nil {
		return err
	}
	defer r.codecs.Put(codec)
	object, err := codec.seal(kindRecord, append([]byte(macLine+r.keys.mac(name, text)+"\n"), text...))
	if err != nil {
		return err
	}
	if err := r.store.Put(ctx, name, object); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}

// getRecord returns the JSON text of a record that is whole and authentic. Otherwise the error matches fs.ErrNotExist
// or is a *DamageError.
func (r *Repository) getRecord(ctx context.Context, name string) ([]byte, error) {
	object, err := r.store.Get(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	codec, err := r.borrowCodec()
	if err != nil {
		return nil, err
	}
	defer r.codecs.Put(codec)
	plain := &limited{}
	if err := codec.unseal(object, kindRecord, plain); err != nil {
		return nil, &DamageError{name, "damaged"}
	}
	line, text, _ := bytes.Cut(plain.data, []byte("\n"))
	if !hmac.Equal(line, []byte(macLine+r.keys.mac(name, text))) {
		return nil, &DamageError{name, "not authentic: changed by somebody without the key"}
	}
	return text, nil
}
