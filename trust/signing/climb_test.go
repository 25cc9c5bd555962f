package signing

import (
	"testing"

	"laurel/score/eventsig"
	"laurel/trust/merkle"
)

func TestClimbingFromAnyLeafOfAnUnknownTreeEndsAtItsRoot(t *testing.T) {
	leaves := make([]hash, eventsig.MaxTree)
	for i := range leaves {
		leaves[i], _ = merkle.LeafHash(nil, []byte{byte(i)})
	}
	for _, size := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33, 100, 127, 129, 255, 256} {
		tree := merkle.New(leaves[:size])
		for i := range size {
			nodes, rest := unknownTree(size).climb(nil, leaves[i], i, tree.AppendPath(nil, i))
			if nodes[len(nodes)-1] != *tree.Root() || len(rest) > 0 {
				t.Errorf("climb finds another root from leaf %d of %d", i, size)
			}
		}
	}
}
