package witness

import (
	"maps"
	"slices"
	"sort"

	"laurel/trust/merkle"
)

// Answers is a tree over all answers of a frontend: for each, a leaf of its key, a line
// break and the SHA-256 of its body, sorted by key. The zero value has no answers. Answers
// never change: With returns others. So a frontend proves answers of a certified round
// while it makes the next one.
type Answers struct {
	keys   []string
	bodies []Hash
	tree   merkle.Tree
}

// With returns the answers after changes: for each key the SHA-256 of the new body, or a
// zero hash to remove the key. If no key comes or goes, it hashes only the nodes above what
// changed.
func (a *Answers) With(changed map[string]Hash) *Answers {
	leaves, moved := map[int]Hash{}, false
	bodies := slices.Clone(a.bodies)
	for key, body := range changed {
		i, found := slices.BinarySearch(a.keys, key)
		moved = moved || found != (body != Hash{})
		if found {
			bodies[i], leaves[i] = body, leafOf(key, body)
		}
	}
	switch {
	case moved:
		return a.merge(changed)
	case len(leaves) == 0:
		return a
	}
	return &Answers{a.keys, bodies, a.tree.With(leaves)}
}

// merge makes the tree anew, with keys that came and without those that went.
func (a *Answers) merge(changed map[string]Hash) *Answers {
	most := len(a.keys) + len(changed)
	next := &Answers{keys: make([]string, 0, most), bodies: make([]Hash, 0, most)}
	leaves := make([]Hash, 0, most)
	add := func(key string, body, leaf Hash) {
		next.keys, next.bodies = append(next.keys, key), append(next.bodies, body)
		leaves = append(leaves, leaf)
	}
	old := 0
	keep := func(end int) {
		for ; old < end; old++ {
			add(a.keys[old], a.bodies[old], a.tree[0][old])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(changed)) {
		place, found := slices.BinarySearch(a.keys, key)
		keep(place)
		if found {
			old++
		}
		if body := changed[key]; body != (Hash{}) {
			add(key, body, leafOf(key, body))
		}
	}
	keep(len(a.keys))
	if len(leaves) > 0 {
		next.tree = merkle.New(leaves)
	}
	return next
}

func leafOf(key string, body Hash) Hash {
	leaf, _ := merkle.LeafHash(nil, append([]byte(key+"\n"), body[:]...))
	return leaf
}

// Size returns the number of answers.
func (a *Answers) Size() uint64 { return uint64(len(a.keys)) }

// At returns the key and the SHA-256 of the body of an answer, in the order of keys from 0.
func (a *Answers) At(i uint64) (key string, body Hash) { return a.keys[i], a.bodies[i] }

// Root returns the root of the tree.
func (a *Answers) Root() Hash {
	if len(a.keys) == 0 {
		return merkle.Empty()
	}
	return *a.tree.Root()
}

// Leaf is an answer in the tree, with the audit path that proves it.
type Leaf struct {
	Index uint64
	Body  Hash // the SHA-256 of the body
	Key   string
	Path  []Hash
}

// Prove returns the leaf of a key. If there is none, it returns the neighbours between
// which it would be: two, or one at either end, or none if there are no answers.
func (a *Answers) Prove(key string) []Leaf {
	i := sort.SearchStrings(a.keys, key)
	if i < len(a.keys) && a.keys[i] == key {
		return []Leaf{a.leaf(i)}
	}
	var leaves []Leaf
	for _, place := range []int{i - 1, i} {
		if place >= 0 && place < len(a.keys) {
			leaves = append(leaves, a.leaf(place))
		}
	}
	return leaves
}

func (a *Answers) leaf(i int) Leaf {
	return Leaf{uint64(i), a.bodies[i], a.keys[i], merkle.Path(a.tree.AppendPath(nil, i))}
}

// in reports whether the leaf is in a tree.
func (l *Leaf) in(size uint64, root Hash) bool {
	got, ok := merkle.RootFrom(leafOf(l.Key, l.Body), l.Index, size, l.Path)
	return ok && got == root
}

// provesAbsence reports whether leaves, each of which is in a tree of size answers, show
// that the tree has none with the key.
func provesAbsence(key string, leaves []Leaf, size uint64) bool {
	switch len(leaves) {
	case 0:
		return size == 0
	case 1:
		first := leaves[0].Index == 0 && key < leaves[0].Key
		return first || leaves[0].Index == size-1 && leaves[0].Key < key
	case 2:
		return leaves[0].Index+1 == leaves[1].Index && leaves[0].Key < key && key < leaves[1].Key
	}
	return false
}
