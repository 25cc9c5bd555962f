// Package operator defines what an operator signs with its Ed25519 key: the changes of a
// sworn group, and the documents that are for readers.
package operator

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"laurel/score"
)

// ErrLineage is the error for a store that has no name yet: nothing can be signed for it.
var ErrLineage = errors.New("not the lineage of a store")

// Form returns what the signature of a change covers:
//
//	laurel change 1\n LINEAGE \n NUMBER \n CHANGE
//
// without the spaces. The first line keeps the signature from being valid in any other
// protocol, LINEAGE in any other store, and NUMBER in any other place of the log. CHANGE
// is the change in the canonical form of RFC 8785.
func Form(lineage string, number uint64, change []byte) ([]byte, error) {
	if !score.ValidLineage(lineage) {
		return nil, ErrLineage
	}
	canonical, err := score.Canonicalize(change)
	if err != nil {
		return nil, fmt.Errorf("write the change in its canonical form: %w", err)
	}
	b := append(make([]byte, 0, 64+len(lineage)+len(canonical)), "laurel change 1\n"...)
	b = append(append(b, lineage...), '\n')
	b = append(strconv.AppendUint(b, number, 10), '\n')
	return append(b, canonical...), nil
}

// Fingerprint returns the fingerprint of an operator's public key: its SHA-256, in
// hexadecimal. Join tokens have that of the first operator.
func Fingerprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:])
}
