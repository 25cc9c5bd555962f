package cluster

import (
	"os"
	"strconv"
	"testing"
	"time"

	"laurel/cache"
	"laurel/score"
)

var usualFaults = []fault{
	cutOneWay, cutOneWay, isolate, isolate, pause, loseConnections, loseConnections, crash, crash,
	handOver, deposeMaster, deposeMaster, switchMode, joinOrLeave, joinOrLeave,
}

// planOf returns the plan of a seed. Three worlds of ten are of the kinds in
// worldlong_test.go.
func planOf(seed uint64) worldPlan {
	switch seed % 10 {
	case 2:
		return longPlanOf(seed / 10 * 2)
	case 8:
		return longPlanOf(seed/10*2 + 1)
	case 5:
		return votePlan()
	}
	return usualPlanOf(seed)
}

// usualPlanOf returns the plan of a usual world. Some have elections that end before a
// lease does, some a bad network, and some one deposition of the master after another.
func usualPlanOf(seed uint64) worldPlan {
	p := worldPlan{
		span: 5 * time.Second, faultInterval: 250 * time.Millisecond, faults: usualFaults,
		maxDelay: 150 * time.Millisecond, delayProbability: 0.01, fastElections: seed%3 == 0,
	}
	switch seed % 10 {
	case 4, 9:
		p.delayProbability, p.maxDelay = 0.05, 400*time.Millisecond
	case 7:
		p.small, p.faultInterval = true, 500*time.Millisecond
		p.faults = []fault{deposeMaster, deposeMaster, isolate, crash}
	}
	return p
}

// number returns the number in an environment variable, or a default.
func number(name string, or int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return or
}

// worldCount returns a number of worlds: few with the race detector, which makes them several
// times slower, full in .ci/run, long with LAUREL_LONG=1, and quick otherwise. LAUREL_WORLDS
// sets another number, and LAUREL_SEED the first seed.
func worldCount(few, quick, full, long int) int {
	worlds := quick
	switch {
	case os.Getenv("LAUREL_LONG") != "":
		worlds = long
	case raced:
		worlds = few
	case os.Getenv("LAUREL_CI") == "full" && !testing.Short():
		worlds = full
	}
	return number("LAUREL_WORLDS", worlds)
}

// runWorlds runs one world for each seed and returns the sums of their counts. It fails
// at the first world with a problem.
func runWorlds(t *testing.T, worlds int, plan func(seed uint64) worldPlan) map[string]int {
	first, began := uint64(number("LAUREL_SEED", 0)), time.Now()
	sum := map[string]int{}
	for seed := first; seed < first+uint64(worlds); seed++ {
		w := runWorld(t, seed, plan(seed))
		if why := w.failure(); why != "" {
			t.Fatalf("seed %d:\n%s\n\nlog:\n%s\n\n"+
				"to run it again: LAUREL_SEED=%d LAUREL_WORLDS=1 go test ./cluster -run '^%s$' -count=1",
				seed, why, w.log.tail(number("LAUREL_TAIL", 80)), seed, t.Name())
		}
		w.addTo(sum)
	}
	t.Logf("%d worlds from seed %d, %.1f a second, no problem: %v",
		worlds, first, float64(worlds)/time.Since(began).Seconds(), sum)
	return sum
}

// addTo adds the counts of a world to a sum.
func (w *world) addTo(sum map[string]int) {
	for what, n := range w.history.counts {
		if what == countStateBytes {
			sum[what] = max(sum[what], n)
		} else {
			sum[what] += n
		}
	}
}

func TestNoReadIsStaleInAnyWorld(t *testing.T) {
	worlds := worldCount(2, 10, 40, 3000) // ten kinds
	sum := runWorlds(t, worlds, planOf)
	if worlds < 40 {
		return // too few for each kind of fault to happen
	}
	// The checks are worth something only if each kind of answer was given often.
	for what, often := range map[string]int{
		score.Applied: 100, score.Duplicate: 1, cache.Hit: 500, cache.Wait: 10, cache.Load: 200,
		"hit at once": 200, "wait at once": 5, "not leased": 100, "reads that waited": 50,
		"direct: " + cache.Hit: 20, "direct: " + cache.Wait: 5, "pull: hit": 10, "pull: " + cache.Forward: 1,
		answeredStale: 20, "crashes": 1, "snapshots installed": 0, "masters": 3, "members that left": 0,
	} {
		if sum[what] < often*worlds || sum[what] == 0 {
			t.Errorf("too few of %q: %d in %d worlds; want %d", what, sum[what], worlds, often*worlds)
		}
	}
	// Each kind of fault that the plans ask for must have happened, too.
	for _, what := range []string{
		countOvertaken, countSlowPiece, countLost, countLateAfterCut, countAfterClose, countCallAfterClose,
		countSnapshotLate, countSnapshotWhole, countSnapshotPieces, countSnapshotBroken, countSenderHung,
		countSenderVanished, countLateVote, countLongCuts, countLongAway, countSlowLinks,
		countLeaders, countDeposed, countStates,
	} {
		if sum[what] == 0 {
			t.Errorf("no %q in %d worlds", what, worlds)
		}
	}
}

func TestNoReadIsStaleInAWorldWithCertificates(t *testing.T) {
	worlds := worldCount(1, 3, 6, 12)
	sum := map[string]int{}
	for seed := range uint64(worlds) {
		p := usualPlanOf(seed)
		p.secure = true
		w := runWorld(t, seed, p)
		if why := w.failure(); why != "" {
			t.Fatalf("seed %d:\n%s\n\nlog:\n%s", seed, why, w.log.tail(number("LAUREL_TAIL", 80)))
		}
		w.addTo(sum)
	}
	t.Logf("%d worlds: %v", worlds, sum)
	for _, what := range []string{score.Applied, cache.Hit, cache.Load, "masters"} {
		if sum[what] < worlds {
			t.Errorf("too few of %q: %d in %d worlds", what, sum[what], worlds)
		}
	}
}

// Each rule of the protocol, when it is switched off, must lead to a stale read that the
// same checks find, in worlds with many of the faults that the rule is for.
func TestWorldsFindEachMutation(t *testing.T) {
	if testing.Short() {
		t.Skip("it tests the checks, not the program")
	}
	rough := []fault{cutOneWay, isolate, isolate, pause, loseConnections}
	depositions := func(p *worldPlan) {
		p.small, p.faults, p.faultInterval = true, []fault{deposeMaster}, 800*time.Millisecond
	}
	for _, one := range []struct {
		name   string
		rule   cache.Mutation
		worlds int
		change func(*worldPlan)
	}{
		{"release before the acks", cache.MutationReleaseBeforeAcks, 20, nil},
		{"a new master waits for no older lease", cache.MutationSkipLeaseWait, 30, depositions},
		{"a deposed master forgets its own acks", cache.MutationForgetOwnAcks, 30, depositions},
		{"answer without checking the lease", cache.MutationSkipLeaseCheck, 20, nil},
		{"count a lease from the arrival of its grant", cache.MutationLeaseFromGrant, 200, func(p *worldPlan) {
			p.delayProbability, p.maxDelay, p.faults = 0.05, 400*time.Millisecond, rough
		}},
		{"keep the records across epochs", cache.MutationKeepRecords, 50, nil},
		{"answer above the released revision", cache.MutationIgnoreRelease, 50, nil},
		{"drop a silent frontend at once", cache.MutationDropSilent, 100, func(p *worldPlan) { p.faults = rough }},
		{"load without waiting for the state machine", cache.MutationIgnoreFloor, 20, nil},
		{"the master reads its state machine", cache.MutationReadStateMachine, 50, nil},
	} {
		t.Run(one.name, func(t *testing.T) {
			for seed := range uint64(one.worlds) {
				p := usualPlanOf(seed)
				if p.rules = one.rule; one.change != nil {
					one.change(&p)
				}
				if w := runWorld(t, seed, p); w.stale() {
					t.Logf("seed %d: %s", seed, w.failure())
					return
				} else if why := w.failure(); why != "" {
					t.Fatalf("seed %d: %s", seed, why)
				}
			}
			t.Errorf("no stale read was found in %d worlds", one.worlds)
		})
	}
}
