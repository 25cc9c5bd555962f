package cache

import (
	"slices"
	"testing"
	"time"
)

// flapping is a frontend that runs and stops in turns.
type flapping struct{ run, pause time.Duration }

// writeDelays lets c flap for ten seconds while a bard writes one revision after the
// other, each 10 ms after the last was released. It returns the delays of those that were
// written after the first second. If penalties is false, the master forgets each delay at
// once.
func (f flapping) writeDelays(t *testing.T, penalties bool) (delays []time.Duration) {
	g := servingGroup(t)
	start := g.now
	for end := start + 10*time.Second; g.now < end; {
		begun, to := g.now, g.push("scores/x")
		const step = time.Millisecond
		for pause := time.Duration(0); g.master.Released() < to || pause < 10*step; g.now += step {
			if g.master.Released() >= to {
				if pause == 0 && begun >= start+time.Second {
					delays = append(delays, g.now-begun)
				}
				pause += time.Millisecond
			}
			g.silent["c"] = (g.now-start)%(f.run+f.pause) >= f.run
			g.pass(0)
			if !penalties {
				g.master.members["c"].conduct = conduct{}
			}
		}
	}
	return delays
}

// In this world a write that waits for nobody takes no time.
func TestFlappingFrontendDelaysFewWrites(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, f := range []flapping{
		{100 * ms, 100 * ms}, {150 * ms, 250 * ms}, {50 * ms, 60 * ms},
		{10 * ms, 30 * ms}, {20 * ms, 200 * ms}, {90 * ms, 110 * ms},
		{500 * ms, 100 * ms}, {1000 * ms, 250 * ms}, {700 * ms, 700 * ms},
	} {
		sum := func(list []time.Duration) (sum time.Duration) {
			for _, d := range list {
				sum += d
			}
			return sum
		}
		before, after := f.writeDelays(t, false), f.writeDelays(t, true)
		slices.Sort(after)
		t.Logf("c runs %v and stops %v: writes are delayed by %v with penalties, and by %v without",
			f.run, f.pause, sum(after), sum(before))
		if p90 := after[len(after)*9/10]; p90 > 0 {
			t.Errorf("c runs %v and stops %v: one write in ten is delayed by %v", f.run, f.pause, p90)
		}
		if sum(after) > time.Second || sum(before) <= 750*ms {
			t.Errorf("c runs %v and stops %v: the writes of nine seconds are delayed by %v with penalties, "+
				"want at most 1 s, and by %v without, want more than 750 ms", f.run, f.pause, sum(after), sum(before))
		}
	}
}
