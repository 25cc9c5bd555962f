package cache

import (
	"slices"
	"testing"
	"time"
)

// flap is a way in which a frontend runs and stops in turns.
type flap struct{ run, pause time.Duration }

// write lets c flap for ten seconds, while a bard writes one revision after the other, 10 ms after the last was
// released. It returns how long those were delayed that it wrote after the first second. Without the rule, the
// master forgets each delay at once.
func (f flap) write(t *testing.T, rule bool) (delays []time.Duration) {
	g := serving(t)
	start := g.now
	for end := start + 10*time.Second; g.now < end; {
		begun, to := g.now, g.push("scores/x")
		for pause := time.Duration(0); g.master.Released() < to || pause < 10*time.Millisecond; g.now += time.Millisecond {
			if g.master.Released() >= to {
				if pause == 0 && begun >= start+time.Second {
					delays = append(delays, g.now-begun)
				}
				pause += time.Millisecond
			}
			g.silent["c"] = (g.now-start)%(f.run+f.pause) >= f.run
			g.pass(0)
			if !rule {
				g.master.members["c"].conduct = conduct{}
			}
		}
	}
	return delays
}

// The bounds are of a world in which a write that waits for nobody takes no time.
func TestAFlappingFrontendDelaysFewWrites(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, f := range []flap{
		{100 * ms, 100 * ms}, {150 * ms, 250 * ms}, {50 * ms, 60 * ms}, {10 * ms, 30 * ms}, {20 * ms, 200 * ms}, {90 * ms, 110 * ms},
		{500 * ms, 100 * ms}, {1000 * ms, 250 * ms}, {700 * ms, 700 * ms},
	} {
		sum := func(list []time.Duration) (sum time.Duration) {
			for _, d := range list {
				sum += d
			}
			return sum
		}
		before, after := f.write(t, false), f.write(t, true)
		slices.Sort(after)
		t.Logf("c runs %v and stops %v: writes are delayed by %v, and by %v without the rule", f.run, f.pause, sum(after), sum(before))
		if p90 := after[len(after)*9/10]; p90 > 0 {
			t.Errorf("c runs %v and stops %v: one write in ten is delayed by %v", f.run, f.pause, p90)
		}
		if sum(after) > time.Second || sum(before) <= time.Second {
			t.Errorf("c runs %v and stops %v: the writes of nine seconds are delayed by %v, and by %v without the rule; want less than a second, and more", f.run, f.pause, sum(after), sum(before))
		}
	}
}
