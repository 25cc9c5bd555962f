package cache

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// worldCount returns how many worlds a test runs: usual in go test ./..., three times as
// many in .ci/run (LAUREL_CI=full), and a hundred times as many with LAUREL_LONG=1, which
// takes minutes.
func worldCount(usual int) int {
	switch {
	case os.Getenv("LAUREL_LONG") != "":
		usual *= 100
	case os.Getenv("LAUREL_CI") == "full":
		usual *= 3
	}
	return usual / raceFactor
}

// runWorlds runs worlds until one violates linearizability, and returns how.
func runWorlds(t *testing.T, worlds int, plan simPlan) (found string, sum simCounts) {
	t.Helper()
	first := uint64(0)
	if n, err := strconv.ParseUint(os.Getenv("LAUREL_SEED"), 10, 64); err == nil {
		first = n
	}
	for seed := first; seed < first+uint64(worlds); seed++ {
		w := newWorld(seed, plan)
		w.run()
		sum.add(w.counts)
		if len(w.violations) > 0 {
			return fmt.Sprintf("seed %d: %s", seed, w.violations[0]), sum
		}
	}
	return "", sum
}

func TestNoWorldGivesAStaleAnswer(t *testing.T) {
	t.Parallel()
	worlds := worldCount(100)
	found, sum := runWorlds(t, worlds, simPlan{span: 4000})
	if found != "" {
		t.Fatal(found)
	}
	t.Logf("%d worlds: %+v", worlds, sum)
	// A checker that sees nothing finds nothing: each case must have happened often.
	for what, often := range map[string]bool{
		"reads":                       sum.reads > 200*worlds,
		"acked writes":                sum.acks > 50*worlds,
		"loads":                       sum.loads > 100*worlds,
		"reads that waited":           sum.waits > 10*worlds,
		"reads of lists":              sum.lists > 50*worlds,
		"reads at masters":            sum.own > 50*worlds,
		"new masters":                 sum.masters > 4*worlds,
		"membership changes":          sum.memberChanges > 2*worlds,
		"hand-overs":                  sum.handOvers > 2*worlds,
		"hand-overs taken back":       sum.handOversCancelled > 2*worlds,
		"switches to pull mode":       sum.pullModes > worlds,
		"direct answers":              sum.direct > 50*worlds,
		"direct answers that waited":  sum.directWaits > 10*worlds,
		"direct answers started over": sum.directRetries > worlds/10,
	} {
		if !often {
			t.Errorf("too few %s: %+v", what, sum)
		}
	}
}

func TestNoWorldGivesAStaleAnswerAfterAnElectionWithTheMastersOwnVote(t *testing.T) {
	t.Parallel()
	if found, _ := runWorlds(t, worldCount(30), simPlan{span: 4000, ownVoteElections: true}); found != "" {
		t.Fatal(found)
	}
}

func TestNoWorldGivesAStaleAnswerWhileRecordsAreEvicted(t *testing.T) {
	t.Parallel()
	if found, _ := runWorlds(t, worldCount(30), simPlan{span: 4000, boundRecords: true}); found != "" {
		t.Fatal(found)
	}
}

// Mutation testing: if a rule of the protocol is switched off, the same checker must
// notice it in the same worlds.
func TestEveryMutationOfTheProtocolIsFound(t *testing.T) {
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
		{"answer without checking the lease", MutationSkipLeaseCheck, 100, false},
		{"count a lease from the arrival of its grant", MutationLeaseFromGrant, 3000, false},
		{"keep the records across epochs", MutationKeepRecords, 1000, false},
		{"answer what is not released", MutationIgnoreRelease, 100, false},
		{"do not wait for a silent frontend's lease", MutationDropSilent, 1000, false},
		{"load without waiting for the state machine", MutationIgnoreFloor, 100, false},
		{"the master reads its state machine", MutationReadStateMachine, 100, false},
		{"a direct answer without checking the lease", MutationSkipLeaseCheck, 100, true},
		{"a direct answer that is not released", MutationIgnoreRelease, 100, true},
		{"a direct answer without waiting for the state machine", MutationIgnoreFloor, 100, true},
		{"a direct answer that reads P before it checks the lease", MutationFloorBeforeLease, 1000, true},
	} {
		t.Run(one.name, func(t *testing.T) {
			found, _ := runWorlds(t, one.worlds, simPlan{
				span:             4000,
				mutation:         one.rule,
				ownVoteElections: one.rule == MutationForgetOwnAcks,
				direct:           one.direct,
			})
			if found == "" {
				t.Errorf("nothing was found in %d worlds", one.worlds)
			}
			t.Log(found)
		})
	}
}

func TestWorldIsDeterminedByItsSeed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		a, b := newWorld(seed, simPlan{span: 3000}), newWorld(seed, simPlan{span: 3000})
		a.run()
		b.run()
		if a.counts != b.counts || a.seq != b.seq || a.now != b.now || a.newestSeen != b.newestSeen {
			t.Errorf("seed %d: %+v at %v, and then %+v at %v", seed, a.counts, a.now, b.counts, b.now)
		}
	}
}
