package repository

import (
	"encoding/json"
)

// Seal is v as JSON, sealed so that it opens only under this name and with what this host keeps of the keys.
func (r *Repository) Seal(name string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return r.sealRecord(name, text)
}

// Unseal is the opposite of Seal. An object that is not whole and authentic is a *DamageError.
func (r *Repository) Unseal(name string, object []byte, v any) error {
	text, err := r.unsealRecord(name, object)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// NeedKey is a *backup.Problem when the repository was opened without an identity, so that no segment of it can be read.
func (r *Repository) NeedKey() error {
	if r.Sealed() {
		return errSealed()
	}
	return nil
}
