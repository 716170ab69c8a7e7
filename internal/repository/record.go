package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// macLine begins the plain content of a manifest and of a mark; the MAC as 64 hex digits and a newline end the line, and
// JSON follows.
const macLine = "dokku-backup 1 hmac-sha256 "

func (k keys) macLine(name string, text []byte) []byte { return []byte(macLine + k.mac(name, text)) }

// putRecord seals v as JSON under name, with a MAC that binds it to that name.
func (r *Repository) putRecord(ctx context.Context, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	object, err := r.sealRecord(name, text)
	if err != nil {
		return err
	}
	if err := r.store.Put(ctx, name, object); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}

// sealRecord is the object of the record with this name and text.
func (r *Repository) sealRecord(name string, text []byte) ([]byte, error) {
	codec, err := r.borrowCodec()
	if err != nil {
		return nil, err
	}
	defer r.codecs.Put(codec)
	object, err := codec.seal(kindRecord, append(append(r.keys.Current.macLine(name, text), '\n'), text...))
	return bytes.Clone(object), err
}

// getRecord returns the JSON text of a record that is whole and authentic. Otherwise the error matches fs.ErrNotExist
// or is a *DamageError.
func (r *Repository) getRecord(ctx context.Context, name string) ([]byte, error) {
	object, err := r.store.Get(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return r.unsealRecord(name, object)
}

// unsealRecord is the JSON text of the record in object; one that is not whole and authentic is a *DamageError.
func (r *Repository) unsealRecord(name string, object []byte) ([]byte, error) {
	codec, err := r.borrowCodec()
	if err != nil {
		return nil, err
	}
	defer r.codecs.Put(codec)
	plain := &limited{}
	if err := codec.unseal(object, kindRecord, plain); errors.As(err, new(*backup.Problem)) {
		return nil, err
	} else if err != nil {
		return nil, &DamageError{name, "damaged"}
	}
	line, text, _ := bytes.Cut(plain.data, []byte("\n"))
	if !r.keys.authentic(line, name, text) {
		return nil, &DamageError{name, "not authentic: changed by somebody without the key"}
	}
	return text, nil
}
