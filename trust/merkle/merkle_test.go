package merkle

import (
	"bytes"
	"encoding/hex"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// Leaves, and the roots of the trees of the first n leaves, from the tests of certificate
// transparency.
var (
	transparencyLeaves = []string{
		"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
	}
	transparencyRoots = []string{
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
)

func TestTreesHaveTheRootsOfRFC6962(t *testing.T) {
	var leaves []Hash
	for i, text := range transparencyLeaves {
		form, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		leaf, _ := LeafHash(nil, form)
		leaves = append(leaves, leaf)
		if got := hex.EncodeToString(New(leaves).Root()[:]); got != transparencyRoots[i] {
			t.Errorf("of %d leaves: %s; want %s", i+1, got, transparencyRoots[i])
		}
	}
}

// recursiveRoot is MTH of RFC 6962, section 2.1.
func recursiveRoot(leaves []Hash) Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := splitOf(len(leaves))
	left, right := recursiveRoot(leaves[:k]), recursiveRoot(leaves[k:])
	return NodeHash(&left, &right)
}

// recursivePath is PATH of RFC 6962, section 2.1.1.
func recursivePath(m int, leaves []Hash) []byte {
	if len(leaves) == 1 {
		return nil
	}
	k := splitOf(len(leaves))
	if m < k {
		right := recursiveRoot(leaves[k:])
		return append(recursivePath(m, leaves[:k]), right[:]...)
	}
	left := recursiveRoot(leaves[:k])
	return append(recursivePath(m-k, leaves[k:]), left[:]...)
}

// splitOf returns the largest power of two below n.
func splitOf(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

func TestPathsAreThoseOfRFC6962InTreesOfAllSizes(t *testing.T) {
	leaves := make([]Hash, 256)
	for i := range leaves {
		leaves[i], _ = LeafHash(nil, []byte{byte(i)})
	}
	sizes := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33, 100, 127, 129, 255, 256}
	for _, size := range sizes {
		tree := New(leaves[:size])
		if *tree.Root() != recursiveRoot(leaves[:size]) {
			t.Errorf("wrong root of %d leaves", size)
		}
		for i := range size {
			path := tree.AppendPath(nil, i)
			if !bytes.Equal(path, recursivePath(i, leaves[:size])) {
				t.Errorf("wrong path of leaf %d of %d", i, size)
			}
			if root, ok := RootFrom(leaves[i], uint64(i), uint64(size), Path(path)); !ok || root != *tree.Root() {
				t.Errorf("RootFrom finds another root from leaf %d of %d", i, size)
			}
		}
	}
}

func leavesOf(n int) []Hash {
	leaves := make([]Hash, n)
	for i := range leaves {
		leaves[i], _ = LeafHash(nil, []byte{byte(i), byte(i >> 8)})
	}
	return leaves
}

func TestAnEdgeGrowsToTheRootsOfTheWholeTree(t *testing.T) {
	leaves := leavesOf(300)
	var e Edge
	if e.Root() != Empty() || len(e.NextPath()) != 0 {
		t.Error("an empty tree has another root than RFC 6962 says, or a path")
	}
	for i, leaf := range leaves {
		path := e.NextPath()
		before := slices.Clone(e.Nodes)
		next := e.Append(leaf)
		if !slices.Equal(before, e.Nodes) {
			t.Fatalf("Append changed the edge of %d leaves", i)
		}
		e = next
		if e.Size != uint64(i+1) || e.Root() != recursiveRoot(leaves[:i+1]) {
			t.Fatalf("wrong root of %d leaves", i+1)
		}
		if !bytes.Equal(recursivePath(i, leaves[:i+1]), slices.Concat(bytesOf(path)...)) {
			t.Fatalf("wrong path of the newest of %d leaves", i+1)
		}
		if len(e.Nodes) != bits.OnesCount64(e.Size) {
			t.Fatalf("%d leaves need %d nodes", i+1, len(e.Nodes))
		}
	}
}

func bytesOf(path []Hash) (all [][]byte) {
	for i := range path {
		all = append(all, path[i][:])
	}
	return all
}

func TestATreeWithOtherLeavesIsTheTreeMadeAnew(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for size := 1; size < 70; size++ {
		leaves := leavesOf(size)
		tree := New(slices.Clone(leaves))
		changes := map[int]Hash{}
		for range 1 + random.IntN(3) {
			changes[random.IntN(size)] = Hash{byte(random.Uint32())}
		}
		got := tree.With(changes)
		if *tree.Root() != recursiveRoot(leaves) {
			t.Fatalf("With changed the tree of %d leaves itself", size)
		}
		for i, leaf := range changes {
			leaves[i] = leaf
		}
		if want := New(leaves); !slices.EqualFunc(got, want, slices.Equal) {
			t.Fatalf("%d leaves, %d changed: the tree differs from one made anew", size, len(changes))
		}
	}
}

func TestNoOtherPathOrPlaceGivesTheRoot(t *testing.T) {
	for size := 1; size < 40; size++ {
		leaves := leavesOf(size)
		tree := New(leaves)
		for i, leaf := range leaves {
			path := Path(tree.AppendPath(nil, i))
			for other := range size + 2 {
				root, ok := RootFrom(leaf, uint64(other), uint64(size), path)
				if ok && root == *tree.Root() && other != i {
					t.Fatalf("leaf %d of %d also passes as leaf %d", i, size, other)
				}
			}
			for _, wrong := range [][]Hash{append(slices.Clone(path), Hash{}), path[:max(len(path)-1, 0)]} {
				root, ok := RootFrom(leaf, uint64(i), uint64(size), wrong)
				if len(wrong) != len(path) && ok && root == *tree.Root() {
					t.Fatalf("a path of %d hashes passes for leaf %d of %d", len(wrong), i, size)
				}
			}
		}
	}
}
