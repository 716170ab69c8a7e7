package repository

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// recipient is a public key that objects are sealed to, and its text in repository.json.
type recipient struct {
	age.Recipient
	text string
}

// parseRecipient reads an age public key or an SSH one of kind ed25519, whose comment is left out.
func parseRecipient(text string) (recipient, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "ssh-ed25519 ") {
		text = strings.Join(strings.Fields(text)[:min(2, len(strings.Fields(text)))], " ")
		parsed, err := agessh.ParseRecipient(text)
		if err == nil {
			return recipient{parsed, text}, nil
		}
	}
	parsed, err := age.ParseX25519Recipient(text)
	if err == nil {
		return recipient{parsed, text}, nil
	}
	if strings.HasPrefix(text, "AGE-SECRET-KEY-") || strings.Contains(text, "PRIVATE KEY") {
		return recipient{}, &backup.Problem{
			Message: "that is a secret key, which belongs on no command line: a recipient is given by its public key",
			Hints:   []string{"get it with: age-keygen -y FILE"},
		}
	}
	return recipient{}, &backup.Problem{
		Message: fmt.Sprintf("%q is no public key that a repository can be sealed to", text),
		Hints:   []string{"give one that begins with age1, or an SSH one in quotes: 'ssh-ed25519 AAAA...'"},
	}
}

func parseRecipients(texts []string) ([]recipient, error) {
	var all []recipient
	for _, text := range texts {
		one, err := parseRecipient(text)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// audience is whom an object is sealed to.
type audience struct {
	recipients []recipient
	list       string // names the recipients in the object's header
}

func newAudience(recipients ...recipient) audience {
	h := sha256.New()
	for _, r := range recipients {
		io.WriteString(h, r.text+"\n")
	}
	return audience{recipients, hex.EncodeToString(h.Sum(nil)[:8])}
}

// listStanza is the type of the stanza in an age header that names the list of recipients: age itself does not tell to whom a file is sealed.
const listStanza = "dokku-backup"

// sealedFor is the list of recipients that the header of an object names; "" where it names none, as the first versions of this program did.
func sealedFor(object []byte) string {
	header, err := age.ExtractHeader(bytes.NewReader(object))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(header)) {
		if list, is := strings.CutPrefix(line, "-> "+listStanza+" "); is {
			return strings.TrimSuffix(list, "\n")
		}
	}
	return ""
}

// headerSizes are the lengths of an object's age header: as it is written now, and as it was written without the list.
func (a audience) headerSizes() ([]int64, error) {
	var object bytes.Buffer
	w, err := age.Encrypt(&object, &envelope{to: a})
	if err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	header, err := age.ExtractHeader(&object)
	if err != nil {
		return nil, err
	}
	size := int64(len(header))
	return []int64{size, size - int64(len("-> "+listStanza+" "+a.list+"\n\n"))}, nil
}

// envelope wraps the key of one object for an audience, and remembers it.
type envelope struct {
	to      audience
	fileKey []byte
}

// Wrap implements age.Recipient.
func (e *envelope) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	e.fileKey = slices.Clone(fileKey)
	var stanzas []*age.Stanza
	for _, r := range e.to.recipients {
		wrapped, err := r.Wrap(fileKey)
		if err != nil {
			return nil, err
		}
		stanzas = append(stanzas, wrapped...)
	}
	return append(stanzas, &age.Stanza{Type: listStanza, Args: []string{e.to.list}}), nil
}
