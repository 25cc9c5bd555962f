package signing

import (
	"encoding/hex"
	"reflect"
	"testing"
)

func TestEdgeHasTheRootsOfRFC6962(t *testing.T) {
	var e *Edge
	if e.Root() != (hash{}) || e.Nodes() != nil {
		t.Error("the empty tree has a root or nodes")
	}
	for i, text := range transparencyLeaves {
		content, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		e = e.Append(LeafHash(content))
		root := e.Root()
		if got := hex.EncodeToString(root[:]); got != transparencyRoots[i] {
			t.Errorf("of %d leaves: %s; want %s", i+1, got, transparencyRoots[i])
		}
	}
}

func TestEdgeContinuesFromItsNodes(t *testing.T) {
	var e *Edge
	var leaves []hash
	for n := uint64(1); n <= 70; n++ {
		leaves = append(leaves, LeafHash([]byte{byte(n)}))
		e = e.Append(leaves[n-1])
		if e.Root() != recursiveRoot(leaves) {
			t.Fatalf("of %d leaves: another root than the recursion of RFC 6962", n)
		}
		again, ok := NewEdge(n, e.Nodes())
		if !ok || again.Root() != e.Root() || again.Append(leaves[0]).Root() != e.Append(leaves[0]).Root() {
			t.Fatalf("of %d leaves: another edge from its nodes, %t", n, ok)
		}
		if _, ok := NewEdge(n, append(e.Nodes(), leaves[0][:])); ok {
			t.Errorf("one node too many is taken for the edge of %d leaves", n)
		}
	}
	if _, ok := NewEdge(1, [][]byte{{1}}); ok {
		t.Error("a node of one byte is taken")
	}
	if _, ok := NewEdge(2, nil); ok {
		t.Error("an edge without nodes is taken for one of two leaves")
	}
}

func TestEdgeOfManyLeavesAppendedAtOnceIsThatOfEachByItself(t *testing.T) {
	var leaves []hash
	for n := range 70 {
		leaves = append(leaves, LeafHash([]byte{byte(n)}))
	}
	for before := range 40 {
		start := (*Edge)(nil).Append(leaves[:before]...)
		want := start
		for more := 0; before+more < len(leaves); more++ {
			if got := start.Append(leaves[before : before+more]...); got.Root() != want.Root() ||
				!reflect.DeepEqual(got.Nodes(), want.Nodes()) {
				t.Fatalf("%d leaves after %d: another edge", more, before)
			}
			want = want.Append(leaves[before+more])
		}
	}
}
