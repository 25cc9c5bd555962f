package signing

// Edge is the right edge of a Merkle tree as in RFC 6962: the roots of its complete
// subtrees, which is all that is needed to append leaves and to compute the root. It is
// immutable. A nil *Edge is that of the tree without leaves.
type Edge struct {
	root   hash   // of the smallest complete subtree
	leaves uint64 // of that subtree, a power of two
	before *Edge  // the larger subtrees
}

// LeafHash returns the hash of a leaf with some content.
func LeafHash(content []byte) [32]byte {
	leaf, _ := leafHash(make([]byte, 0, 512), content)
	return leaf
}

// Append returns the edge of the tree with more leaves.
func (e *Edge) Append(leaves ...[32]byte) *Edge {
	for len(leaves) > 0 {
		// The next complete subtree is not larger than the smallest one so far.
		n := 1
		for 2*n <= len(leaves) && (e == nil || uint64(2*n) <= e.leaves) {
			n *= 2
		}
		e = e.add(completeRoot(leaves[:n]), uint64(n))
		leaves = leaves[n:]
	}
	return e
}

// add returns the edge of the tree with one more complete subtree.
func (e *Edge) add(root hash, leaves uint64) *Edge {
	for ; e != nil && e.leaves == leaves; e = e.before {
		root = nodeHash(&e.root, &root)
		leaves *= 2
	}
	return &Edge{root, leaves, e}
}

// completeRoot returns the root of a tree whose number of leaves is a power of two.
func completeRoot(leaves []hash) hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	half := len(leaves) / 2
	left, right := completeRoot(leaves[:half]), completeRoot(leaves[half:])
	return nodeHash(&left, &right)
}

// Root returns the root of the tree; zero if it has no leaves.
func (e *Edge) Root() (root [32]byte) {
	if e == nil {
		return root
	}
	root = e.root
	for e = e.before; e != nil; e = e.before {
		root = nodeHash(&e.root, &root)
	}
	return root
}

// Nodes returns the roots of the complete subtrees, the smallest first. There are at most
// 64.
func (e *Edge) Nodes() (nodes [][]byte) {
	for ; e != nil; e = e.before {
		nodes = append(nodes, e.root[:])
	}
	return nodes
}

// NewEdge returns the edge of a tree with some number of leaves, of which nodes are the
// Nodes. It returns false if they cannot be.
func NewEdge(leaves uint64, nodes [][]byte) (e *Edge, ok bool) {
	for bit := 63; bit >= 0; bit-- {
		if leaves>>bit&1 == 0 {
			continue
		}
		last := len(nodes) - 1
		if last < 0 || len(nodes[last]) != len(hash{}) {
			return nil, false
		}
		e, nodes = &Edge{hash(nodes[last]), 1 << bit, e}, nodes[:last]
	}
	return e, len(nodes) == 0
}
