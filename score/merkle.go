package score

import "crypto/sha256"

// A Merkle tree as RFC 6962 has it, over the signed forms of events: one signature vouches for all of them, and each can be checked without the
// others. What a leaf hashes begins with another byte than what a node does, so neither can pass for the other.

type hash = [sha256.Size]byte

// leafOf hashes a form; scratch is memory to use again.
func leafOf(scratch, form []byte) (leaf hash, _ []byte) {
	scratch = append(append(scratch[:0], 0), form...)
	return sha256.Sum256(scratch), scratch
}

func nodeOf(left, right *hash) hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// levels is a tree, the leaves first. The last node of an odd level has no sibling and is in the next level as it is, which gives the same root as
// the recursion of RFC 6962.
type levels [][]hash

func treeOf(leaves []hash) levels {
	t := levels{leaves}
	for level := leaves; len(level) > 1; t = append(t, level) {
		above := make([]hash, 0, (len(level)+1)/2)
		for i := 0; i+1 < len(level); i += 2 {
			above = append(above, nodeOf(&level[i], &level[i+1]))
		}
		if len(level)%2 == 1 {
			above = append(above, level[len(level)-1])
		}
		level = above
	}
	return t
}

func (t levels) root() *hash { return &t[len(t)-1][0] }

// appendPath appends the audit path of a leaf: the siblings on its way to the root.
func (t levels) appendPath(b []byte, index int) []byte {
	for _, level := range t {
		if sibling := index ^ 1; sibling < len(level) {
			b = append(b, level[sibling][:]...)
		}
		index /= 2
	}
	return b
}

// spot is the place of a node in a tree of some size, on the way from a leaf to the root.
type spot struct {
	base, width, index int // of its level: where it begins among all nodes, the leaves first; its nodes; which of them
}

func (s spot) place() int { return s.base + s.index }

// sibling is the place of the node beside it; -1: none.
func (s spot) sibling() int {
	if s.index^1 >= s.width {
		return -1
	}
	return s.base + (s.index ^ 1)
}

func (s spot) up() spot { return spot{s.base + s.width, (s.width + 1) / 2, s.index / 2} }

// parent hashes a node with its sibling.
func (s spot) parent(node, sibling *hash) hash {
	if s.index%2 == 1 {
		return nodeOf(sibling, node)
	}
	return nodeOf(node, sibling)
}

// nodesIn counts the nodes of all levels of a tree.
func nodesIn(size int) int {
	s := spot{width: size}
	for s.width > 1 {
		s = s.up()
	}
	return s.base + 1
}
