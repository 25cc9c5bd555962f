package cache

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// long is for the form that takes minutes. LAUREL_LONG=1 asks for it.
var long = os.Getenv("LAUREL_LONG") != ""

// explore runs worlds until one goes wrong.
func explore(t *testing.T, worlds int, plan simPlan) (found string, sum simCounts) {
	t.Helper()
	first := uint64(0)
	if n, err := strconv.ParseUint(os.Getenv("LAUREL_SEED"), 10, 64); err == nil {
		first = n
	}
	for seed := first; seed < first+uint64(worlds); seed++ {
		w := newWorld(seed, plan)
		w.run()
		sum.add(w.counts)
		if len(w.stale) > 0 {
			return fmt.Sprintf("seed %d: %s", seed, w.stale[0]), sum
		}
	}
	return "", sum
}

func TestNoWorldGivesAStaleAnswer(t *testing.T) {
	t.Parallel()
	worlds := 300
	if long {
		worlds = 10_000
	}
	worlds /= slower
	found, sum := explore(t, worlds, simPlan{span: 4000})
	if found != "" {
		t.Fatal(found)
	}
	t.Logf("%d worlds: %+v", worlds, sum)
	// A checker that sees nothing finds nothing: each of the ways must have been gone often.
	for what, often := range map[string]bool{
		"reads":                     sum.reads > 200*worlds,
		"acked writes":              sum.acks > 50*worlds,
		"loads":                     sum.loads > 100*worlds,
		"reads that waited":         sum.waits > 10*worlds,
		"reads of lists":            sum.lists > 50*worlds,
		"reads at masters":          sum.own > 50*worlds,
		"new masters":               sum.masters > 4*worlds,
		"changes of the members":    sum.members > 2*worlds,
		"hand-overs":                sum.handed > 2*worlds,
		"hand-overs that came back": sum.resumed > 2*worlds,
		"times of pull":             sum.pulls > worlds,
		"direct answers":            sum.direct > 50*worlds,
		"direct ones that waited":   sum.directWaits > 10*worlds,
		"direct ones begun anew":    sum.directAgain > worlds/10,
	} {
		if !often {
			t.Errorf("too few %s: %+v", what, sum)
		}
	}
}

func TestNoWorldGivesAStaleAnswerAfterACoup(t *testing.T) {
	t.Parallel()
	worlds := 100
	if long {
		worlds = 3000
	}
	if found, _ := explore(t, worlds/slower, simPlan{span: 4000, coups: true}); found != "" {
		t.Fatal(found)
	}
}

func TestNoWorldGivesAStaleAnswerWhileRecordsAreEvicted(t *testing.T) {
	t.Parallel()
	worlds := 100
	if long {
		worlds = 3000
	}
	if found, _ := explore(t, worlds/slower, simPlan{span: 4000, bound: true}); found != "" {
		t.Fatal(found)
	}
}

// Each rule of the protocol, when it is switched off, must be missed by the same checker in the same worlds.
func TestTheCheckerMissesEachRuleThatIsSwitchedOff(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name   string
		rule   Mutation
		worlds int
		direct bool
	}{
		{"release before the acks", MutationReleaseBeforeAcks, 100, false},
		{"a new master waits for no older lease", MutationSkipLeaseWait, 1000, false},
		{"a deposed master forgets its own acks", MutationForgetOwnAcks, 500, false},
		{"answer without a look at the lease", MutationSkipLeaseCheck, 100, false},
		{"count a lease from the arrival of its grant", MutationLeaseFromGrant, 3000, false},
		{"keep the records across epochs", MutationKeepRecords, 1000, false},
		{"answer above what is released", MutationIgnoreRelease, 100, false},
		{"drop a silent frontend at once", MutationDropSilent, 1000, false},
		{"load without waiting for the state machine", MutationIgnoreFloor, 100, false},
		{"the master reads its state machine", MutationReadStateMachine, 100, false},
		{"a direct answer without a look at the lease", MutationSkipLeaseCheck, 100, true},
		{"a direct answer above what is released", MutationIgnoreRelease, 100, true},
		{"a direct answer without waiting for the state machine", MutationIgnoreFloor, 100, true},
		{"a direct answer that looks at P first and at the lease after", MutationFloorBeforeLease, 1000, true},
	} {
		t.Run(one.name, func(t *testing.T) {
			found, _ := explore(t, one.worlds, simPlan{span: 4000, rules: one.rule, coups: one.rule == MutationForgetOwnAcks, direct: one.direct})
			if found == "" {
				t.Errorf("nothing was found in %d worlds", one.worlds)
			}
			t.Log(found)
		})
	}
}

func TestAWorldFollowsFromItsSeed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		a, b := newWorld(seed, simPlan{span: 3000}), newWorld(seed, simPlan{span: 3000})
		a.run()
		b.run()
		if a.counts != b.counts || a.seq != b.seq || a.now != b.now || a.seen != b.seen {
			t.Errorf("seed %d: %+v at %v, and then %+v at %v", seed, a.counts, a.now, b.counts, b.now)
		}
	}
}
