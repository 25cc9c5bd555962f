package ranking

import "slices"

const maxItems = 64 // items of a leaf, and children of an inner node; a larger node is split

// tree is a B-tree that counts the items of each subtree, so that the index of an item is
// found on the way down to it (an order-statistic tree). Only leaves hold items. Small
// nodes are not merged, but removed when they are empty: most removals are followed by an
// insertion, because a mark has changed.
//
// A position in the tree is a function that compares an item with it: the result is
// negative if the item comes before the position, 0 if it is there, and positive
// otherwise. No two items have the same position.
type tree[T any] struct{ root *node[T] }

// node is a leaf, or an inner node with the first item and the number of items of each
// child.
type node[T any] struct {
	items    []T // of an inner node: the first item of each child
	children []*node[T]
	counts   []int
}

func newTree[T any]() *tree[T] { return &tree[T]{&node[T]{}} }

func (n *node[T]) leaf() bool { return n.children == nil }

func (n *node[T]) count() int {
	if n.leaf() {
		return len(n.items)
	}
	sum := 0
	for _, c := range n.counts {
		sum += c
	}
	return sum
}

// find returns the index of the node's first item that is not before the position, and
// whether it is there.
func (n *node[T]) find(position func(T) int) (i int, found bool) {
	for end := len(n.items); i < end; {
		middle := (i + end) / 2
		if c := position(n.items[middle]); c < 0 {
			i = middle + 1
		} else {
			end, found = middle, found || c == 0
		}
	}
	return i, found
}

// child returns the index of the child that contains the position.
func (n *node[T]) child(position func(T) int) int {
	i, found := n.find(position)
	if found {
		return i
	}
	return max(i-1, 0)
}

func (t *tree[T]) len() int { return t.root.count() }

func (t *tree[T]) insert(position func(T) int, x T) {
	if right := t.root.insert(position, x); right != nil {
		left := t.root
		t.root = &node[T]{
			items:    []T{left.items[0], right.items[0]},
			children: []*node[T]{left, right},
			counts:   []int{left.count(), right.count()},
		}
	}
}

// insert returns the right half of n if it split n.
func (n *node[T]) insert(position func(T) int, x T) (right *node[T]) {
	if n.leaf() {
		i, _ := n.find(position)
		n.items = insertAt(n.items, i, x)
		return n.split()
	}
	i := n.child(position)
	split := n.children[i].insert(position, x)
	n.updateChild(i)
	if split == nil {
		return nil
	}
	n.items = insertAt(n.items, i+1, split.items[0])
	n.children = insertAt(n.children, i+1, split)
	n.counts = insertAt(n.counts, i+1, split.count())
	return n.split()
}

// insertAt grows the capacity to at most what a node needs, because there are many nodes
// and most are not full.
func insertAt[E any](list []E, i int, x E) []E {
	if len(list) == cap(list) {
		grown := make([]E, len(list), min(max(len(list)+len(list)/4, 8), maxItems+1))
		copy(grown, list)
		list = grown
	}
	list = append(list, x)
	copy(list[i+1:], list[i:])
	list[i] = x
	return list
}

func (n *node[T]) updateChild(i int) {
	n.items[i], n.counts[i] = n.children[i].items[0], n.children[i].count()
}

// split splits a node that is too large and returns the right half. Both halves are
// copies with the capacity that they need.
func (n *node[T]) split() (right *node[T]) {
	if len(n.items) <= maxItems {
		return nil
	}
	half := len(n.items) / 2
	right = &node[T]{}
	n.items, right.items = halves(n.items, half)
	if !n.leaf() {
		n.children, right.children = halves(n.children, half)
		n.counts, right.counts = halves(n.counts, half)
	}
	return right
}

func halves[E any](list []E, at int) (left, right []E) {
	return append(make([]E, 0, at+at/4), list[:at]...), append(make([]E, 0, at+at/4), list[at:]...)
}

func (t *tree[T]) remove(position func(T) int) bool {
	found := t.root.remove(position)
	for len(t.root.children) == 1 {
		t.root = t.root.children[0]
	}
	return found
}

func (n *node[T]) remove(position func(T) int) bool {
	if n.leaf() {
		i, found := n.find(position)
		if found {
			n.items = slices.Delete(n.items, i, i+1)
		}
		return found
	}
	i := n.child(position)
	if !n.children[i].remove(position) {
		return false
	}
	if len(n.children[i].items) > 0 {
		n.updateChild(i)
		return true
	}
	n.items = slices.Delete(n.items, i, i+1)
	n.children = slices.Delete(n.children, i, i+1)
	n.counts = slices.Delete(n.counts, i, i+1)
	return true
}

// index returns the number of items before the position.
func (t *tree[T]) index(position func(T) int) int {
	before, n := 0, t.root
	for !n.leaf() {
		i := n.child(position)
		for _, c := range n.counts[:i] {
			before += c
		}
		n = n.children[i]
	}
	i, _ := n.find(position)
	return before + i
}

func (t *tree[T]) at(i int) (x T) {
	t.root.walk(i, func(item T) bool { x = item; return false })
	return x
}

// walk calls f for the items from index skip on, as long as f returns true.
func (n *node[T]) walk(skip int, f func(T) bool) (more bool) {
	if n.leaf() {
		for _, x := range n.items[min(skip, len(n.items)):] {
			if !f(x) {
				return false
			}
		}
		return true
	}
	for i, c := range n.children {
		if skip >= n.counts[i] {
			skip -= n.counts[i]
			continue
		}
		if !c.walk(skip, f) {
			return false
		}
		skip = 0
	}
	return true
}
