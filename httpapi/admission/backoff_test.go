package admission

import (
	"testing"
	"time"
)

func TestPausedConnectionsComeBackOneByOne(t *testing.T) {
	b := New(Options{})
	now := time.Now()
	var all []time.Duration
	for range 3 * returnsPerSecond {
		all = append(all, b.pause(now))
	}
	for i, pause := range all {
		if pause < minPause || pause > maxPause {
			t.Fatalf("connection %d is paused for %s; want %s to %s", i, pause, minPause, maxPause)
		}
		if i >= returnsPerSecond && pause < maxPause && pause-all[i-returnsPerSecond] < time.Second-time.Microsecond {
			before := i - returnsPerSecond
			t.Fatalf("connection %d comes back %s after connection %d", i, pause-all[before], before)
		}
	}
	for range 16384 {
		if pause := b.pause(now); pause > maxPause {
			t.Fatalf("a connection is paused for %s; want at most %s, however many are paused", pause, maxPause)
		}
	}
	if !b.queued(now.Add(time.Second)) || b.queued(now.Add(maxPause)) {
		t.Errorf("queued after a second: %t, and after all have come back: %t",
			b.queued(now.Add(time.Second)), b.queued(now.Add(maxPause)))
	}
	if pause := b.pause(now.Add(maxPause)); pause != minPause {
		t.Errorf("after all have come back a connection is paused for %s; want %s", pause, minPause)
	}
}
