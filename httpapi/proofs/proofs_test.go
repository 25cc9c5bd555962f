package proofs

import (
	"fmt"
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
			kept += a.bytes()
		}
		if kept != p.size || kept > maxProven {
			t.Fatalf("%d bytes are kept; it counts %d", kept, p.size)
		}
	}
}

// Questions for answers that do not exist do not drive out proofs that many ask for.
func TestProofsOfAbsenceAreNotKept(t *testing.T) {
	var p kept
	first, _, err := p.encode("scores/there", []byte("{}"), "proof")
	if err != nil {
		t.Fatal(err)
	}
	proof := strings.Repeat("x", maxProven/16)
	for i := range 32 {
		if _, _, err := p.encode(fmt.Sprint("scores/none/", i), nil, proof); err != nil {
			t.Fatal(err)
		}
	}
	if again, _, _ := p.encode("scores/there", []byte("{}"), "proof"); &again[0] != &first[0] || len(p.byKey) != 1 {
		t.Errorf("%d proofs are kept", len(p.byKey))
	}
}
