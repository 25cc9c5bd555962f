package ranking

const (
	most  = 64       // items of a leaf, and children of an inner node; a full one is divided in halves
	least = most / 4 // one that has fewer is joined to its neighbour, if both fit into one
)

// order is a B-tree that knows how many items each of its parts has, so that an item's index is found on the way down to it. Items are in its leaves
// alone. A place in it is given by a function that tells whether an item stands before it, less than 0, there, 0, or behind; no two items stand at one place.
type order[T any] struct{ root *node[T] }

// node is a leaf, which has items, or an inner node, which has children, and beside each its first item and how many it has.
type node[T any] struct {
	items    []T // of an inner node: the first of each child
	children []*node[T]
	counts   []int
}

func newOrder[T any]() *order[T] { return &order[T]{&node[T]{}} }

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

// find is the index of the first of a node's items that is not before a place.
func (n *node[T]) find(place func(T) int) int {
	i, end := 0, len(n.items)
	for i < end {
		if middle := (i + end) / 2; place(n.items[middle]) < 0 {
			i = middle + 1
		} else {
			end = middle
		}
	}
	return i
}

// there tells whether an item stands at the place for which find gave i.
func (n *node[T]) there(i int, place func(T) int) bool {
	return i < len(n.items) && place(n.items[i]) == 0
}

// child is the one that has what stands at a place, or would have it.
func (n *node[T]) child(place func(T) int) int {
	i := n.find(place)
	if n.there(i, place) {
		return i
	}
	return max(i-1, 0)
}

func (o *order[T]) len() int { return o.root.count() }

// insert puts x at a place where nothing stands.
func (o *order[T]) insert(place func(T) int, x T) {
	if right := o.root.insert(place, x); right != nil {
		left := o.root
		o.root = &node[T]{items: []T{left.items[0], right.items[0]}, children: []*node[T]{left, right}, counts: []int{left.count(), right.count()}}
	}
}

// insert gives the right half of n if it had to be divided.
func (n *node[T]) insert(place func(T) int, x T) (right *node[T]) {
	if n.leaf() {
		n.items = insertAt(n.items, n.find(place), x)
		return n.divide()
	}
	i := n.child(place)
	beside := n.children[i].insert(place, x)
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

// remove takes away what stands at a place. False: there was nothing.
func (o *order[T]) remove(place func(T) int) bool {
	there := o.root.remove(place)
	for len(o.root.children) == 1 {
		o.root = o.root.children[0]
	}
	return there
}

func (n *node[T]) remove(place func(T) int) bool {
	if n.leaf() {
		i := n.find(place)
		if !n.there(i, place) {
			return false
		}
		n.items = removeAt(n.items, i)
		return true
	}
	i := n.child(place)
	if !n.children[i].remove(place) {
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

// index is how many items come before a place.
func (o *order[T]) index(place func(T) int) int {
	before, n := 0, o.root
	for !n.leaf() {
		i := n.child(place)
		for _, c := range n.counts[:i] {
			before += c
		}
		n = n.children[i]
	}
	return before + n.find(place)
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
