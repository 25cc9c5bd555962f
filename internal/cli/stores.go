package cli

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"strings"

	"laurel/score"
)

// storesSuffix names the file beside a key that remembers the stores for which the key
// has signed. Each line has the id of the key, the URL of a frontend and the lineage of
// its store.
const storesSuffix = ".stores"

// trustLineage decides about the lineage that a frontend named. The first time that a key
// is used with a URL, the lineage is remembered beside the key. Later it must be the same:
// a false frontend could name another store, in which the key has rights too, and post
// there what the key signs.
func (t *Target) trustLineage(lineage string) error {
	key, err := t.Key()
	if err != nil {
		return err
	}
	id := score.KeyID(key.Public().(ed25519.PublicKey))
	file := t.keyFile + storesSuffix
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("read for which stores the key has signed: %w", err)
	}
	known := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == id && known[words[1]] == "" {
			known[words[1]] = words[2]
		}
	}
	added := ""
	for _, url := range t.URLs {
		switch known[url] {
		case lineage:
		case "":
			added += fmt.Sprintln(id, url, lineage)
		default:
			return fmt.Errorf("the frontend says that its store is %s, but when the key was first used with %s it was "+
				"%s (%s); nothing was signed: a false frontend could post it in the other store; "+
				"if the store was begun anew, remove the line from the file, or set --lineage", lineage, url, known[url], file)
		}
	}
	if added == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.WriteString(added)
		if e := f.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("remember the store for which the key signs (set --lineage to sign without that): %w", err)
	}
	return nil
}
