package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"

	"laurel/score"
)

// treeMessage returns the bytes that the key signs. The first line keeps the signature
// from being valid in any other protocol.
func treeMessage(size int, root *hash) []byte {
	b := append(make([]byte, 0, 64), "laurel events 1\n"...)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	return append(b, root[:]...)
}

// Sign signs events and sets their Key and Signature. Up to [score.MaxTree] consecutive
// events share one tree. Every event must have an ID, a Source, a Seq and a Time.
func Sign(private ed25519.PrivateKey, events []score.Event) error {
	if len(private) != ed25519.PrivateKeySize {
		return fmt.Errorf("the private key has %d bytes; an Ed25519 key has %d", len(private), ed25519.PrivateKeySize)
	}
	id := score.KeyID(private.Public().(ed25519.PublicKey))
	forms := make([][]byte, len(events))
	for i := range events {
		events[i].Key = id
		var err error
		if forms[i], err = Form(&events[i]); err != nil {
			return fmt.Errorf("sign event %q: %w", events[i].ID, err)
		}
	}
	for i, signature := range SignForms(private, forms) {
		events[i].Signature = signature
	}
	return nil
}

// SignForms returns the signatures of events whose forms the caller has made. The forms
// must contain the id of the key. It panics if the key has the wrong length.
func SignForms(private ed25519.PrivateKey, forms [][]byte) [][]byte {
	signatures := make([][]byte, 0, len(forms))
	for tree := range slices.Chunk(forms, score.MaxTree) {
		signatures = signTree(signatures, private, tree)
	}
	return signatures
}

func signTree(signatures [][]byte, private ed25519.PrivateKey, forms [][]byte) [][]byte {
	leaves := make([]hash, len(forms))
	scratch := make([]byte, 0, 512)
	for i, form := range forms {
		leaves[i], scratch = leafHash(scratch, form)
	}
	tree := newTree(leaves)
	signed := ed25519.Sign(private, treeMessage(len(forms), tree.root()))
	all := make([]byte, 0, len(forms)*(len(signed)+4+(len(tree)-1)*sha256.Size))
	for i := range forms {
		from := len(all)
		all = append(all, signed...)
		all = binary.BigEndian.AppendUint16(all, uint16(len(forms)))
		all = binary.BigEndian.AppendUint16(all, uint16(i))
		all = tree.appendPath(all, i)
		signatures = append(signatures, all[from:len(all):len(all)])
	}
	return signatures
}

// EventJSON returns a signed event as JSON to post: its form with the signature as the
// last member.
func EventJSON(form, signature []byte) []byte {
	const member = `,"signature":"`
	b := make([]byte, 0, len(form)+len(member)+base64.StdEncoding.EncodedLen(len(signature))+2)
	b = append(append(b, form[:len(form)-1]...), member...)
	return append(base64.StdEncoding.AppendEncode(b, signature), `"}`...)
}
