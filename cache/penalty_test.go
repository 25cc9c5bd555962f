package cache

import (
	"testing"
	"time"
)

// stall makes c silent for a while, in which a revision is written.
func (g *group) stall(d time.Duration) {
	g.t.Helper()
	g.silent["c"] = true
	g.push("scores/x")
	g.pass(d)
	g.silent["c"] = false
	g.deliver()
}

// timeWithoutLease lets time pass until c has a lease again, and returns for how long it
// had none.
func (g *group) timeWithoutLease() time.Duration {
	g.t.Helper()
	g.passUntil("the end of c's lease", longestLease, func() bool { return !g.leased("c") })
	return g.passUntil("c's next lease", time.Minute, func() bool { return g.leased("c") })
}

// wantPenalty checks that a time is about that of a number of rounds.
func (g *group) wantPenalty(what string, got time.Duration, rounds int) {
	g.t.Helper()
	beat := testTimings.Beat
	if want := time.Duration(rounds) * beat; got < want-2*beat || got > want+2*beat {
		g.t.Errorf("%s: c had no lease for %v; want %d beats, which are %v", what, got, rounds, want)
	}
}

// longStall outlasts the lease of c, so that the whole penalty can be measured.
const longStall = 300 * time.Millisecond

func TestPenaltiesDoubleWithEachDelay(t *testing.T) {
	g := servingGroup(t)
	for _, rounds := range []int{2, 4, 8, 16, 32, 64, 100, 100} {
		g.stall(longStall)
		g.wantPenalty("after a stall", g.timeWithoutLease(), rounds)
	}
}

func TestPenaltiesAreForgottenAfterAMinuteWithoutDelay(t *testing.T) {
	g := servingGroup(t)
	for range 40 {
		g.stall(longStall)
		g.timeWithoutLease()
	}
	g.pass(time.Minute + 2*time.Second)
	g.stall(longStall)
	g.wantPenalty("after a minute", g.timeWithoutLease(), firstStreak)
}

func TestStallThatDelaysNoWriteHasNoPenalty(t *testing.T) {
	g := servingGroup(t)
	for range 10 {
		g.silent["c"] = true
		g.pass(longStall)
		g.silent["c"] = false
		g.pass(2 * testTimings.Beat)
		g.wantLeased("c", true)
	}
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestRareShortStallsHaveNoPenalty(t *testing.T) {
	g := servingGroup(t)
	for range 30 {
		g.stall(testTimings.AckTimeout - time.Millisecond)
		g.pass(2 * time.Second)
		g.wantLeased("c", true)
	}
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestMemberThatIsAlwaysALittleSlowerHasNoPenalty(t *testing.T) {
	g := servingGroup(t)
	for range 300 {
		g.stall(testTimings.AckTimeout/2 - time.Millisecond)
		g.wantLeased("c", true)
	}
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestConcurrentWaitsAreOneDelay(t *testing.T) {
	g := servingGroup(t)
	g.silent["c"] = true
	for range testTimings.AckTimeout/time.Millisecond - 1 {
		g.push("scores/x")
		g.pass(time.Millisecond)
	}
	g.silent["c"] = false
	g.deliver()
	g.wantReleased(g.master.pushed)
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestMemberWithoutALeaseIsNotCharged(t *testing.T) {
	ids := []string{"a", "b", "c", "d", "e"}
	g := newGroup(t, ids...)
	g.elect("a", voters(ids...)...)
	g.master.Ready(10, g.now)
	g.pass(3 * testTimings.Beat)
	g.silent["e"] = true
	g.pass(longStall)
	g.wantLeased("e", false)
	g.stall(longStall)
	if list := g.master.NewPenalties(); len(list) != 1 || list[0].Member != "c" {
		t.Errorf("%+v; want c alone", list)
	}
}

func TestPenaltyOutlastsTheStream(t *testing.T) {
	g := servingGroup(t)
	g.stall(longStall)
	g.timeWithoutLease()
	g.silent["c"] = true
	g.push("scores/x")
	// The write waits for the lease all the same.
	g.master.StreamLost("c", g.master.members["c"].stream, g.now)
	g.pass(longStall)
	g.links["c"].Close()
	g.silent["c"] = false
	g.connect("c", false)
	took := g.passUntil("c's next lease", time.Minute, func() bool { return g.leased("c") })
	g.wantPenalty("after the second stall", took, 2*firstStreak)

	g.stall(longStall)
	g.links["c"].Close()
	g.connect("c", false)
	g.pass(2 * firstStreak * testTimings.Beat)
	g.links["c"].Close()
	g.connect("c", false) // a streak does not continue on another stream
	took = g.passUntil("c's next lease", time.Minute, func() bool { return g.leased("c") })
	g.wantPenalty("after the third stall", took, 4*firstStreak)
}

func TestLateAckBreaksTheStreak(t *testing.T) {
	g := servingGroup(t)
	g.stall(longStall)
	for range 20 {
		g.pass((firstStreak - 3) * testTimings.Beat)
		g.silent["c"] = true
		g.pass(2*testTimings.Beat + time.Millisecond)
		g.silent["c"] = false
		g.deliver()
		g.wantLeased("c", false)
	}
	g.pass((firstStreak + 1) * testTimings.Beat)
	g.wantLeased("c", true)
}

func TestAckIsTimelyIfTheOthersAreAsLate(t *testing.T) {
	g := servingGroup(t)
	for range 3 {
		g.stall(longStall)
		g.timeWithoutLease()
	}
	g.stall(longStall)
	for range 6 * firstStreak {
		g.silent["b"], g.silent["c"] = true, true
		g.pass(2*testTimings.Beat + 5*time.Millisecond)
		g.silent["b"], g.silent["c"] = false, false
		g.pass(5 * time.Millisecond)
	}
	g.pass(2 * testTimings.Beat)
	g.wantLeased("c", true)
}

func TestPenalizedMemberIsStillPushedEverything(t *testing.T) {
	g := servingGroup(t)
	for range 5 {
		g.stall(longStall)
		g.timeWithoutLease()
	}
	g.stall(longStall)
	for range 10 {
		to := g.push("scores/x")
		g.wantReleased(to)
		if s := g.frontends["c"].State(); s.Lease > 0 || s.Pushed != to || s.Released != to {
			t.Fatalf("%+v; want no lease, and %d pushed and released", s, to)
		}
	}
}

// The master's own frontend acks at once, but that alone is no majority.
func TestNobodyIsChargedWhenAMajorityIsSlow(t *testing.T) {
	g := servingGroup(t)
	for range 50 {
		g.silent["b"], g.silent["c"] = true, true
		g.push("scores/x")
		g.pass(100 * time.Millisecond)
		g.silent["b"], g.silent["c"] = false, false
		g.deliver()
		g.pass(100 * time.Millisecond)
		for _, id := range []string{"a", "b", "c"} {
			g.wantLeased(id, true)
		}
	}
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestNobodyIsChargedForAPauseOfTheMaster(t *testing.T) {
	g := servingGroup(t)
	for range 50 {
		to := g.master.pushed + 1
		g.master.Push(nil, nil, to, g.now)
		g.now += 150 * time.Millisecond // nothing is delivered meanwhile
		g.deliver()
		g.pass(50 * time.Millisecond)
		g.wantReleased(to)
	}
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestPenaltyIsReportedOnce(t *testing.T) {
	g := servingGroup(t)
	g.stall(longStall)
	list := g.master.NewPenalties()
	if len(list) != 1 || list[0].Member != "c" || list[0].Rounds != firstStreak {
		t.Fatalf("%+v; want c, and %d rounds", list, firstStreak)
	}
	if owed := list[0].Debt; owed < testTimings.Lease-testTimings.Beat || owed > longestLease+5*time.Millisecond {
		t.Errorf("its debt is %v; want the rest of its lease", owed)
	}
	if again := g.master.NewPenalties(); len(again) > 0 {
		t.Errorf("a penalty was returned twice: %+v", again)
	}
	if n := g.master.Penalized(); n != 1 {
		t.Errorf("the leases of %d members are withheld; want 1", n)
	}
	g.timeWithoutLease()
	if n := g.master.Penalized(); n != 0 {
		t.Errorf("the leases of %d members are withheld; want none", n)
	}
}

func TestNewMasterStartsWithoutPenalties(t *testing.T) {
	g := servingGroup(t)
	for range 5 {
		g.stall(longStall)
		g.timeWithoutLease()
	}
	g.elect("b", voters("a", "b", "c")...)
	g.master.Ready(g.master.pushed, g.now)
	g.passUntil("serving", time.Second, g.master.Serving)
	g.pass(2 * testTimings.Beat)
	g.wantLeased("c", true)
}

// A member whose lease is withheld has none, so nothing waits for it.
func TestPenalizedMemberDelaysNothing(t *testing.T) {
	g := servingGroup(t)
	for range 5 {
		g.stall(longStall)
		g.timeWithoutLease()
	}
	g.stall(longStall)
	g.silent["c"] = true
	g.master.BeginRemoval("c", g.now)
	if !g.master.Removable("c", g.now) {
		t.Error("it is not removable")
	}
	g.master.CancelRemoval("c")
	g.master.BeginHandOver(g.now)
	g.deliver()
	if !g.master.HandedOver() {
		t.Error("it has not handed over")
	}
	g.master.CancelHandOver(g.now)
	g.silent["c"] = false
	g.master.SetGranting(false, g.now)
	g.deliver()
	if !g.master.NoLeases(g.now) {
		t.Error("a lease stands in pull mode")
	}
	g.master.SetGranting(true, g.now)
	g.pass(2 * testTimings.Beat)
	g.wantLeased("b", true)
	g.wantLeased("c", false)
	g.passUntil("c's next lease", time.Minute, func() bool { return g.leased("c") })
}
