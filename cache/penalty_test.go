package cache

import (
	"testing"
	"time"
)

// stall lets c be silent for a while in which a revision is written.
func (g *group) stall(d time.Duration) {
	g.t.Helper()
	g.silent["c"] = true
	g.push("scores/x")
	g.pass(d)
	g.silent["c"] = false
	g.pump()
}

// withoutLease lets time pass until c has a lease, and returns for how long it had none.
func (g *group) withoutLease() time.Duration {
	g.t.Helper()
	g.passUntil("the end of c's lease", longest, func() bool { return !g.leased("c") })
	return g.passUntil("c's next lease", time.Minute, func() bool { return g.leased("c") })
}

// wantRows checks that a time is about that of a number of rounds.
func (g *group) wantRows(what string, got time.Duration, rounds int) {
	g.t.Helper()
	beat := simTimings.Beat
	if want := time.Duration(rounds) * beat; got < want-2*beat || got > want+2*beat {
		g.t.Errorf("%s: c had no lease for %v; want %d beats, which are %v", what, got, rounds, want)
	}
}

// hung is a stall that outlasts the lease of c, so that the length of the penalty is seen whole.
const hung = 300 * time.Millisecond

func TestPenaltiesDoubleForAMemberThatDelaysWritesAgainAndAgain(t *testing.T) {
	g := serving(t)
	for _, rounds := range []int{5, 10, 20, 40, 80, 160, 250, 250} {
		g.stall(hung)
		g.wantRows("after a stall", g.withoutLease(), rounds)
	}
}

func TestAMinuteWithoutADelayEndsThePenalties(t *testing.T) {
	g := serving(t)
	for range 40 {
		g.stall(hung)
		g.withoutLease()
	}
	g.pass(time.Minute + 2*time.Second)
	g.stall(hung)
	g.wantRows("after a minute", g.withoutLease(), firstStreak)
}

func TestAStallThatDelaysNoWriteCostsNoPenalty(t *testing.T) {
	g := serving(t)
	for range 10 {
		g.silent["c"] = true
		g.pass(hung)
		g.silent["c"] = false
		g.pass(2 * simTimings.Beat)
		g.wantLeased("c", true)
	}
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestAShortStallNowAndThenCostsNoPenalty(t *testing.T) {
	g := serving(t)
	for range 30 {
		g.stall(simTimings.AckTimeout - time.Millisecond)
		g.pass(2 * time.Second)
		g.wantLeased("c", true)
	}
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestAMemberThatIsAlwaysALittleSlowerCostsNoPenalty(t *testing.T) {
	g := serving(t)
	for range 300 {
		g.stall(simTimings.Beat - time.Millisecond)
		g.wantLeased("c", true)
	}
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestWritesThatWaitAtTheSameTimeAreOneDelay(t *testing.T) {
	g := serving(t)
	g.silent["c"] = true
	for range simTimings.AckTimeout/time.Millisecond - 1 {
		g.push("scores/x")
		g.pass(time.Millisecond)
	}
	g.silent["c"] = false
	g.pump()
	g.wantReleased(g.master.pushed)
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestAMemberWithoutALeaseIsNotChargedForAnothersDelay(t *testing.T) {
	ids := []string{"a", "b", "c", "d", "e"}
	g := newGroup(t, ids...)
	g.elect("a", voters(ids...)...)
	g.master.Ready(10, g.now)
	g.pass(3 * simTimings.Beat)
	g.silent["e"] = true
	g.pass(hung)
	g.wantLeased("e", false)
	g.stall(hung)
	if list := g.master.NewPenalties(); len(list) != 1 || list[0].Member != "c" {
		t.Errorf("%+v; want c alone", list)
	}
}

func TestALeaseIsWithheldAlsoAcrossTheLossOfAStream(t *testing.T) {
	g := serving(t)
	g.stall(hung)
	g.withoutLease()
	g.silent["c"] = true
	g.push("scores/x")
	g.master.StreamLost("c", g.master.members["c"].stream, g.now) // the write waits for the lease all the same
	g.pass(hung)
	g.links["c"].Close()
	g.silent["c"] = false
	g.connect("c", false)
	took := g.passUntil("c's next lease", time.Minute, func() bool { return g.leased("c") })
	g.wantRows("after the second stall", took, 2*firstStreak)

	g.stall(hung)
	g.links["c"].Close()
	g.connect("c", false)
	g.pass(10 * simTimings.Beat)
	g.links["c"].Close()
	g.connect("c", false) // acks on another stream are not in a row with these
	took = g.passUntil("c's next lease", time.Minute, func() bool { return g.leased("c") })
	g.wantRows("after the third stall", took, 4*firstStreak)
}

func TestALateAckBeginsTheRowAnew(t *testing.T) {
	g := serving(t)
	g.stall(hung)
	for range 20 {
		g.pass((firstStreak - 3) * simTimings.Beat)
		g.silent["c"] = true
		g.pass(2*simTimings.Beat + time.Millisecond)
		g.silent["c"] = false
		g.pump()
		g.wantLeased("c", false)
	}
	g.pass((firstStreak + 1) * simTimings.Beat)
	g.wantLeased("c", true)
}

func TestAnAckIsAsTimelyAsThoseOfTheOthers(t *testing.T) {
	g := serving(t)
	for range 3 {
		g.stall(hung)
		g.withoutLease()
	}
	g.stall(hung)
	for range 6 * firstStreak {
		g.silent["b"], g.silent["c"] = true, true
		g.pass(2*simTimings.Beat + 5*time.Millisecond)
		g.silent["b"], g.silent["c"] = false, false
		g.pass(5 * time.Millisecond)
	}
	g.pass(2 * simTimings.Beat)
	g.wantLeased("c", true)
}

func TestAMemberWhoseLeaseIsWithheldHasAllThatIsReleased(t *testing.T) {
	g := serving(t)
	for range 5 {
		g.stall(hung)
		g.withoutLease()
	}
	g.stall(hung)
	for range 10 {
		to := g.push("scores/x")
		g.wantReleased(to)
		if s := g.all["c"].State(); s.Lease > 0 || s.Pushed != to || s.Released != to {
			t.Fatalf("%+v; want no lease, and %d pushed and released", s, to)
		}
	}
}

// Where everybody is as slow there is nobody to blame, and the master's own frontend acks at once.
func TestNobodyIsChargedForWhatAMajorityIsSlowAt(t *testing.T) {
	g := serving(t)
	for range 50 {
		g.silent["b"], g.silent["c"] = true, true
		g.push("scores/x")
		g.pass(100 * time.Millisecond)
		g.silent["b"], g.silent["c"] = false, false
		g.pump()
		g.pass(100 * time.Millisecond)
		for _, id := range []string{"a", "b", "c"} {
			g.wantLeased(id, true)
		}
	}
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestThePauseOfAMasterIsNoOtherMembersFault(t *testing.T) {
	g := serving(t)
	for range 50 {
		to := g.master.pushed + 1
		g.master.Push(nil, nil, to, g.now)
		g.now += 150 * time.Millisecond // nothing is delivered meanwhile
		g.pump()
		g.pass(50 * time.Millisecond)
		g.wantReleased(to)
	}
	if list := g.master.NewPenalties(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestAWithheldLeaseIsTold(t *testing.T) {
	g := serving(t)
	g.stall(hung)
	list := g.master.NewPenalties()
	if len(list) != 1 || list[0].Member != "c" || list[0].Rounds != firstStreak {
		t.Fatalf("%+v; want c, and %d rounds", list, firstStreak)
	}
	if owed := list[0].Debt; owed < simTimings.Lease-simTimings.Beat || owed > longest+5*time.Millisecond {
		t.Errorf("it owes %v; want the rest of its lease", owed)
	}
	if again := g.master.NewPenalties(); len(again) > 0 {
		t.Errorf("it was told twice: %+v", again)
	}
	if n := g.master.Penalized(); n != 1 {
		t.Errorf("the leases of %d members are withheld; want 1", n)
	}
	g.withoutLease()
	if n := g.master.Penalized(); n != 0 {
		t.Errorf("the leases of %d members are withheld; want none", n)
	}
}

func TestANewMasterHoldsNothingAgainstAMember(t *testing.T) {
	g := serving(t)
	for range 5 {
		g.stall(hung)
		g.withoutLease()
	}
	g.elect("b", voters("a", "b", "c")...)
	g.master.Ready(g.master.pushed, g.now)
	g.passUntil("serving", time.Second, g.master.Serving)
	g.pass(2 * simTimings.Beat)
	g.wantLeased("c", true)
}

// A member whose lease is withheld holds none, so nothing waits for it.
func TestAMemberWhoseLeaseIsWithheldKeepsNobodyWaiting(t *testing.T) {
	g := serving(t)
	for range 5 {
		g.stall(hung)
		g.withoutLease()
	}
	g.stall(hung)
	g.silent["c"] = true
	g.master.BeginRemoval("c", g.now)
	if !g.master.Removable("c", g.now) {
		t.Error("it is not dismissed")
	}
	g.master.CancelRemoval("c")
	g.master.BeginHandOver(g.now)
	g.pump()
	if !g.master.HandedOver() {
		t.Error("the mastership is not handed over")
	}
	g.master.CancelHandOver(g.now)
	g.silent["c"] = false
	g.master.SetGranting(false, g.now)
	g.pump()
	if !g.master.NoLeases(g.now) {
		t.Error("a lease stands in pull mode")
	}
	g.master.SetGranting(true, g.now)
	g.pass(2 * simTimings.Beat)
	g.wantLeased("b", true)
	g.wantLeased("c", false)
	g.passUntil("c's next lease", time.Minute, func() bool { return g.leased("c") })
}
