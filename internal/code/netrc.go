package code

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// netrc looks up a host in a .netrc file, as git does through curl; no name
// when it is not there. Source: The .netrc file, in the manual of GNU
// inetutils. Macros (macdef) are not understood and end the search.
func netrc(path, host string) (user, password string, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	found := false
	words := strings.Fields(string(text))
	for i := 0; i < len(words) && words[i] != "macdef"; i++ {
		value := ""
		if i+1 < len(words) {
			value = words[i+1]
		}
		switch words[i] {
		case "machine", "default":
			if found {
				return user, password, nil
			}
			found = words[i] == "default" || value == host
			if words[i] == "default" {
				continue
			}
		case "login":
			if found {
				user = value
			}
		case "password":
			if found {
				password = value
			}
		case "account":
		default:
			continue
		}
		i++ // past the value
	}
	return user, password, nil
}
