package ranking

import (
	"cmp"
	"math/rand/v2"
	"testing"
)

// at returns the position of an item.
func at(x int) func(int) int { return func(item int) int { return cmp.Compare(item, x) } }

func TestALargeBuiltTreeChangesCorrectly(t *testing.T) {
	const n = 50_000 // nodes on three levels
	var items []int
	for i := range n {
		items = append(items, 2*i)
	}
	tree := buildTree(items)
	for i := range n {
		if tree.at(i) != 2*i || tree.index(at(2*i)) != i || tree.index(at(2*i+1)) != i+1 {
			t.Fatalf("item %d is %d, its index %d", i, tree.at(i), tree.index(at(2*i)))
		}
	}
	for i := range n {
		if i%3 == 0 && !tree.remove(at(2*i)) {
			t.Fatalf("item %d is missing", 2*i)
		}
		tree.insert(at(2*i+1), 2*i+1)
	}
	before := 0
	for i := range n {
		if i%3 != 0 {
			if tree.at(before) != 2*i {
				t.Fatalf("item %d is %d; want %d", before, tree.at(before), 2*i)
			}
			before++
		}
		if tree.index(at(2*i+1)) != before {
			t.Fatalf("the index of %d is %d; want %d", 2*i+1, tree.index(at(2*i+1)), before)
		}
		before++
	}
	if tree.len() != before {
		t.Errorf("%d items; want %d", tree.len(), before)
	}
	shrink(t, tree)
}

// shrink removes nearly all items, so that leaves and inner nodes become empty.
func shrink(t *testing.T, tree *tree[int]) {
	var left []int
	tree.root.walk(0, func(x int) bool { left = append(left, x); return true })
	random := rand.New(rand.NewPCG(1, 1))
	for len(left) > 10 {
		var next []int
		for _, x := range left {
			if random.IntN(3) > 0 {
				next = append(next, x)
			} else if !tree.remove(at(x)) {
				t.Fatalf("item %d is missing", x)
			}
		}
		left = next
		for i, x := range left {
			if tree.index(at(x)) != i || tree.at(i) != x {
				t.Fatalf("of %d, item %d is %d, its index %d; want %d", len(left), i, tree.at(i), tree.index(at(x)), x)
			}
		}
	}
}
