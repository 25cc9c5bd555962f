package cli

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"laurel/internal/address"
	"laurel/score"
)

// storesSuffix names the file beside a key that remembers the stores for which the key
// has signed. Each line has the id of the key, the URL of a frontend and the lineage of
// its store. Lines are only appended, and of two about one URL the first holds: many
// programs may use the key at once.
const storesSuffix = ".stores"

// tornMark ends a line that was not written whole.
const tornMark = "#"

// trustLineage decides about the lineage that a frontend named. The first time that a key
// is used with a URL, the lineage is remembered beside the key. Later it must be the same:
// a false frontend could name another store, in which the key has rights too, and post
// there what the key signs.
func (t *Target) trustLineage(lineage string) error {
	key, err := t.Key()
	if err != nil {
		return err
	}
	return t.TrustLineage(t.keyFile, key.Public().(ed25519.PublicKey), lineage)
}

// TrustLineage is trustLineage for the key of a file.
func (t *Target) TrustLineage(keyFile string, public ed25519.PublicKey, lineage string) error {
	s := stores{keyFile + storesSuffix, score.KeyID(public)}
	for range 2 { // what was appended is read again: another program may have been first
		known, torn, err := s.read()
		if err != nil {
			return fmt.Errorf("read for which stores the key has signed (set --lineage to sign without that): %w", err)
		}
		added := ""
		for _, u := range t.URLs {
			u = storeURL(u)
			switch known[u] {
			case lineage:
			case "":
				added += fmt.Sprintln(s.key, u, lineage)
			default:
				return fmt.Errorf("the frontend says that its store is %s, but when the key was first used with %s "+
					"it was %s (%s); nothing was signed: a false frontend could post it in the other store; "+
					"if the store was begun anew, remove the line from the file, or set --lineage",
					lineage, u, known[u], s.file)
			}
		}
		if added == "" {
			return nil
		}
		if torn {
			added = " " + tornMark + "\n" + added
		}
		if err := s.append(added); err != nil {
			return fmt.Errorf("remember the store for which the key signs "+
				"(set --lineage to sign without that): %w", err)
		}
	}
	return fmt.Errorf("%s does not keep what is written to it; set --lineage to sign without it", s.file)
}

// storeURL returns one text for all the ways to write the URL of a frontend.
func storeURL(given string) string {
	u, err := address.ParseTyped(given)
	if err != nil {
		return url.QueryEscape(given)
	}
	return u.String()
}

// stores is the file with the stores for which a key has signed.
type stores struct {
	file string
	key  string // the id
}

// read returns the lineages by URL. torn reports whether the end of the file is part of a
// line, whose program signed nothing. Any other line that is damaged is an error.
func (s stores) read() (known map[string]string, torn bool, err error) {
	known = map[string]string{}
	info, err := os.Stat(s.file)
	if errors.Is(err, os.ErrNotExist) {
		return known, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, false, fmt.Errorf("%s: every user of this machine can change it (mode %04o); look at what it says "+
			"and chmod 600 it", s.file, info.Mode().Perm())
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, false, err
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		words := strings.Fields(line)
		switch {
		case !strings.HasSuffix(line, "\n"):
			return known, true, nil
		case len(words) == 0 || words[len(words)-1] == tornMark:
		case len(words) != 3 || !score.ValidLineage(words[2]):
			return nil, false, fmt.Errorf("line %d of %s is damaged; want the id of a key, a URL and a lineage, "+
				"or remove the line", number, s.file)
		case words[0] == s.key && known[words[1]] == "":
			known[words[1]] = words[2]
		}
	}
	return known, false, nil
}

// append appends lines, all at once, to the disk.
func (s stores) append(lines string) error {
	f, err := os.OpenFile(s.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(lines)
	return errors.Join(err, f.Sync(), f.Close())
}
