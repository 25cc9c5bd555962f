package signing

import "crypto/sha256"

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
