package operator

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"laurel/internal/cli"
	"laurel/score"
	"laurel/trust/access"
)

func seededKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func seededPublic(n byte) ed25519.PublicKey { return seededKey(n).Public().(ed25519.PublicKey) }

// signedEntry returns an entry of the roster that the holder of seededKey(by) has signed.
func signedEntry(t *testing.T, by byte, lineage, name string, key byte) access.RosterEntry {
	t.Helper()
	e := access.RosterEntry{Name: name, Key: seededPublic(key)}
	at := time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC)
	c, err := access.Sign(seededKey(by), lineage, 7, access.Change{
		At: at, By: "getafix", Sworn: &access.SwornChange{Frontend: &access.RosterEntry{Name: name, Key: e.Key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Proof = &access.Proof{At: at, By: "getafix", Number: 7, Key: c.Key, Signature: c.Signature}
	return e
}

// The roster is the word of one frontend, and what an operator signs is believed by all readers.
func TestAnOperatorSignsNoKeyForReadersThatItHasNotSignedIn(t *testing.T) {
	good := func() access.RosterEntry { return signedEntry(t, 9, "games", "f1", 1) }
	exchanged, renamed, unproven, anothers := good(), good(), good(), signedEntry(t, 8, "games", "f1", 1)
	exchanged.Key, renamed.Name, unproven.Proof = seededPublic(7), "f2", nil
	anothers.Proof.Key = score.KeyID(seededPublic(9))
	for what, c := range map[string]struct {
		entry access.RosterEntry
		given []string
		want  byte // of which key; 0 for none
	}{
		"its own word":               {good(), nil, 1},
		"another key":                {exchanged, nil, 0},
		"another name":               {renamed, nil, 0},
		"of the founder":             {unproven, nil, 0},
		"another operator's word":    {anothers, nil, 0},
		"its word for another store": {signedEntry(t, 9, "rehearsal", "f1", 1), nil, 0},
		"what it says now":           {unproven, []string{"f1=" + cli.FormatPublicKey(seededPublic(3))}, 3},
		"of no frontend":             {good(), []string{"f4=" + cli.FormatPublicKey(seededPublic(3))}, 0},
		"that is none":               {good(), []string{"f1=x"}, 0},
	} {
		s := &signer{private: seededKey(9), roster: access.RosterView{Lineage: "games", Frontends: []access.RosterEntry{c.entry}}}
		all, list, err := s.frontends(c.given)
		switch {
		case c.want == 0 && err == nil:
			t.Errorf("%s: it was taken: %+v", what, all)
		case c.want > 0 && (err != nil || len(all) != 1 || !all[0].Public.Equal(seededPublic(c.want)) ||
			!strings.Contains(string(list), cli.FormatPublicKey(seededPublic(c.want)))):
			t.Errorf("%s: %+v, %v; it lists\n%s", what, all, err, list)
		}
	}
}
