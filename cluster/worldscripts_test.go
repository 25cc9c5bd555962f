package cluster

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/score"
)

// A is the candidate of a term and waits for the vote of X, which is late. Meanwhile X
// elects B in the next term. A learns of that only by a heartbeat, and then gets the
// vote. In hashicorp/raft v1.8.0 A then leads in B's term (hashicorp/raft#695), and the
// group acks different events at the same revisions.
func TestCandidateThatHearsOfALaterLeaderIsNotElected(t *testing.T) {
	var mute atomic.Bool
	runScript(t, func(n *worldNode) {
		dial := n.opts.hooks.dial
		switch n.id {
		case "f1": // it waits until everything below has happened
			n.opts.hooks.raftConfig = func(c *raft.Config) { c.ElectionTimeout = 10 * time.Second }
		case "f3": // it answers, but requests no votes
			n.opts.hooks.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if mute.Load() {
					return nil, syscall.ENETUNREACH
				}
				return dial(ctx, network, addr)
			}
		}
	}, func(s *script) {
		a, b, x := s.member("f1"), s.member("f2"), s.member("f3")
		if !s.post(3) || !s.transfer(x) || !s.mustAgree() {
			return
		}
		s.cutBoth("f1", "f2")
		s.cutBoth("f1", "f3")
		s.cutBoth("f2", "f3")
		mute.Store(true)
		s.net.loseDialed("f3")
		if !s.until("x is no longer the leader", func() bool { return x.raft.State() != raft.Leader }) {
			return
		}

		var asked, heard atomic.Bool
		var vote atomic.Pointer[worldPipe]
		s.net.wire.observe(func(c *worldConn, frame byte, bytes []byte) {
			switch c.link {
			case link{"f1", "f3"}:
				if frame == callRequestVote+1 && asked.CompareAndSwap(false, true) {
					c.in.hold()
					vote.Store(c.in)
				}
			case link{"f2", "f1"}: // a receives only the heartbeats of b
				if frame != callAppendEntries+1 || !isHeartbeat(bytes) {
					c.far.in.hold()
				}
			case link{"f1", "f2"}:
				switch frame {
				case (callAppendEntries + 1) | answerFrame:
					heard.Store(true)
				default:
					c.far.in.hold()
				}
			}
		})
		s.healBoth("f1", "f3")
		if !s.until("x has voted for a", func() bool {
			s.checker.mu.Lock()
			defer s.checker.mu.Unlock()
			return asked.Load() && s.node("f3").votes[a.raft.CurrentTerm()] == a.Peer()
		}) {
			return
		}
		term := a.raft.CurrentTerm()
		s.healBoth("f2", "f3")
		if !s.until("b is elected by x", func() bool {
			return b.raft.State() == raft.Leader && b.raft.CurrentTerm() > term
		}) {
			return
		}
		s.healBoth("f1", "f2")
		if !s.until("a has received a heartbeat of b", heard.Load) {
			return
		}
		vote.Load().release()
		time.Sleep(300 * time.Millisecond)
		var both sync.WaitGroup
		for _, m := range []*worldMember{a, b} {
			both.Go(func() {
				for seq := range uint64(3) {
					s.postTo(m, alerts("bard/"+m.node.id, seq+1, 1))
				}
			})
		}
		both.Wait()
		mute.Store(false)
		s.releaseAll()
		if len(s.acks) < 6 {
			s.problemf("script: b acked only %v", s.acks)
		}
	})
}

// A snapshot is late, its sender gives it up, and a second one arrives. The follower
// appends entries after it and acks them. Then the first one arrives, complete.
// hashicorp/raft installs it and empties the log, so that the entries that the follower
// acked are lost with the master.
func TestLateSnapshotUndoesNothing(t *testing.T) {
	w := runScript(t, fewEntries, func(s *script) {
		var held atomic.Pointer[worldPipe]
		late, ok := s.startLaggard(60, 1, func(c *worldConn) {
			if held.CompareAndSwap(nil, c.far.in) {
				c.far.in.hold()
			}
		})
		if !ok || !s.until("a snapshot is on its way", func() bool { return held.Load() != nil }) {
			return
		}
		master := s.master()
		if master == nil || !s.until("a second snapshot has arrived", func() bool {
			m := late.now.Load()
			return m != nil && m.machine.Revision() == master.machine.Revision()
		}) {
			return
		}
		third := s.others(master.node)[0]
		if third == late {
			third = s.others(master.node)[1]
		}
		s.crash(third, false)
		if !s.post(5) || !s.until("the follower has all acked events", func() bool {
			return late.now.Load().machine.Revision() == s.history.known.Load()
		}) {
			return
		}
		first := s.master()
		time.Sleep(2 * time.Second)
		held.Load().release()
		if !s.until("the late snapshot has arrived", func() bool {
			return s.net.wire.counted()[countSnapshotLate] > 0
		}) {
			return
		}
		time.Sleep(time.Second)
		// The master crashes, and the late follower and the third member elect another
		// one.
		s.crash(first.node, false)
		s.crash(late, false)
		s.restart(late)
		s.restart(third)
		s.until("there is a master again", func() bool { return s.master() != nil })
	})
	if w.failure() == "" && w.net.wire.counted()[countSnapshotLate] == 0 {
		t.Error("no snapshot was late")
	}
}

// The master is lost while it sends a snapshot to one of two followers. They must elect
// another master within seconds. hashicorp/raft reads a snapshot on its main goroutine,
// which meanwhile votes for nobody, and would wait until keepalive ends the connection:
// for minutes, or as long as the master's kernel answers for a process that hangs.
func TestFollowersElectAMasterWhileOneReceivesASnapshot(t *testing.T) {
	for name, lose := range map[string]func(*script, *worldMember){
		"killed":   func(s *script, m *worldMember) { s.crash(m.node, false) },
		"vanished": func(s *script, m *worldMember) { s.crash(m.node, true) },
		"hung":     func(s *script, m *worldMember) { s.net.pause(m.node.id) },
	} {
		t.Run(name, func(t *testing.T) {
			runScript(t, fewEntries, func(s *script) {
				var begun atomic.Pointer[worldConn]
				_, ok := s.startLaggard(60, 40, func(c *worldConn) {
					if begun.CompareAndSwap(nil, c) {
						s.net.setRate(c.link, 20e3)
					}
				})
				if !ok || !s.until("a part of a snapshot has arrived", func() bool {
					c := begun.Load()
					return c != nil && c.far.in.partlyReceived()
				}) {
					return
				}
				from := s.member(begun.Load().link.from)
				lose(s, from)
				s.log.addf("script: %s is %s", from.node.id, name)
				s.mustElect(from.node)
				if name == "hung" {
					s.net.resume(from.node.id)
				}
				s.net.setRate(begun.Load().link, 0)
			})
		})
	}
}

// A follower that receives no heartbeats stands for election while it still receives the
// master's snapshot. hashicorp/raft installs it and takes its sender for the leader
// again, but stays a candidate, and a candidate never forgets a leader. If the master is
// lost then, the follower refuses to vote for the other one, because it has a leader, and
// its own log is too old to win.
func TestCandidateThatInstallsASnapshotForgetsItsLeader(t *testing.T) {
	runScript(t, fewEntries, func(s *script) {
		var begun atomic.Pointer[worldConn]
		late, ok := s.startLaggard(60, 40, func(c *worldConn) {
			if begun.CompareAndSwap(nil, c) {
				s.net.setRate(c.link, 50e3)
			}
		})
		if !ok || !s.until("a part of a snapshot has arrived", func() bool {
			c := begun.Load()
			return c != nil && c.far.in.partlyReceived()
		}) {
			return
		}
		snapshot := begun.Load().far.in
		// Rounds of the push protocol count as heartbeats, on connections that begin later, too.
		holdOthers := func() {
			for _, p := range s.net.wire.openPipes() {
				if p.link == snapshot.link && p != snapshot {
					p.hold()
				}
			}
		}
		holdOthers()
		s.net.wire.observe(func(c *worldConn, frame byte, _ []byte) {
			if c.link == snapshot.link {
				c.far.in.hold()
			}
		})
		from, receiver := s.member(snapshot.link.from), late.now.Load()
		if !s.post(3) || !s.until("the follower is a candidate", func() bool {
			holdOthers()
			return receiver.raft.State() == raft.Candidate
		}) {
			return
		}
		s.net.setRate(snapshot.link, 0)
		if !s.until("the snapshot is installed", func() bool {
			return receiver.machine.Applied() > 0 && !snapshot.partlyReceived()
		}) {
			return
		}
		s.crash(from.node, true)
		s.net.wire.observe(nil)
		s.mustElect(from.node)
	})
}

// A is the master of a term and is cut off together with a nonvoter, which appends
// entries of A that are never committed. Then the next master's entries reach A before
// any other message of that master, and A applies them before it knows that it is
// deposed. A tells the nonvoter that the log is committed up to an index where the
// nonvoter still has entries of the old term.
func TestDeposedMasterCommitsNothingElsewhere(t *testing.T) {
	runScript(t, func(n *worldNode) {
		if n.id != "f2" {
			return
		}
		n.opts.hooks.raftConfig = func(c *raft.Config) {
			// Its timers are late, as in a process that was paused, and so is the
			// goroutine that is notified of the lost leadership.
			late := 30 * time.Second
			c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = late, late, late
			c.NotifyCh = delayFalse(n.w, c.NotifyCh, 3*time.Millisecond)
		}
	}, func(s *script) {
		fourth := s.newNode()
		fourth.opts.Nonvoter = true
		if !s.start(fourth) || !s.mustJoin(fourth, false) {
			return
		}
		a, novote := s.member("f2"), fourth.now.Load()
		if !s.transfer(a) || !s.post(5) || !s.mustAgree() {
			return
		}
		for _, other := range []string{"f1", "f3"} {
			s.cutBoth("f2", other)
			s.cutBoth("f4", other)
		}
		before := a.raft.LastIndex()
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		defer cancel()
		var lost sync.WaitGroup
		lost.Go(func() { a.Post(ctx, alerts("bard/lost", 1, 3)) })
		for range 8 { // each is an entry
			lost.Go(func() { setCacheMode(ctx, a.Member, score.Push) })
		}
		lost.Wait()
		if !s.until("the nonvoter has the entries that are not committed", func() bool {
			return novote.raft.LastIndex() > before+6
		}) {
			return
		}
		var c *worldMember
		if !s.until("there is another master", func() bool {
			for _, id := range []string{"f1", "f3"} {
				if m := s.member(id); m.Master() {
					c = m
				}
			}
			return c != nil
		}) {
			return
		}
		for seq := range uint64(2) {
			if !s.until("the other master acks", func() bool {
				return s.postTo(c, alerts("bard/next", seq+1, 1))
			}) {
				return
			}
		}
		s.net.wire.observe(func(conn *worldConn, frame byte, b []byte) {
			if conn.link == (link{c.node.id, "f2"}) && frame == callAppendEntries+1 && isHeartbeat(b) {
				conn.far.in.hold()
			}
		})
		s.healBoth("f2", c.node.id)
		if !s.until("the old master has applied the events that the other one acked", func() bool {
			return a.machine.Revision() == c.machine.Revision()
		}) {
			return
		}
		time.Sleep(100 * time.Millisecond)
		s.releaseAll()
		for _, other := range []string{"f1", "f3"} {
			if other != c.node.id {
				s.healBoth("f2", other)
			}
			s.healBoth("f4", other)
		}
	})
}
