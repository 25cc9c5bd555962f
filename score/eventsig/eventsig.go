// Package eventsig splits the signature of an event into its parts. Package signing makes and
// verifies signatures.
package eventsig

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	// MaxTree is the largest number of events that one signature covers.
	MaxTree = 256
	// MaxSize is the largest size of an event's signature in bytes.
	MaxSize = signatureHead + maxPath*sha256.Size

	// A signature begins with an Ed25519 signature, the size of the tree, and the event's
	// index, two bytes each.
	signatureHead = ed25519.SignatureSize + 4
	maxPath       = 8 // hashes in the audit path of a tree of MaxTree events
)

// Signature is the signature of an event, split into its parts.
type Signature struct {
	Ed25519 []byte // the signature of the Merkle tree
	Size    int    // events in the tree
	Index   int    // the event's leaf, from 0
	Path    []byte // the audit path: the hashes beside the way from the leaf to the root
}

// Parse splits a signature and checks everything that can be checked without the
// event.
func Parse(b []byte) (s Signature, err error) {
	if len(b) < signatureHead || len(b) > MaxSize {
		return s, fmt.Errorf("has %d bytes; a signature has %d to %d", len(b), signatureHead, MaxSize)
	}
	numbers := b[ed25519.SignatureSize:signatureHead]
	s = Signature{
		Ed25519: b[:ed25519.SignatureSize],
		Size:    int(binary.BigEndian.Uint16(numbers)),
		Index:   int(binary.BigEndian.Uint16(numbers[2:])),
		Path:    b[signatureHead:],
	}
	if s.Size < 1 || s.Size > MaxTree || s.Index >= s.Size {
		return s, fmt.Errorf(
			"is for event %d of %d; one signature covers 1 to %d, counted from 0", s.Index, s.Size, MaxTree)
	}
	want := 0
	for width, i := s.Size, s.Index; width > 1; width, i = (width+1)/2, i/2 {
		if i^1 < width {
			want += sha256.Size
		}
	}
	if len(s.Path) != want {
		return s, fmt.Errorf("has %d bytes for the path; event %d of %d has %d", len(s.Path), s.Index, s.Size, want)
	}
	return s, nil
}
