package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"

	"laurel/score"
	"laurel/score/eventsig"
	"laurel/trust/merkle"
)

// treeMessage returns the bytes that the key signs. The first line keeps the signature
// from being valid in any other protocol, and the second one in any other store. A
// lineage contains no line break.
func treeMessage(lineage string, size int, root *hash) []byte {
	b := append(make([]byte, 0, 128), "laurel events 2\n"...)
	b = append(append(b, lineage...), '\n')
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	return append(b, root[:]...)
}

// Sign signs events for the store with the lineage and sets their Key, Lineage and
// Signature. Up to [eventsig.MaxTree] consecutive events share one tree. Every event must
// have an ID, a Source, a Seq and a Time.
func Sign(private ed25519.PrivateKey, lineage string, events []score.Event) error {
	if len(private) != ed25519.PrivateKeySize {
		return fmt.Errorf("the private key has %d bytes; an Ed25519 key has %d", len(private), ed25519.PrivateKeySize)
	}
	if !score.ValidLineage(lineage) {
		return fmt.Errorf("%q is not the lineage of a store", lineage)
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
	for i, signature := range SignForms(private, lineage, forms) {
		events[i].Lineage, events[i].Signature = lineage, signature
	}
	return nil
}

// SignForms returns the signatures of events whose forms the caller has made. The forms
// must contain the id of the key, and the lineage must be valid. It panics if the key has
// the wrong length.
func SignForms(private ed25519.PrivateKey, lineage string, forms [][]byte) [][]byte {
	signatures := make([][]byte, 0, len(forms))
	for tree := range slices.Chunk(forms, eventsig.MaxTree) {
		signatures = signTree(signatures, private, lineage, tree)
	}
	return signatures
}

func signTree(signatures [][]byte, private ed25519.PrivateKey, lineage string, forms [][]byte) [][]byte {
	leaves := make([]hash, len(forms))
	scratch := make([]byte, 0, 512)
	for i, form := range forms {
		leaves[i], scratch = merkle.LeafHash(scratch, form)
	}
	tree := merkle.New(leaves)
	signed := ed25519.Sign(private, treeMessage(lineage, len(forms), tree.Root()))
	all := make([]byte, 0, len(forms)*(len(signed)+4+(len(tree)-1)*sha256.Size))
	for i := range forms {
		from := len(all)
		all = append(all, signed...)
		all = binary.BigEndian.AppendUint16(all, uint16(len(forms)))
		all = binary.BigEndian.AppendUint16(all, uint16(i))
		all = tree.AppendPath(all, i)
		signatures = append(signatures, all[from:len(all):len(all)])
	}
	return signatures
}

// EventJSON returns a signed event as JSON to post: its form with the lineage and the
// signature as the last members.
func EventJSON(form []byte, lineage string, signature []byte) []byte {
	const members = `,"lineage":"","signature":""}`
	size := len(form) + len(members) + len(lineage) + base64.StdEncoding.EncodedLen(len(signature))
	return AppendEventJSON(make([]byte, 0, size), form, lineage, signature)
}

// AppendEventJSON appends a signed event as EventJSON returns it.
func AppendEventJSON(b, form []byte, lineage string, signature []byte) []byte {
	b = append(append(b, form[:len(form)-1]...), `,"lineage":"`...)
	b = append(append(b, lineage...), `","signature":"`...)
	return append(base64.StdEncoding.AppendEncode(b, signature), `"}`...)
}

type hash = merkle.Hash

// knownTree is a tree of which some nodes are unknown, which are zeros.
type knownTree merkle.Tree

// unknownTree returns a tree without a known node.
func unknownTree(leaves int) (t knownTree) {
	for width := leaves; ; width = (width + 1) / 2 {
		t = append(t, make([]hash, width))
		if width == 1 {
			return t
		}
	}
}

// climb appends to nodes the nodes from a leaf towards the root, which it computes by the
// audit path. It ends with the first node that t knows, or with the root, and returns the
// rest of the audit path.
func (t knownTree) climb(nodes []hash, leaf hash, index int, path []byte) (_ []hash, rest []byte) {
	node := leaf
	for _, level := range t {
		nodes = append(nodes, node)
		if level[index] != (hash{}) {
			break
		}
		if sibling := index ^ 1; sibling < len(level) {
			beside := hash(path)
			if path = path[len(beside):]; sibling < index {
				node = merkle.NodeHash(&beside, &node)
			} else {
				node = merkle.NodeHash(&node, &beside)
			}
		}
		index /= 2
	}
	return nodes, path
}
