package cluster

import (
	"slices"
	"sync/atomic"
	"time"
)

// Long worlds have faults that last longer than a call of Raft: cuts after which calls
// that were given up still arrive, members that are away until they need a snapshot,
// large snapshots over slow links, and members lost in the middle of one.

// The faults of long worlds.
var (
	longFaults = []fault{
		cutLong, cutLong, isolateLong, crashLong, crashLong, loseConnections, loseConnections,
		crash, handOver, pause, slowLink, delaySnapshot, delaySnapshot, delayVote,
	}
	snapshotFaults = []fault{
		crashLong, crashLong, crashLong, isolateLong, slowLink, loseSender, loseSender, hangSender,
		hangSender, loseReceiver, loseConnections,
	}
	lateFaults = []fault{crashFollower, delaySnapshot}
	voteFaults = []fault{isolate, isolate, cutOneWay, cutOneWay, cutOneWay, delayVote, crash}
)

// longPlanOf returns the plan of a long world.
func longPlanOf(seed uint64) worldPlan {
	p := worldPlan{
		span: 40 * time.Second, faultInterval: 1500 * time.Millisecond, maxDelay: 150 * time.Millisecond,
		delayProbability: 0.01, tcp: true, loss: 0.0005, pauseFactor: 8, faults: longFaults,
		maxLeaderless: maxLeaderlessTime,
	}
	switch seed % 5 {
	case 0:
		p.faults = append(slices.Clone(p.faults), joinOrLeave, joinOrLeave)
		p.maxLeaderless = 0
	case 1, 3:
		p.faults, p.small = snapshotFaults, true
	case 2: // the master stays, and so does the term in which a late snapshot is accepted
		p.faults, p.small, p.delayProbability, p.loss = lateFaults, true, 0, 0
	}
	return p
}

// votePlan is the plan of worlds on a bad network in which one election follows another.
func votePlan() worldPlan {
	return worldPlan{
		span: 15 * time.Second, faultInterval: 300 * time.Millisecond,
		maxDelay: 300 * time.Millisecond, delayProbability: 0.2,
		tcp: true, pauseFactor: 4, small: true, faults: voteFaults,
	}
}

// maxLeaderlessTime is how long a majority may be without a leader. Calls on connections
// that continue late are given up after transportTimeout, and an election may need more
// than one.
const maxLeaderlessTime = 3 * transportTimeout

const (
	countLongCuts  = "cuts longer than a call of Raft"
	countLongAway  = "members away for longer than a call of Raft"
	countSlowLinks = "slow links"
)

func cutLong(w *world) {
	a, b := w.masterOrRandom(), w.randomMember()
	if a == nil || b == nil || a == b {
		return
	}
	from, to, both := a.node.id, b.node.id, w.rand.IntN(2) == 0
	if w.rand.IntN(2) == 0 {
		from, to = to, from
	}
	d := w.between(100*time.Millisecond, 14*time.Second)
	w.log.addf("%s->%s is cut for %v, in both directions %v", from, to, d, both)
	w.net.cut(from, to)
	if both {
		w.net.cut(to, from)
	}
	w.task(func() {
		if w.wait(d); d > transportTimeout {
			w.history.count(countLongCuts)
		}
		w.net.heal(from, to)
		if both {
			w.net.heal(to, from)
		}
	})
}

func isolateLong(w *world) {
	one := w.masterOrRandom()
	if one == nil {
		return
	}
	d := w.between(time.Second, 12*time.Second)
	w.log.addf("%s is cut off for %v", one.node.id, d)
	heal := w.isolateHost(one.node.id)
	w.task(func() {
		if w.wait(d); d > transportTimeout {
			w.history.count(countLongAway)
		}
		heal()
	})
}

// crashLong keeps a member away until it needs a snapshot.
func crashLong(w *world) {
	one := w.masterOrRandom()
	if one == nil || len(w.up()) < len(w.list()) {
		return
	}
	d, silent := w.between(2*time.Second, 7*time.Second), w.rand.IntN(2) == 0
	w.task(func() { w.crashFor(one, silent, d) })
}

func crashFollower(w *world) {
	one := w.randomMember()
	if one == nil || one == w.master() || len(w.up()) < len(w.list()) {
		return
	}
	d := w.between(3*time.Second, 7*time.Second)
	w.task(func() { w.crashFor(one, false, d) })
}

// slowLink slows the link from one member to another, so that a snapshot takes some
// seconds.
func slowLink(w *world) {
	a, b := w.masterOrRandom(), w.randomMember()
	if a == nil || b == nil || a == b {
		return
	}
	l, d := link{a.node.id, b.node.id}, w.between(2*time.Second, 8*time.Second)
	rate := 5e3 + 60e3*w.rand.Float64()
	w.log.addf("%s sends %.0f bytes a second to %s for %v", l.from, rate, l.to, d)
	w.net.setRate(l, rate)
	w.history.count(countSlowLinks)
	w.task(func() {
		w.wait(d)
		w.net.setRate(l, 0)
	})
}

// setRate limits the bytes a second of each connection in a direction; 0 is no limit.
func (n *worldNet) setRate(l link, rate float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wire.rates[l] = rate
}

// onFrame calls f with the next frame of a kind, unless the world waits for one already.
func (w *world) onFrame(frame byte, lasts time.Duration, f func(c *worldConn)) {
	if !w.awaitingFrame.CompareAndSwap(false, true) {
		return
	}
	var taken, done atomic.Bool
	w.net.wire.observe(func(c *worldConn, what byte, b []byte) {
		if what == frame && taken.CompareAndSwap(false, true) {
			f(c)
			done.Store(true)
		}
	})
	w.task(func() { // it ends after f, which may begin another one: nobody waits for that yet
		for end := time.Now().Add(lasts); !done.Load(); {
			over := !time.Now().Before(end) || w.quiet.Load()
			if over && taken.CompareAndSwap(false, true) { // no frame is taken any more
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		w.awaitingFrame.Store(false)
	})
}

// delaySnapshot delays the next snapshot until its sender has given it up and sent
// another.
func delaySnapshot(w *world) {
	d := w.between(transportTimeout, 12*time.Second)
	w.onFrame(callInstallSnapshot+1, 10*time.Second, func(c *worldConn) {
		w.log.addf("the snapshot from %s to %s is late by %v", c.link.from, c.link.to, d)
		c.far.in.stall(d)
	})
}

// delayVote delays the answer to the next request for a vote.
func delayVote(w *world) {
	d := w.between(100*time.Millisecond, time.Second)
	w.onFrame((callRequestVote+1)|answerFrame, 10*time.Second, func(c *worldConn) {
		w.log.addf("the vote of %s for %s is late by %v", c.link.from, c.link.to, d)
		c.far.in.stall(d)
	})
}

// inSnapshot calls f in the middle of the next snapshot.
func (w *world) inSnapshot(f func(from, to string)) {
	after := w.between(0, 500*time.Millisecond)
	w.onFrame(callInstallSnapshot+1, 10*time.Second, func(c *worldConn) {
		w.net.setRate(c.link, 40e3)
		w.task(func() {
			w.wait(after)
			f(c.link.from, c.link.to)
			w.net.setRate(c.link, 0)
		})
	})
}

// member returns the process of a node, nil if it is not running.
func (w *world) member(id string) *worldMember {
	for _, m := range w.up() {
		if m.node.id == id {
			return m
		}
	}
	return nil
}

func loseSender(w *world) {
	d, silent := w.between(2*time.Second, 20*time.Second), w.rand.IntN(4) > 0
	w.inSnapshot(func(from, to string) {
		if m := w.member(from); m != nil {
			w.log.addf("%s is lost for %v while it sends a snapshot to %s, silent %v", from, d, to, silent)
			w.crashFor(m, silent, d)
		}
	})
}

func loseReceiver(w *world) {
	d := w.between(0, 2*time.Second)
	w.inSnapshot(func(from, to string) {
		if m := w.member(to); m != nil {
			w.log.addf("%s is lost for %v while %s sends it a snapshot", to, d, from)
			w.crashFor(m, true, d)
		}
	})
}

func hangSender(w *world) {
	d := w.between(time.Second, 25*time.Second)
	w.inSnapshot(func(from, to string) {
		w.log.addf("%s hangs for %v while it sends a snapshot to %s", from, d, to)
		w.net.pause(from)
		w.wait(d)
		w.net.resume(from)
	})
}
