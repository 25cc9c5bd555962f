package cache

import (
	"testing"
	"time"
)

func TestNextMasterServesAtOnceAfterAHandOver(t *testing.T) {
	g := servingGroup(t)
	g.master.BeginHandOver(g.now)
	if g.master.HandedOver() {
		t.Error("it has handed over before any voter knows")
	}
	g.deliver()
	if !g.master.HandedOver() {
		t.Fatal("it has not handed over")
	}
	for _, id := range []string{"a", "b", "c"} {
		g.wantLeased(id, false)
	}
	g.elect("b", voters("a", "b", "c")...)
	g.master.Ready(10, g.now)
	if !g.master.Serving() {
		t.Error("the next master waits for leases")
	}
}

func TestHandOverWaitsForTheLeaseOfAHangingFrontend(t *testing.T) {
	g := servingGroup(t)
	g.silent["c"] = true
	g.master.BeginHandOver(g.now)
	g.pass(testTimings.Lease / 2)
	if g.master.HandedOver() {
		t.Fatal("it has handed over while c has a lease")
	}
	g.passUntil("handing over", longestLease, g.master.HandedOver)
	g.wantLeased("c", false)
}

func TestNextMasterWaitsAfterACancelledHandOver(t *testing.T) {
	g := servingGroup(t)
	g.master.BeginHandOver(g.now)
	g.pass(5 * testTimings.Beat)
	g.wantLeased("b", false)
	g.master.CancelHandOver(g.now)
	g.pass(2 * testTimings.Beat)
	g.wantLeased("b", true)
	g.wantReleased(g.push("scores/x"))
	g.elect("b", voters("a", "b", "c")...)
	g.master.Ready(11, g.now)
	if g.master.Serving() {
		t.Error("the next master does not wait for leases that were granted after the hand-over")
	}
}

func TestMasterThatNeverServedAnnouncesNoRetirement(t *testing.T) {
	g := servingGroup(t)
	g.elect("b", voters("a", "b", "c")...)
	g.master.BeginHandOver(g.now) // leases of the older epoch stand
	g.pass(testTimings.Lease / 2)
	if g.master.HandedOver() {
		t.Error("it announced that no lease stands")
	}
}

func TestAckOfARoundBeforeTheRetirementGivesNoLease(t *testing.T) {
	g := servingGroup(t)
	old := g.master.round
	g.master.BeginHandOver(g.now)
	g.deliver()
	g.master.CancelHandOver(g.now)
	for _, id := range []string{"a", "b", "c"} {
		g.receive(id, g.master.members[id].stream, &Ack{Round: old, Pushed: 10, At: g.now})
	}
	g.deliver()
	if !g.master.NoLeases(g.now) {
		t.Error("a lease was granted on a round from before the retirement")
	}
}

func TestTickDuringAHandOverReturnsATimeToCome(t *testing.T) {
	g := servingGroup(t)
	g.master.BeginHandOver(g.now)
	g.deliver()
	g.now += time.Second
	if next := g.master.Tick(g.now); next <= g.now {
		t.Errorf("Tick asks to be called %v ago", g.now-next)
	}
}
