package witness

import (
	"crypto/sha256"
	"math/bits"
	"testing"
	"time"
)

// leastShared returns how many frontends the quorums of two rosters share at least. Rosters
// are sets of bits.
func leastShared(before, after uint) int {
	least := bits.Len(before | after)
	for a := range before + 1 {
		for b := range after + 1 {
			if a&^before == 0 && b&^after == 0 && isQuorum(a, before) && isQuorum(b, after) {
				least = min(least, bits.OnesCount(a&b))
			}
		}
	}
	return least
}

func isQuorum(of, roster uint) bool {
	return bits.OnesCount(of) >= LeastQuorum(bits.OnesCount(roster))
}

// One frontend is corrupt. Two quorums that share it alone could certify two histories.
func TestQuorumsBeforeAndAfterOneFrontendShareAnHonestOne(t *testing.T) {
	for _, one := range []struct {
		what          string
		before, after uint
		safe          bool
	}{
		{"no change", 0b1111, 0b1111, true},
		{"a fifth", 0b01111, 0b11111, true},
		{"the fifth leaves", 0b11111, 0b01111, true},
		{"another one of five leaves", 0b11111, 0b11110, true},
		{"a sixth", 0b011111, 0b111111, true},
		{"the sixth leaves", 0b111111, 0b011111, true},
		{"one of five has another key", 0b011111, 0b101111, true},
		{"one of four has another key", 0b01111, 0b10111, false},
		{"a fifth, and one leaves in the same round", 0b01111, 0b11110, false},
		{"one of four leaves", 0b1111, 0b0111, false},
	} {
		if shared := leastShared(one.before, one.after); shared >= 2 != one.safe {
			t.Errorf("%s: two quorums share only %d", one.what, shared)
		}
	}
}

func TestWhatAFrontendHasCosignedBindsItUnderAnotherRoster(t *testing.T) {
	g, _ := certifiedGroup(t)
	for _, contradicts := range []bool{false, true} {
		policy := testPolicy()
		policy.Quorum = LeastQuorum(5)
		policy.Frontends = append(policy.Frontends, Frontend{"f5", operatorKey(t).Frontend().Public})
		node, err := NewNode(simKeys[0], policy, g.saved[0])
		if err != nil {
			t.Fatal(err)
		}
		h := g.heads[0][1]
		if node.state.cosigned != h {
			t.Fatalf("it has cosigned %v; want %v", node.state.cosigned, h)
		}
		if contradicts {
			h.Root[0] ^= 1
		}
		now := g.now
		node.Sealed(h, now, now)
		for size := uint64(3); size < 6; size++ {
			now = now.Add(3 * time.Second)
			node.Sealed(Head{size, sha256.Sum256([]byte{byte(size)})}, now, now)
			node.Tick(now)
		}
		if reports := node.state.reported.Size > 2; reports == contradicts {
			t.Errorf("it contradicts what was cosigned: %t; and it is reported: %t", contradicts, reports)
		}
	}
}
