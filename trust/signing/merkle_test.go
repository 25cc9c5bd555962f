package signing

import (
	"bytes"
	"encoding/hex"
	"testing"

	"laurel/score/merkle"
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
	var leaves []hash
	for i, text := range transparencyLeaves {
		form, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		leaf, _ := leafHash(nil, form)
		leaves = append(leaves, leaf)
		if got := hex.EncodeToString(newTree(leaves).root()[:]); got != transparencyRoots[i] {
			t.Errorf("of %d leaves: %s; want %s", i+1, got, transparencyRoots[i])
		}
	}
}

// recursiveRoot is MTH of RFC 6962, section 2.1.
func recursiveRoot(leaves []hash) hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := splitOf(len(leaves))
	left, right := recursiveRoot(leaves[:k]), recursiveRoot(leaves[k:])
	return nodeHash(&left, &right)
}

// recursivePath is PATH of RFC 6962, section 2.1.1.
func recursivePath(m int, leaves []hash) []byte {
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
	leaves := make([]hash, merkle.MaxTree)
	for i := range leaves {
		leaves[i], _ = leafHash(nil, []byte{byte(i)})
	}
	sizes := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33, 100, 127, 129, 255, 256}
	for _, size := range sizes {
		tree := newTree(leaves[:size])
		if *tree.root() != recursiveRoot(leaves[:size]) {
			t.Errorf("wrong root of %d leaves", size)
		}
		for i := range size {
			path := tree.appendPath(nil, i)
			if !bytes.Equal(path, recursivePath(i, leaves[:size])) {
				t.Errorf("wrong path of leaf %d of %d", i, size)
			}
			nodes, rest := unknownTree(size).climb(nil, leaves[i], i, path)
			if nodes[len(nodes)-1] != *tree.root() || len(rest) > 0 {
				t.Errorf("climb finds another root from leaf %d of %d", i, size)
			}
		}
	}
}
