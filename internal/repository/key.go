package repository

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"github.com/zeebo/blake3"
	"golang.org/x/crypto/ssh"
)

// keys are derived from an identity when a repository begins to use it, its origin: whoever has that identity can name segments and
// authenticate manifests, and nobody else, not even who can write to the store and knows the public recipients.
type keys struct {
	Segments  secret `json:"segments"`            // keyed BLAKE3
	Manifests secret `json:"manifests,omitempty"` // HMAC-SHA256; none in retired keys that authenticate nothing any more
	Records   secret `json:"records,omitempty"`   // seed of the ed25519 key that opens manifests and marks
}

// keySize is the length of each derived key, in bytes.
const keySize = 32

// secret is key material. Its text form is hexadecimal; printed it says nothing.
type secret []byte

func (s secret) String() string { return "(secret)" }

func (s secret) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s), nil }

func (s *secret) UnmarshalText(text []byte) (err error) {
	*s, err = hex.AppendDecode(nil, text)
	return err
}

func deriveKeys(identity *age.X25519Identity, repository string) keys {
	derive := func(info string) secret { return derive([]byte(identity.String()), repository, info, keySize) }
	return keys{
		Segments:  derive("dokku-backup 1 segment names"),
		Manifests: derive("dokku-backup 1 manifest mac"),
		Records:   derive("dokku-backup 1 records"),
	}
}

func derive(key []byte, salt, info string, length int) secret {
	derived, err := hkdf.Key(sha256.New, key, []byte(salt), info, length)
	if err != nil {
		panic("repository: hkdf: " + err.Error()) // only for lengths out of range
	}
	return derived
}

// whole tells whether the keys can be used; only retired ones may lack all but the segments'.
func (k keys) whole() bool {
	return len(k.Segments) == keySize && len(k.Manifests) == keySize && len(k.Records) == keySize
}

// segmentName is the name of the segment with this plain content.
func (k keys) segmentName(plain []byte) string {
	h, err := blake3.NewKeyed(k.Segments)
	if err != nil {
		panic("repository: blake3: " + err.Error()) // only for a key that is not 32 bytes long
	}
	h.Write(plain)
	return hex.EncodeToString(h.Sum(nil))
}

// mac authenticates text as the content of the object called name.
func (k keys) mac(name string, text []byte) string {
	h := hmac.New(sha256.New, k.Manifests)
	h.Write([]byte(name + "\n"))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// word is short enough for a person to compare: who has other keys has another word.
func (k keys) word(repository string) string {
	all := append(append(append(secret{}, k.Segments...), k.Manifests...), k.Records...)
	return hex.EncodeToString(derive(all, repository, "dokku-backup 1 fingerprint", 8))
}

// records is the identity that opens manifests and marks, and nothing else, with its recipient. It is an SSH key since age makes no identity of
// its own kind from given bytes.
func (k keys) records() (*agessh.Ed25519Identity, recipient) {
	private := ed25519.NewKeyFromSeed(k.Records)
	identity, err := agessh.NewEd25519Identity(private)
	if err != nil {
		panic("repository: records key: " + err.Error()) // only for a key of another kind
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		panic("repository: records key: " + err.Error())
	}
	return identity, recipient{identity.Recipient(), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))}
}
