// Package merkle has the Merkle trees of RFC 6962: over the events that a bard signs, over
// the answers of a frontend, and over the rounds of a store.
//
// [Tree] keeps all nodes. [Edge] keeps only what an append-only tree needs to grow.
package merkle

import (
	"crypto/sha256"
	"maps"
	"slices"
)

// Hash is a node of a tree.
type Hash = [sha256.Size]byte

// The hashes of leaves and inner nodes begin with different bytes, so that neither can be
// taken for the other.

// LeafHash returns the hash of a leaf. It also returns scratch, grown if necessary, for
// reuse.
func LeafHash(scratch, leaf []byte) (Hash, []byte) {
	scratch = append(append(scratch[:0], 0), leaf...)
	return sha256.Sum256(scratch), scratch
}

// NodeHash returns the hash of an inner node.
func NodeHash(left, right *Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// Empty returns the root of a tree without leaves.
func Empty() Hash { return sha256.Sum256(nil) }

// Tree is a Merkle tree by levels, the leaves first. The last node of an odd level has no
// sibling and moves up unchanged, which gives the same root as the recursion of RFC 6962.
type Tree [][]Hash

// New returns the tree of leaves, of which there is at least one. The tree keeps the slice.
func New(leaves []Hash) Tree {
	t := Tree{leaves}
	for level := leaves; len(level) > 1; t = append(t, level) {
		above := make([]Hash, 0, (len(level)+1)/2)
		for i := range (len(level) + 1) / 2 {
			above = append(above, parent(level, i))
		}
		level = above
	}
	return t
}

// parent returns the node with an index on the level above.
func parent(level []Hash, index int) Hash {
	if left := 2 * index; left+1 < len(level) {
		return NodeHash(&level[left], &level[left+1])
	}
	return level[2*index]
}

// Root returns the root of t.
func (t Tree) Root() *Hash { return &t[len(t)-1][0] }

// AppendPath appends the audit path of a leaf: the siblings of the nodes from the leaf to
// the root.
func (t Tree) AppendPath(b []byte, index int) []byte {
	for _, level := range t {
		if sibling := index ^ 1; sibling < len(level) {
			b = append(b, level[sibling][:]...)
		}
		index /= 2
	}
	return b
}

// HasPath reports whether path is the audit path of a leaf.
func (t Tree) HasPath(index int, path []byte) bool {
	for _, level := range t {
		if sibling := index ^ 1; sibling < len(level) {
			if len(path) < sha256.Size || Hash(path) != level[sibling] {
				return false
			}
			path = path[sha256.Size:]
		}
		index /= 2
	}
	return len(path) == 0
}

// With returns a tree that differs from t in some leaves, given by their index. It copies
// the nodes and computes those above the leaves.
func (t Tree) With(leaves map[int]Hash) Tree {
	next := make(Tree, len(t))
	for i, level := range t {
		next[i] = slices.Clone(level)
	}
	for i, leaf := range leaves {
		next[0][i] = leaf
	}
	changed := slices.Sorted(maps.Keys(leaves))
	for i, level := range next[:len(next)-1] {
		for j := range changed {
			changed[j] /= 2
		}
		changed = slices.Compact(changed)
		for _, index := range changed {
			next[i+1][index] = parent(level, index)
		}
	}
	return next
}

// Path returns the hashes of an audit path.
func Path(b []byte) []Hash {
	path := make([]Hash, 0, len(b)/sha256.Size)
	for hash := range slices.Chunk(b, sha256.Size) {
		path = append(path, Hash(hash))
	}
	return path
}

// RootFrom returns the root of the tree of size leaves in which the leaf with the index has
// the audit path. It reports false if there is no such tree.
func RootFrom(leaf Hash, index, size uint64, path []Hash) (root Hash, ok bool) {
	if index >= size {
		return Hash{}, false
	}
	root, last := leaf, size-1
	for _, beside := range path {
		if last == 0 {
			return Hash{}, false
		}
		if index%2 == 1 {
			root = NodeHash(&beside, &root)
		} else if index < last {
			root = NodeHash(&root, &beside)
		} else {
			for index%2 == 0 { // it has no sibling on these levels
				index, last = index/2, last/2
			}
			root = NodeHash(&beside, &root)
		}
		index, last = index/2, last/2
	}
	return root, last == 0
}
