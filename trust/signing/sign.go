package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"

	"laurel/score"
	"laurel/score/merkle"
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
// Signature. Up to [merkle.MaxTree] consecutive events share one tree. Every event must
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
	for tree := range slices.Chunk(forms, merkle.MaxTree) {
		signatures = signTree(signatures, private, lineage, tree)
	}
	return signatures
}

func signTree(signatures [][]byte, private ed25519.PrivateKey, lineage string, forms [][]byte) [][]byte {
	leaves := make([]hash, len(forms))
	scratch := make([]byte, 0, 512)
	for i, form := range forms {
		leaves[i], scratch = leafHash(scratch, form)
	}
	tree := newTree(leaves)
	signed := ed25519.Sign(private, treeMessage(lineage, len(forms), tree.root()))
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

// The hashes of leaves and inner nodes begin with different bytes, as in RFC 6962, so
// that neither can be taken for the other.

type hash = [sha256.Size]byte

// leafHash hashes a form. It returns scratch, grown if necessary, for reuse.
func leafHash(scratch, form []byte) (leaf hash, _ []byte) {
	scratch = append(append(scratch[:0], 0), form...)
	return sha256.Sum256(scratch), scratch
}

func nodeHash(left, right *hash) hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// tree is a Merkle tree by levels, the leaves first. The last node of an odd level has no
// sibling and moves up unchanged, which gives the same root as the recursion of RFC 6962.
type tree [][]hash

func newTree(leaves []hash) tree {
	t := tree{leaves}
	for level := leaves; len(level) > 1; t = append(t, level) {
		above := make([]hash, 0, (len(level)+1)/2)
		for i := 0; i+1 < len(level); i += 2 {
			above = append(above, nodeHash(&level[i], &level[i+1]))
		}
		if len(level)%2 == 1 {
			above = append(above, level[len(level)-1])
		}
		level = above
	}
	return t
}

func (t tree) root() *hash { return &t[len(t)-1][0] }

// appendPath appends the audit path of a leaf: the siblings of the nodes from the leaf to
// the root.
func (t tree) appendPath(b []byte, index int) []byte {
	for _, level := range t {
		if sibling := index ^ 1; sibling < len(level) {
			b = append(b, level[sibling][:]...)
		}
		index /= 2
	}
	return b
}

// hasPath reports whether path is the audit path of a leaf.
func (t tree) hasPath(index int, path []byte) bool {
	for _, level := range t {
		if sibling := index ^ 1; sibling < len(level) {
			if len(path) < sha256.Size || hash(path) != level[sibling] {
				return false
			}
			path = path[sha256.Size:]
		}
		index /= 2
	}
	return len(path) == 0
}

// unknownTree returns a tree of zeros, which stand for unknown hashes.
func unknownTree(leaves int) (t tree) {
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
func (t tree) climb(nodes []hash, leaf hash, index int, path []byte) (_ []hash, rest []byte) {
	node := leaf
	for _, level := range t {
		nodes = append(nodes, node)
		if level[index] != (hash{}) {
			break
		}
		if sibling := index ^ 1; sibling < len(level) {
			beside := hash(path)
			if path = path[len(beside):]; sibling < index {
				node = nodeHash(&beside, &node)
			} else {
				node = nodeHash(&node, &beside)
			}
		}
		index /= 2
	}
	return nodes, path
}
