package cache

import (
	"testing"
	"time"
)

func TestAfterAHandOverTheNextMasterServesAtOnce(t *testing.T) {
	g := serving(t)
	g.master.BeginHandOver(g.now)
	if g.master.HandedOver() {
		t.Error("handed over before anybody knows")
	}
	g.pump()
	if !g.master.HandedOver() {
		t.Fatal("not handed over")
	}
	for _, id := range []string{"a", "b", "c"} {
		g.wantLeased(id, false)
	}
	g.elect("b", voters("a", "b", "c")...)
	g.master.Ready(10, g.now)
	if !g.master.Serving() {
		t.Error("the next master waits")
	}
}

func TestAHandOverWaitsForTheLeaseOfAFrontendThatHangs(t *testing.T) {
	g := serving(t)
	g.silent["c"] = true
	g.master.BeginHandOver(g.now)
	g.pass(simTimings.Lease / 2)
	if g.master.HandedOver() {
		t.Fatal("handed over while c has a lease")
	}
	g.passUntil("handing over", longest, g.master.HandedOver)
	g.wantLeased("c", false)
}

func TestAfterAResumeTheNextMasterWaitsAgain(t *testing.T) {
	g := serving(t)
	g.master.BeginHandOver(g.now)
	g.pass(5 * simTimings.Beat)
	g.wantLeased("b", false)
	g.master.CancelHandOver(g.now)
	g.pass(2 * simTimings.Beat)
	g.wantLeased("b", true)
	g.wantReleased(g.push("scores/x"))
	g.elect("b", voters("a", "b", "c")...)
	g.master.Ready(11, g.now)
	if g.master.Serving() {
		t.Error("the next master does not wait for leases that were granted after the hand-over")
	}
}

func TestAMasterThatNeverServedPromisesNothing(t *testing.T) {
	g := serving(t)
	g.elect("b", voters("a", "b", "c")...)
	g.master.BeginHandOver(g.now) // the leases of the master before stand
	g.pass(simTimings.Lease / 2)
	if g.master.HandedOver() {
		t.Error("it says that no lease stands")
	}
}

func TestAnAckOfARoundBeforeTheRetirementGivesNoLease(t *testing.T) {
	g := serving(t)
	old := g.master.round
	g.master.BeginHandOver(g.now)
	g.pump()
	g.master.CancelHandOver(g.now)
	for _, id := range []string{"a", "b", "c"} {
		g.receive(id, g.master.members[id].stream, &Ack{Round: old, Pushed: 10, At: g.now})
	}
	g.pump()
	if !g.master.NoLeases(g.now) {
		t.Error("a round that no lease was ever to stand on gave one")
	}
}

func TestAMasterThatHandsOverAsksForNoTimeThatIsPast(t *testing.T) {
	g := serving(t)
	g.master.BeginHandOver(g.now)
	g.pump()
	g.now += time.Second
	if next := g.master.Tick(g.now); next <= g.now {
		t.Errorf("it wants to be called %v ago", g.now-next)
	}
}
