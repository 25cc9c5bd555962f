package cache

import (
	"reflect"
	"testing"
	"time"
)

// longestLease is how long a lease that is granted now may stand, by another machine's
// clock.
var longestLease = longer(longer(testTimings.Lease))

func TestWriteIsReleasedOnceEveryLeaseHolderHasIt(t *testing.T) {
	g := servingGroup(t)
	g.silent["c"] = true
	to := g.push("scores/x")
	g.wantReleased(to - 1)
	g.silent["c"] = false
	g.deliver()
	g.wantReleased(to)
}

func TestWriteWaitsForNobodyWithoutALease(t *testing.T) {
	g := servingGroup(t)
	g.silent["c"] = true
	g.pass(2 * longestLease)
	g.wantLeased("c", false)
	g.wantReleased(g.push("scores/x"))
	g.silent["c"] = false
	g.pass(2 * testTimings.Beat)
	g.wantLeased("c", true) // it has caught up
	g.wantReleased(g.push("scores/x"))
}

func TestSilentFrontendDelaysAWriteByAckTimeoutAndALeaseAtMost(t *testing.T) {
	g := servingGroup(t)
	g.silent["c"] = true
	to := g.push("scores/x")
	took := g.passUntil("release", time.Second, func() bool { return g.master.Released() == to })
	if most := testTimings.AckTimeout + longestLease + testTimings.Beat; took > most {
		t.Errorf("it took %v, want at most %v", took, most)
	}
	g.wantLeased("c", false)
}

// A frontend that acks beats but no pushes delays a write for no longer than a silent
// one.
func TestFrontendThatAcksNoPushGetsNoNewLease(t *testing.T) {
	g := servingGroup(t)
	to := g.master.pushed + 1
	g.master.Push(nil, nil, to, g.now)
	stream := g.master.members["c"].stream
	took := time.Duration(0)
	for ; g.master.Released() < to && took < time.Second; took += time.Millisecond {
		g.silent["c"] = true
		g.pass(time.Millisecond)
		g.receive("c", stream, &Ack{Round: g.master.round, Pushed: to - 1, At: g.now})
	}
	least := testTimings.AckTimeout
	if most := least + longestLease + testTimings.Beat; took < least || took > most {
		t.Errorf("it took %v, want between %v and %v", took, least, most)
	}
}

func TestWriteWaitsForTheLeaseOfALostStream(t *testing.T) {
	g := servingGroup(t)
	g.silent["c"] = true
	g.master.StreamLost("c", g.master.members["c"].stream, g.now)
	to := g.push("scores/x")
	g.wantReleased(to - 1)
	g.passUntil("release", longestLease, func() bool { return g.master.Released() == to })
	g.wantLeased("c", false)
}

func TestNewMasterWaitsForOlderLeasesAndNotLonger(t *testing.T) {
	const never = time.Hour
	for _, one := range []struct {
		name string
		ages map[string]time.Duration // a voter that is not listed does not answer
		wait time.Duration            // -1: for ever
	}{
		{"all acked long ago", map[string]time.Duration{"a": never, "b": never, "c": never}, 0},
		{"a majority acked long ago", map[string]time.Duration{"a": time.Millisecond, "b": never, "c": never}, 0},
		{"a majority acked a while ago", map[string]time.Duration{"a": 0, "b": 100 * time.Millisecond}, longestLease},
		{"the best majority counts",
			map[string]time.Duration{"a": 0, "b": 100 * time.Millisecond, "c": 50 * time.Millisecond},
			longestLease - shorter(50*time.Millisecond)},
		{"no majority answers", map[string]time.Duration{"a": never}, -1},
	} {
		t.Run(one.name, func(t *testing.T) {
			start := time.Hour
			m := NewMaster("a", 5, voters("a", "b", "c"), testTimings, true, 0)
			for id, age := range one.ages {
				m.StreamOpened(id, 1, start)
				m.Receive(id, 1, &Welcome{Age: age}, start)
			}
			m.Ready(10, start)
			if m.Serving() != (one.wait == 0) {
				t.Fatalf("serving at once: %v, want a wait of %v", m.Serving(), one.wait)
			}
			now := start
			for !m.Serving() && now < start+time.Second {
				now = max(now+1, m.Tick(now)) // the time at which it asks to be called is early enough
				m.Tick(now)
			}
			if !m.Serving() {
				now = start - 1
			}
			if now-start != one.wait {
				t.Errorf("it waited %v, want %v", now-start, one.wait)
			}
		})
	}
}

func TestNothingIsReleasedBeforeTheMasterServes(t *testing.T) {
	m := NewMaster("a", 5, voters("a"), testTimings, true, 0)
	m.StreamOpened("a", 1, 0)
	m.Ready(10, 0)
	if got := m.Released(); got != 0 {
		t.Errorf("released %d while older leases may stand", got)
	}
	m.Receive("a", 1, &Welcome{Age: time.Hour}, 0)
	if got := m.Released(); got != 10 {
		t.Errorf("released %d, want 10", got)
	}
}

func TestGroupServesAfterAChangeOfMaster(t *testing.T) {
	g := servingGroup(t)
	g.elect("b", voters("a", "b", "c")...)
	g.master.Ready(10, g.now)
	if g.master.Serving() {
		t.Fatal("it serves while the leases of the last master may stand")
	}
	took := g.passUntil("serving", time.Second, g.master.Serving)
	if took < testTimings.Lease-testTimings.Beat || took > longestLease+2*time.Millisecond {
		t.Errorf("it served after %v", took)
	}
	g.pass(2 * testTimings.Beat)
	g.wantReleased(g.push("scores/x"))
	g.wantLeased("a", true)
}

func TestWriteWaitsForTheLeaseOfARemovedMember(t *testing.T) {
	g := servingGroup(t)
	g.silent["c"] = true
	g.master.SetMembers(voters("a", "b"), g.now)
	to := g.push("scores/x")
	g.wantReleased(to - 1)
	g.passUntil("release", longestLease, func() bool { return g.master.Released() == to })
	g.wantLeased("c", false)
	if n := len(g.master.members); n != 2 {
		t.Errorf("it still knows %d members; want 2", n)
	}
}

func TestMemberAboutToBeRemovedReturnsItsLeaseAndGetsNone(t *testing.T) {
	g := servingGroup(t)
	g.master.BeginRemoval("c", g.now)
	if g.master.Removable("c", g.now) {
		t.Error("it is dismissed before it answered")
	}
	g.deliver()
	g.wantLeased("c", false)
	if !g.master.Removable("c", g.now) {
		t.Error("it is not dismissed")
	}
	g.pass(3 * testTimings.Beat)
	g.wantLeased("c", false)
	g.master.CancelRemoval("c")
	g.pass(2 * testTimings.Beat)
	g.wantLeased("c", true)
}

func TestMemberThatReturnsGetsLeasesAgain(t *testing.T) {
	g := servingGroup(t)
	g.master.BeginRemoval("c", g.now)
	g.silent["c"] = true // it does not answer its Recall: it is removed, but not forgotten yet
	g.master.SetMembers(voters("a", "b"), g.now)
	g.master.SetMembers(voters("a", "b", "c"), g.now)
	g.silent["c"] = false
	g.pass(2 * testTimings.Beat)
	g.wantLeased("c", true)
}

func TestVotersCannotChangeTwiceWithinALease(t *testing.T) {
	g := servingGroup(t)
	if !g.master.CanChangeVoters(g.now) {
		t.Error("the first change must wait for nothing")
	}
	g.frontends["d"] = NewFrontend(1<<20, func() time.Duration { return g.now }, 0)
	g.master.SetMembers(append(voters("a", "b", "c"), Member{"d", false}), g.now)
	if !g.master.CanChangeVoters(g.now) {
		t.Error("a member without a vote changes no majority")
	}
	g.master.SetMembers(voters("a", "b", "c", "d"), g.now)
	if g.master.CanChangeVoters(g.now) {
		t.Error("leases on majorities of three stand")
	}
	g.passUntil("settling", longestLease, func() bool { return g.master.CanChangeVoters(g.now) })
}

func TestPullModeRecallsLeasesAndPushModeGrantsThemAgain(t *testing.T) {
	g := servingGroup(t)
	g.silent["c"] = true
	g.master.SetGranting(false, g.now)
	g.deliver()
	g.wantLeased("a", false)
	g.wantLeased("b", false)
	if g.master.NoLeases(g.now) {
		t.Error("calm while c has a lease")
	}
	g.silent["c"] = false
	g.deliver()
	if !g.master.NoLeases(g.now) {
		t.Error("not calm when all leases are back")
	}
	g.wantReleased(g.push("scores/x")) // it waits for nobody
	g.pass(5 * testTimings.Beat)
	g.wantLeased("b", false)
	g.master.SetGranting(true, g.now)
	g.pass(2 * testTimings.Beat)
	g.wantLeased("b", true)
	if p := g.frontends["b"].State().Pushed; p != 11 {
		t.Errorf("the session began at %d, want 11, which was written in pull mode", p)
	}
}

// The answer to a Recall would be taken for the return of a lease that was granted after
// the Recall.
func TestNoLeaseIsGrantedBetweenARecallAndItsAnswer(t *testing.T) {
	g := servingGroup(t)
	stream := g.master.members["c"].stream
	g.silent["c"] = true
	g.master.SetGranting(false, g.now)
	g.master.SetGranting(true, g.now)
	// This ack was sent before the Recall arrived.
	g.receive("c", stream, &Ack{Round: g.master.round, Pushed: 10, At: g.now})
	g.deliver()
	for _, o := range g.undelivered["c"] {
		if _, granted := o.Message.(*Grant); granted {
			t.Error("the answer to the Recall would be taken for the return of this lease")
		}
	}
	g.silent["c"] = false
	g.pass(2 * testTimings.Beat)
	g.wantLeased("c", true)
}

func TestEqualInputsGiveEqualMessages(t *testing.T) {
	run := func() (all []Outgoing) {
		g := newGroup(t, "a", "b", "c", "d", "e")
		g.elect("a", voters("a", "b", "c", "d", "e")...)
		m := NewMaster("e", 9, voters("e", "d", "c", "b", "a"), testTimings, true, 0)
		for i, id := range []string{"c", "a", "e", "b", "d"} {
			m.StreamOpened(id, uint64(i+1), 0)
			m.Receive(id, uint64(i+1), &Welcome{Age: time.Hour}, 0)
		}
		m.Ready(3, 0)
		m.Tick(0)
		for i, id := range []string{"c", "a", "e", "b", "d"} {
			m.Receive(id, uint64(i+1), &Ack{Round: 1, Pushed: 3}, 1)
		}
		m.Push([]Record{{"scores/x", 4, nil}}, []string{"list/y"}, 4, 2)
		m.BeginHandOver(3)
		return m.Outbox()
	}
	if a, b := run(), run(); len(a) < 20 || !reflect.DeepEqual(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
}

func TestMasterAcceptsOnlyMessagesOfAFrontend(t *testing.T) {
	g := servingGroup(t)
	if err := g.master.Receive("b", g.master.members["b"].stream, &Beat{}, g.now); err == nil {
		t.Error("it accepted a beat")
	}
	if err := g.master.Receive("b", 1000, &Beat{}, g.now); err != nil {
		t.Errorf("a message of another stream has no effect, but: %v", err)
	}
}
