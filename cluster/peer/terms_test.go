package peer

import (
	"math"
	"testing"
)

func TestTermFarAheadIsBelievedOnlyIfAMajorityReportsIt(t *testing.T) {
	nobody := func(uint64) bool { return false }
	all := func(uint64) bool { return true }
	for _, c := range []struct {
		term, own uint64
		reported  func(uint64) bool
		believed  bool
	}{
		{5, 5, nobody, true},
		{4, 5, nobody, true},
		{5 + MaxTermStep, 5, nobody, true},
		{6 + MaxTermStep, 5, nobody, false},
		{math.MaxUint64, 5, nobody, false},
		{math.MaxUint64, 0, nobody, true},
		{6 + MaxTermStep, 5, all, true},
	} {
		if err := checkTerm(c.term, c.own, c.reported); (err == nil) != c.believed {
			t.Errorf("the term %d at a member in %d: %v; want believed %v", c.term, c.own, err, c.believed)
		}
	}
}
