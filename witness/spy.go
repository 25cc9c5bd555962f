//go:build spy

package witness

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// SayReport returns a report of h, whether that is a round or not.
func (k *Key) SayReport(p *Policy, h Head) ([]byte, error) {
	return note.Sign(&note.Note{Text: h.text(p.Origin(), ed25519Type)},
		signer{identity: k.identity(ed25519Type), key: k})
}

// SayCosigned returns a cosignature of h at a time, whether that is proven or not.
func (k *Key) SayCosigned(p *Policy, h Head, at time.Time) ([]byte, error) {
	s := signer{identity: k.identity(cosignatureType), key: k, seconds: uint64(at.Unix())}
	return note.Sign(&note.Note{Text: h.text(p.Origin(), cosignatureType)}, s)
}

// Spoil flips a bit of the leaf beside that of a key.
func (a *Answers) Spoil(key string) error {
	i, found := slices.BinarySearch(a.keys, key)
	if !found || i^1 >= len(a.keys) {
		return fmt.Errorf("there is no leaf beside that of %q", key)
	}
	a.tree[0][i^1][0] ^= 1
	return nil
}
