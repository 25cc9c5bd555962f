package ranking

import (
	"cmp"
	"math/rand/v2"
	"testing"
)

// at is the place of an item.
func at(x int) func(int) int { return func(item int) int { return cmp.Compare(item, x) } }

func TestALargeBoardMadeAtOnceIsAsOneThatGrew(t *testing.T) {
	const n = 50_000 // nodes on three levels
	var items []int
	for i := range n {
		items = append(items, 2*i)
	}
	o := filled(items)
	for i := range n {
		if o.at(i) != 2*i || o.index(at(2*i)) != i || o.index(at(2*i+1)) != i+1 {
			t.Fatalf("item %d is %d, its index %d", i, o.at(i), o.index(at(2*i)))
		}
	}
	for i := range n {
		if i%3 == 0 && !o.remove(at(2*i)) {
			t.Fatalf("%d is not there", 2*i)
		}
		o.insert(at(2*i+1), 2*i+1)
	}
	before := 0
	for i := range n {
		if i%3 != 0 {
			if o.at(before) != 2*i {
				t.Fatalf("item %d is %d; want %d", before, o.at(before), 2*i)
			}
			before++
		}
		if o.index(at(2*i+1)) != before {
			t.Fatalf("the index of %d is %d; want %d", 2*i+1, o.index(at(2*i+1)), before)
		}
		before++
	}
	if o.len() != before {
		t.Errorf("%d items; want %d", o.len(), before)
	}
	shrink(t, o)
}

// shrink takes away nearly all, so that leaves and inner nodes are joined.
func shrink(t *testing.T, o *order[int]) {
	var stay []int
	o.from(0, func(x int) bool { stay = append(stay, x); return true })
	random := rand.New(rand.NewPCG(1, 1))
	for len(stay) > 10 {
		var next []int
		for _, x := range stay {
			if random.IntN(3) > 0 {
				next = append(next, x)
			} else if !o.remove(at(x)) {
				t.Fatalf("%d is not there", x)
			}
		}
		stay = next
		for i, x := range stay {
			if o.index(at(x)) != i || o.at(i) != x {
				t.Fatalf("of %d, item %d is %d, its index %d; want %d", len(stay), i, o.at(i), o.index(at(x)), x)
			}
		}
	}
}
