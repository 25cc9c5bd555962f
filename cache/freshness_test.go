package cache

import (
	"testing"
	"time"
)

// leaseFor gives a frontend a session, and a lease until a moment of its clock.
func leaseFor(t *testing.T, f *Frontend, until, now time.Duration) *Link {
	t.Helper()
	l := f.Open(false)
	for _, m := range []Message{
		&Hello{Epoch: 1, Lease: time.Minute},
		&Start{At: 10, Released: 10},
		&Grant{At: now, Remaining: longer(until - now)},
	} {
		if _, err := l.Receive(m, 1); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestAgeCountsFromWhatAStateLacks(t *testing.T) {
	now := time.Second
	f := NewFrontend(1<<20, func() time.Duration { return now }, 0)
	if _, known := f.Age(100); known {
		t.Error("the age is known before there was a session")
	}
	l := leaseFor(t, f, 2*time.Second, now)
	now = 1100 * time.Millisecond
	if _, err := l.Receive(&Push{From: 10, To: 12, Released: 10}, 1); err != nil {
		t.Fatal(err)
	}
	now = 1500 * time.Millisecond
	ages := map[uint64]time.Duration{12: 0, 13: 0, 11: 400 * time.Millisecond, 10: 400 * time.Millisecond}
	for revision, want := range ages {
		if age, known := f.Age(revision); !known || age != want {
			t.Errorf("the state at revision %d is %v old, known %v; want %v", revision, age, known, want)
		}
	}
	if _, known := f.Age(9); known {
		t.Error("the age of a state from before the session is known, though others may have been told more")
	}
	l.Receive(&Recall{}, 1)
	now = 1700 * time.Millisecond
	if age, known := f.Age(12); !known || age != 200*time.Millisecond {
		t.Errorf("%v after the lease was returned the state is %v old, known %v", 200*time.Millisecond, age, known)
	}
}

func TestFreshnessIsBounded(t *testing.T) {
	p := freshness{leased: time.Second}
	for revision := range uint64(2 * maxGaps) {
		p.pushed(revision+1, time.Duration(revision))
	}
	if len(p.gaps) > maxGaps || p.completeUntil(1) != 0 || p.completeUntil(2*maxGaps) != time.Second ||
		p.completeUntil(2*maxGaps-1) == 0 {
		t.Errorf("%d gaps are remembered; states were complete until %v, %v, %v",
			len(p.gaps), p.completeUntil(1), p.completeUntil(2*maxGaps), p.completeUntil(2*maxGaps-1))
	}
}
