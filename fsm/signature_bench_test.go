package fsm

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"
	"time"

	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// BenchmarkApplySigned measures the cost of signatures: the marathon in entries of 512
// events, signed in trees of several sizes. The size 0 means unsigned.
func BenchmarkApplySigned(b *testing.B) {
	const source, at = "bard/bench", 512
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	grant := access.Change{At: time.Unix(1, 0).UTC(), By: "bench",
		Grant: &access.Grant{ID: score.KeyID(private.Public().(ed25519.PublicKey)),
			Name: source, Role: access.RoleBard, Public: private.Public().(ed25519.PublicKey)}}
	lineage := setLineage
	lineage.At, lineage.By = grant.At, grant.By
	var first [][]byte
	for _, c := range []access.Change{lineage, grant} {
		encoded, err := entry.EncodeChange(c)
		if err != nil {
			b.Fatal(err)
		}
		first = append(first, encoded)
	}
	for _, tree := range []int{0, 1, 16, 256} {
		events := readStream(b, "marathon", 20_000)
		for i := range events {
			e := &events[i]
			e.ID, e.IDGiven, e.Source, e.Seq, e.TimeGiven = fmt.Sprint("b-", i+1), true, source, uint64(i)+1, true
		}
		for part := range slices.Chunk(events, max(tree, 1)) {
			if tree == 0 {
				break
			}
			if err := signing.Sign(private, testLineage, part); err != nil {
				b.Fatal(err)
			}
		}
		entries := append(slices.Clone(first), encodeAll(b, events, at)...)
		b.Run(fmt.Sprintf("tree=%d", tree), func(b *testing.B) { benchmarkApply(b, entries, len(events)) })
	}
}
