package merkle

import "slices"

// Edge is the right edge of an append-only tree: the roots of the perfect trees that it is
// made of, the largest first, one for each bit that is set in Size. The zero value is the
// tree without leaves. An Edge is not changed by its methods.
type Edge struct {
	Size  uint64
	Nodes []Hash
}

// Append returns the edge of the tree with one more leaf.
func (e Edge) Append(leaf Hash) Edge {
	nodes := append(slices.Clone(e.Nodes), leaf)
	for rest := e.Size; rest%2 == 1; rest /= 2 {
		last := len(nodes) - 1
		nodes[last-1] = NodeHash(&nodes[last-1], &nodes[last])
		nodes = nodes[:last]
	}
	return Edge{e.Size + 1, nodes}
}

// Root returns the root of the tree.
func (e Edge) Root() Hash {
	if len(e.Nodes) == 0 {
		return Empty()
	}
	root := e.Nodes[len(e.Nodes)-1]
	for _, left := range slices.Backward(e.Nodes[:len(e.Nodes)-1]) {
		root = NodeHash(&left, &root)
	}
	return root
}

// NextPath returns the audit path that the leaf appended next will have in the tree that
// ends with it.
func (e Edge) NextPath() []Hash {
	path := slices.Clone(e.Nodes)
	slices.Reverse(path)
	return path
}
