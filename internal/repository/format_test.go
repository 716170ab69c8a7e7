package repository

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// TestFormatPage holds doc/format.md to the code: its example values and its numbers.
func TestFormatPage(t *testing.T) {
	identity, err := age.ParseX25519Identity("AGE-SECRET-KEY-1NHYSDXJCPM34MQM8EW97KPAJJ53KGYNNG3CYCLN03FHVV8PZZAJQRWTCUK")
	check(t, err)
	info := Info{
		Format: 1, ID: "000102030405060708090a0b0c0d0e0f", Recipients: []string{identity.Recipient().String()},
		Created: time.Date(2026, 11, 21, 7, 47, 0, 0, time.UTC),
	}
	keys := deriveKeys(identity, info.ID)
	_, records := keys.records()
	both := newAudience(recipient{text: info.Recipients[0]}, records)
	sizes, err := newAudience(recipient{identity.Recipient(), info.Recipients[0]}).headerSizes()
	check(t, err)
	var digest backup.RowDigest
	digest.Add([]byte("1\tcow"))
	page, err := os.ReadFile("../../doc/format.md")
	check(t, err)
	for what, value := range map[string]string{
		"identity":        identity.String(),
		"recipient":       identity.Recipient().String(),
		"segment key":     hex.EncodeToString(keys.Segments),
		"manifest key":    hex.EncodeToString(keys.Manifests),
		"records key":     hex.EncodeToString(keys.Records),
		"records public":  records.text,
		"word":            keys.word(info.ID),
		"list of records": both.list,
		"list stanza":     "-> " + listStanza + " LIST",
		"header sizes":    fmt.Sprintf(`"headers":[%d,%d]`, sizes[1], sizes[0]),
		"mac of the info": info.mac(keys, infoName),
		"name in its mac": "`" + ringInfoName + "`",
		"mac with keys":   info.mac(keys, ringInfoName),
		"segment name":    keys.segmentName([]byte("1\tcow\n")),
		"mac of a record": keys.mac(manifestObject("happycows-db-20261121T074700Z"), []byte("{}")),
		"row digest":      digest.String(),
		"mac line":        macLine,
		"limit":           fmt.Sprintf("%d MiB of plain content", maxPlain>>20),
		"largest segment": fmt.Sprintf("%d MiB at most", (maxSegment+readSize)>>20),
		"kind of full":    fmt.Sprintf("| %d | full segment", kindFull),
		"kind of record":  fmt.Sprintf("| %d | record", kindRecord),
		"format":          fmt.Sprintf("format %d", Format),
	} {
		if !strings.Contains(string(page), value) {
			t.Errorf("doc/format.md does not hold the %s: %s", what, value)
		}
	}
}
