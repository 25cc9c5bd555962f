package certify

import (
	"testing"
	"time"

	"laurel/witness"
)

func TestSealsOfManyAnswersLeaveTimeForAllElse(t *testing.T) {
	s, now := &seals{next: 7, many: true}, time.Now()
	for took, want := range map[time.Duration]time.Duration{
		0: 0, 40 * time.Millisecond: 120 * time.Millisecond, time.Minute: witness.SealInterval,
	} {
		s.rest(now, took)
		if number, wait, ok := s.due(now); number != 7 || wait != want || !ok {
			t.Errorf("after a seal that took %v: %d, %v, %t", took, number, wait, ok)
		}
		if _, wait, ok := s.due(now.Add(want)); wait != 0 || !ok {
			t.Errorf("after a seal that took %v, and the rest: %v, %t", took, wait, ok)
		}
	}
}
