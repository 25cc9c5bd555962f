package score

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
)

const (
	// MaxTree is the most events that one signature covers.
	MaxTree = 256
	// MaxSignature bounds the bytes of an event's signature.
	MaxSignature = signatureHead + maxPath*sha256.Size

	// An event's signature is the Ed25519 signature of its tree, the tree's size and the event's index as two bytes each, and the audit path.
	signatureHead = ed25519.SignatureSize + 4
	maxPath       = 8 // that of a tree of MaxTree
)

// treeMessage is what the key signs. Its first line keeps a signature for Laurel from meaning anything elsewhere.
func treeMessage(size int, root *hash) []byte {
	b := append(make([]byte, 0, 64), "laurel events 1\n"...)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	return append(b, root[:]...)
}

// Sign signs events: it sets their Key and Signature. Up to MaxTree of them in a row share one signature. Each must be complete: id, source, seq and
// time are part of what is signed.
func Sign(private ed25519.PrivateKey, events []Event) error {
	if err := checkPrivate(private); err != nil {
		return err
	}
	id := KeyID(private.Public().(ed25519.PublicKey))
	forms := make([][]byte, len(events))
	for i := range events {
		events[i].Key = id
		var err error
		if forms[i], err = SignedForm(&events[i]); err != nil {
			return fmt.Errorf("event %q cannot be signed: %w", events[i].ID, err)
		}
	}
	signatures, err := SignForms(private, forms)
	if err != nil {
		return err
	}
	for i := range events {
		events[i].Signature = signatures[i]
	}
	return nil
}

// SignForms is Sign for whoever has the signed forms of the events, with the key in them.
func SignForms(private ed25519.PrivateKey, forms [][]byte) (signatures [][]byte, err error) {
	if err := checkPrivate(private); err != nil {
		return nil, err
	}
	signatures = make([][]byte, 0, len(forms))
	for tree := range slices.Chunk(forms, MaxTree) {
		signatures = signTree(signatures, private, tree)
	}
	return signatures, nil
}

func checkPrivate(private ed25519.PrivateKey) error {
	if len(private) != ed25519.PrivateKeySize {
		return fmt.Errorf("the private key has %d bytes; want %d, of Ed25519", len(private), ed25519.PrivateKeySize)
	}
	return nil
}

// signTree signs what one signature is to cover.
func signTree(signatures [][]byte, private ed25519.PrivateKey, forms [][]byte) [][]byte {
	leaves := make([]hash, len(forms))
	scratch := make([]byte, 0, 512)
	for i, form := range forms {
		leaves[i], scratch = leafOf(scratch, form)
	}
	tree := treeOf(leaves)
	head := ed25519.Sign(private, treeMessage(len(forms), tree.root()))
	all := make([]byte, 0, len(forms)*(signatureHead+(len(tree)-1)*sha256.Size))
	for i := range forms {
		from := len(all)
		all = append(all, head...)
		all = binary.BigEndian.AppendUint16(all, uint16(len(forms)))
		all = binary.BigEndian.AppendUint16(all, uint16(i))
		all = tree.appendPath(all, i)
		signatures = append(signatures, all[from:len(all):len(all)])
	}
	return signatures
}

// WithSignature is an event as JSON to post: its signed form, with the signature as one more member.
func WithSignature(form, signature []byte) []byte {
	const member = `,"signature":"`
	b := make([]byte, 0, len(form)+len(member)+base64.StdEncoding.EncodedLen(len(signature))+2)
	b = append(append(b, form[:len(form)-1]...), member...)
	return append(base64.StdEncoding.AppendEncode(b, signature), `"}`...)
}

// treeSignature is an event's signature in its parts.
type treeSignature struct {
	head        []byte // of Ed25519
	size, index int
	path        []byte
}

// parseSignature checks all that can be checked without the event.
func parseSignature(b []byte) (s treeSignature, err error) {
	if len(b) < signatureHead || len(b) > MaxSignature {
		return s, fmt.Errorf("has %d bytes; a signature has %d to %d", len(b), signatureHead, MaxSignature)
	}
	s = treeSignature{b[:ed25519.SignatureSize], int(binary.BigEndian.Uint16(b[ed25519.SignatureSize:])), int(binary.BigEndian.Uint16(b[ed25519.SignatureSize+2:])), b[signatureHead:]}
	if s.size < 1 || s.size > MaxTree || s.index >= s.size {
		return s, fmt.Errorf("is for event %d of %d; one signature covers 1 to %d, counted from 0", s.index, s.size, MaxTree)
	}
	want := 0
	for at := (spot{width: s.size, index: s.index}); at.width > 1; at = at.up() {
		if at.sibling() >= 0 {
			want += sha256.Size
		}
	}
	if len(s.path) != want {
		return s, fmt.Errorf("has %d bytes for the path; event %d of %d has %d", len(s.path), s.index, s.size, want)
	}
	return s, nil
}

// keyDigits is the length of a KeyID.
const keyDigits = 16

func isKeyID(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == keyDigits
}
