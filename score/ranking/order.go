package ranking

const (
	most  = 64       // items of a leaf, and children of an inner node; a full one is divided in halves
	least = most / 4 // one that has fewer is joined to its neighbour, if both fit into one
)

// order is a B-tree that knows how many items each of its parts has, so that an item's index is found on the way down to it. Items are in its leaves
// alone. No two items are equal by compare.
type order[T any] struct {
	compare func(a, b T) int
	root    *node[T]
}

// node is a leaf, which has items, or an inner node, which has children, and beside each its first item and how many it has.
type node[T any] struct {
	items    []T // of an inner node: the first of each child
	children []*node[T]
	counts   []int
}

func newOrder[T any](compare func(a, b T) int) *order[T] {
	return &order[T]{compare: compare, root: &node[T]{}}
}

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

// find is the index of the first of a node's items that is not before x.
func (o *order[T]) find(n *node[T], x T) int {
	i, end := 0, len(n.items)
	for i < end {
		if middle := (i + end) / 2; o.compare(n.items[middle], x) < 0 {
			i = middle + 1
		} else {
			end = middle
		}
	}
	return i
}

// child is the one that has x, or would have it.
func (o *order[T]) child(n *node[T], x T) int {
	i := o.find(n, x)
	if i < len(n.items) && o.compare(n.items[i], x) == 0 {
		return i
	}
	return max(i-1, 0)
}

func (o *order[T]) len() int { return o.root.count() }

// insert puts x, which must not be there, into its place.
func (o *order[T]) insert(x T) {
	if right := o.insertIn(o.root, x); right != nil {
		left := o.root
		o.root = &node[T]{items: []T{left.items[0], right.items[0]}, children: []*node[T]{left, right}, counts: []int{left.count(), right.count()}}
	}
}

// insertIn gives the right half of n if it had to be divided.
func (o *order[T]) insertIn(n *node[T], x T) (right *node[T]) {
	if n.leaf() {
		n.items = insertAt(n.items, o.find(n, x), x)
		return n.divide()
	}
	i := o.child(n, x)
	beside := o.insertIn(n.children[i], x)
	n.measure(i)
	if beside == nil {
		return nil
	}
	n.items = insertAt(n.items, i+1, beside.items[0])
	n.children = insertAt(n.children, i+1, beside)
	n.counts = insertAt(n.counts, i+1, beside.count())
	return n.divide()
}

// insertAt doubles the room when there is none, but never beyond what a node can have: most nodes are not full, and there are many.
func insertAt[E any](list []E, i int, x E) []E {
	if len(list) == cap(list) {
		grown := make([]E, len(list), min(max(2*len(list), 8), most+1))
		copy(grown, list)
		list = grown
	}
	list = append(list, x)
	copy(list[i+1:], list[i:])
	list[i] = x
	return list
}

// measure brings up to date what is known of a child.
func (n *node[T]) measure(i int) {
	n.items[i], n.counts[i] = n.children[i].items[0], n.children[i].count()
}

// divide takes the right half of a node that is too large. The left half is a copy, so that both have the room that they need.
func (n *node[T]) divide() (right *node[T]) {
	if len(n.items) <= most {
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
	return append(make([]E, 0, at+at/2), list[:at]...), append(make([]E, 0, at+at/2), list[at:]...)
}

// remove takes x away. False: it was not there.
func (o *order[T]) remove(x T) bool {
	there := o.removeFrom(o.root, x)
	for len(o.root.children) == 1 {
		o.root = o.root.children[0]
	}
	return there
}

func (o *order[T]) removeFrom(n *node[T], x T) bool {
	if n.leaf() {
		i := o.find(n, x)
		if i == len(n.items) || o.compare(n.items[i], x) != 0 {
			return false
		}
		n.items = removeAt(n.items, i)
		return true
	}
	i := o.child(n, x)
	if !o.removeFrom(n.children[i], x) {
		return false
	}
	switch c := n.children[i]; {
	case len(c.items) >= least:
		n.measure(i)
	case i > 0 && n.join(i-1), i+1 < len(n.children) && n.join(i):
	case len(c.items) == 0:
		n.drop(i)
	default:
		n.measure(i)
	}
	return true
}

func removeAt[E any](list []E, i int) []E {
	var none E
	copy(list[i:], list[i+1:])
	list[len(list)-1] = none
	return list[:len(list)-1]
}

func (n *node[T]) drop(i int) {
	n.items, n.children, n.counts = removeAt(n.items, i), removeAt(n.children, i), removeAt(n.counts, i)
}

// join makes one of the children i and i+1, if they fit into one with room to spare.
func (n *node[T]) join(i int) bool {
	a, b := n.children[i], n.children[i+1]
	if len(a.items)+len(b.items) > most/2 {
		return false
	}
	a.items = append(a.items, b.items...)
	a.children = append(a.children, b.children...)
	a.counts = append(a.counts, b.counts...)
	n.drop(i + 1)
	n.measure(i)
	return true
}

// index is how many items come before x, which need not be there.
func (o *order[T]) index(x T) int {
	before, n := 0, o.root
	for !n.leaf() {
		i := o.child(n, x)
		for _, c := range n.counts[:i] {
			before += c
		}
		n = n.children[i]
	}
	return before + o.find(n, x)
}

// at is the item at an index that there is.
func (o *order[T]) at(i int) (x T) {
	o.from(i, func(item T) bool { x = item; return false })
	return x
}

// from calls f for the items from an index on, until f answers false.
func (o *order[T]) from(i int, f func(T) bool) {
	o.root.from(i, f)
}

func (n *node[T]) from(skip int, f func(T) bool) (more bool) {
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
		if !c.from(skip, f) {
			return false
		}
		skip = 0
	}
	return true
}
