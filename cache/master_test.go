package cache

import (
	"reflect"
	"testing"
	"time"
)

// longest is how long a lease of now may stand, by another's clock.
var longest = longer(longer(simTimings.Lease))

func TestAWriteIsReleasedOnceEveryHolderOfALeaseHasIt(t *testing.T) {
	g := serving(t)
	g.silent["c"] = true
	to := g.push("scores/x")
	g.wantReleased(to - 1)
	g.silent["c"] = false
	g.pump()
	g.wantReleased(to)
}

func TestAWriteWaitsForNobodyWithoutALease(t *testing.T) {
	g := serving(t)
	g.silent["c"] = true
	g.pass(2 * longest)
	g.wantLeased("c", false)
	g.wantReleased(g.push("scores/x"))
	g.silent["c"] = false
	g.pass(2 * simTimings.Beat)
	g.wantLeased("c", true) // it has caught up
	g.wantReleased(g.push("scores/x"))
}

func TestASilentFrontendDelaysAWriteByTauAndALeaseAtMost(t *testing.T) {
	g := serving(t)
	g.silent["c"] = true
	to := g.push("scores/x")
	took := g.passUntil("release", time.Second, func() bool { return g.master.Released() == to })
	if most := simTimings.AckTimeout + longest + simTimings.Beat; took > most {
		t.Errorf("it took %v, want at most %v", took, most)
	}
	g.wantLeased("c", false)
}

// A frontend that answers beats but takes no pushes in keeps no write waiting for longer either.
func TestAFrontendThatAcksNoPushGetsNoNewLease(t *testing.T) {
	g := serving(t)
	to := g.master.pushed + 1
	g.master.Push(nil, nil, to, g.now)
	stream := g.master.members["c"].stream
	took := time.Duration(0)
	for ; g.master.Released() < to && took < time.Second; took += time.Millisecond {
		g.silent["c"] = true
		g.pass(time.Millisecond)
		g.receive("c", stream, &Ack{Round: g.master.round, Pushed: to - 1, At: g.now})
	}
	if least, most := simTimings.AckTimeout, simTimings.AckTimeout+longest+simTimings.Beat; took < least || took > most {
		t.Errorf("it took %v, want between %v and %v", took, least, most)
	}
}

func TestALostStreamKeepsWritesWaitingForTheRestOfItsLease(t *testing.T) {
	g := serving(t)
	g.silent["c"] = true
	g.master.StreamLost("c", g.master.members["c"].stream, g.now)
	to := g.push("scores/x")
	g.wantReleased(to - 1)
	g.passUntil("release", longest, func() bool { return g.master.Released() == to })
	g.wantLeased("c", false)
}

func TestANewMasterWaitsForOlderLeasesAndNotLonger(t *testing.T) {
	const never = time.Hour
	for _, one := range []struct {
		name string
		ages map[string]time.Duration // a voter that is not in it does not answer
		wait time.Duration            // -1: for ever
	}{
		{"all acked long ago", map[string]time.Duration{"a": never, "b": never, "c": never}, 0},
		{"a majority acked long ago", map[string]time.Duration{"a": time.Millisecond, "b": never, "c": never}, 0},
		{"a majority acked a while ago", map[string]time.Duration{"a": 0, "b": 100 * time.Millisecond}, longest},
		{"the best majority counts", map[string]time.Duration{"a": 0, "b": 100 * time.Millisecond, "c": 50 * time.Millisecond}, longest - shorter(50*time.Millisecond)},
		{"no majority answers", map[string]time.Duration{"a": never}, -1},
	} {
		t.Run(one.name, func(t *testing.T) {
			start := time.Hour
			m := NewMaster("a", 5, voters("a", "b", "c"), simTimings, true, 0)
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
				now = max(now+1, m.Tick(now)) // the time it asks to be called again is early enough
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
	m := NewMaster("a", 5, voters("a"), simTimings, true, 0)
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

func TestTheGroupServesOnWhenTheMasterChanges(t *testing.T) {
	g := serving(t)
	g.elect("b", voters("a", "b", "c")...)
	g.master.Ready(10, g.now)
	if g.master.Serving() {
		t.Fatal("it serves while the leases of the last master may stand")
	}
	took := g.passUntil("serving", time.Second, g.master.Serving)
	if took < simTimings.Lease-simTimings.Beat || took > longest+2*time.Millisecond {
		t.Errorf("it served after %v", took)
	}
	g.pass(2 * simTimings.Beat)
	g.wantReleased(g.push("scores/x"))
	g.wantLeased("a", true)
}

func TestAMemberThatLeftKeepsWritesWaitingUntilItsLeaseIsOver(t *testing.T) {
	g := serving(t)
	g.silent["c"] = true
	g.master.SetMembers(voters("a", "b"), g.now)
	to := g.push("scores/x")
	g.wantReleased(to - 1)
	g.passUntil("release", longest, func() bool { return g.master.Released() == to })
	g.wantLeased("c", false)
	if n := len(g.master.members); n != 2 {
		t.Errorf("it still knows %d members; want 2", n)
	}
}

func TestADismissedMemberGivesItsLeaseBackAndGetsNone(t *testing.T) {
	g := serving(t)
	g.master.BeginRemoval("c", g.now)
	if g.master.Removable("c", g.now) {
		t.Error("it is dismissed before it answered")
	}
	g.pump()
	g.wantLeased("c", false)
	if !g.master.Removable("c", g.now) {
		t.Error("it is not dismissed")
	}
	g.pass(3 * simTimings.Beat)
	g.wantLeased("c", false)
	g.master.CancelRemoval("c")
	g.pass(2 * simTimings.Beat)
	g.wantLeased("c", true)
}

func TestAMemberThatComesBackGetsLeasesAgain(t *testing.T) {
	g := serving(t)
	g.master.BeginRemoval("c", g.now)
	g.silent["c"] = true // its Recall is not answered: it is gone, and not forgotten yet
	g.master.SetMembers(voters("a", "b"), g.now)
	g.master.SetMembers(voters("a", "b", "c"), g.now)
	g.silent["c"] = false
	g.pass(2 * simTimings.Beat)
	g.wantLeased("c", true)
}

func TestVotersAreNotChangedTwiceWhileALeaseOfTheFirstStands(t *testing.T) {
	g := serving(t)
	if !g.master.CanChangeVoters(g.now) {
		t.Error("the first change must wait for nothing")
	}
	g.all["d"] = NewFrontend(1<<20, func() time.Duration { return g.now }, 0)
	g.master.SetMembers(append(voters("a", "b", "c"), Member{"d", false}), g.now)
	if !g.master.CanChangeVoters(g.now) {
		t.Error("a member without a vote changes no majority")
	}
	g.master.SetMembers(voters("a", "b", "c", "d"), g.now)
	if g.master.CanChangeVoters(g.now) {
		t.Error("leases on majorities of three stand")
	}
	g.passUntil("settling", longest, func() bool { return g.master.CanChangeVoters(g.now) })
}

func TestPullTakesTheLeasesAndPushGivesThemBack(t *testing.T) {
	g := serving(t)
	g.silent["c"] = true
	g.master.SetGranting(false, g.now)
	g.pump()
	g.wantLeased("a", false)
	g.wantLeased("b", false)
	if g.master.NoLeases(g.now) {
		t.Error("calm while c has a lease")
	}
	g.silent["c"] = false
	g.pump()
	if !g.master.NoLeases(g.now) {
		t.Error("not calm when all leases are back")
	}
	g.wantReleased(g.push("scores/x")) // nobody is waited for
	g.pass(5 * simTimings.Beat)
	g.wantLeased("b", false)
	g.master.SetGranting(true, g.now)
	g.pass(2 * simTimings.Beat)
	g.wantLeased("b", true)
	if p := g.all["b"].State().Pushed; p != 11 {
		t.Errorf("the session began at %d, want 11, which pull never told", p)
	}
}

// The answer to a Recall is not for a lease that was granted behind it.
func TestNoLeaseIsGrantedBetweenARecallAndItsAnswer(t *testing.T) {
	g := serving(t)
	stream := g.master.members["c"].stream
	g.silent["c"] = true
	g.master.SetGranting(false, g.now)
	g.master.SetGranting(true, g.now)
	g.receive("c", stream, &Ack{Round: g.master.round, Pushed: 10, At: g.now}) // sent before the Recall came
	g.pump()
	for _, o := range g.unread["c"] {
		if _, granted := o.Message.(*Grant); granted {
			t.Error("the answer to the Recall would be taken for the return of this lease")
		}
	}
	g.silent["c"] = false
	g.pass(2 * simTimings.Beat)
	g.wantLeased("c", true)
}

func TestEqualInputsGiveEqualMessages(t *testing.T) {
	run := func() (all []Outgoing) {
		g := newGroup(t, "a", "b", "c", "d", "e")
		g.elect("a", voters("a", "b", "c", "d", "e")...)
		m := NewMaster("e", 9, voters("e", "d", "c", "b", "a"), simTimings, true, 0)
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

func TestAMessageThatNoFrontendSendsIsRefused(t *testing.T) {
	g := serving(t)
	if err := g.master.Receive("b", g.master.members["b"].stream, &Beat{}, g.now); err == nil {
		t.Error("it took a beat in")
	}
	if err := g.master.Receive("b", 1000, &Beat{}, g.now); err != nil {
		t.Errorf("a message of another stream has no effect, but: %v", err)
	}
}
