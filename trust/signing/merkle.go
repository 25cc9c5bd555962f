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

// nodePos is the position of a node in a tree whose nodes are numbered level by level,
// the leaves first.
type nodePos struct {
	base  int // number of the first node of the level
	width int // nodes of the level
	index int // within the level
}

func (p nodePos) number() int { return p.base + p.index }

// sibling returns the number of the node's sibling, or -1 if it has none.
func (p nodePos) sibling() int {
	if p.index^1 >= p.width {
		return -1
	}
	return p.base + (p.index ^ 1)
}

func (p nodePos) parent() nodePos { return nodePos{p.base + p.width, (p.width + 1) / 2, p.index / 2} }

func (p nodePos) join(node, sibling *hash) hash {
	if p.index%2 == 1 {
		return nodeHash(sibling, node)
	}
	return nodeHash(node, sibling)
}

func countNodes(size int) int {
	p := nodePos{width: size}
	for p.width > 1 {
		p = p.parent()
	}
	return p.base + 1
}
