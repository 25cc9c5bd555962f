package proofs

import (
	"strings"
	"testing"
)

// Proofs change each second, so what is kept of old ones must not add up.
func TestKeptProofsAreBounded(t *testing.T) {
	var p kept
	big := []byte(strings.Repeat("x", maxProven/4))
	for i := range 6 {
		for _, proof := range []string{"a", "b"} {
			body, tag, err := p.encode(string(rune('a'+i)), big, proof)
			again, same, _ := p.encode(string(rune('a'+i)), big, proof)
			if err != nil || &body[0] != &again[0] || tag != same {
				t.Fatalf("a proof is encoded twice: %v", err)
			}
		}
		kept := 0
		for _, a := range p.byKey {
			kept += len(a.body)
		}
		if kept != p.size || kept > maxProven {
			t.Fatalf("%d bytes are kept; it counts %d", kept, p.size)
		}
	}
}
