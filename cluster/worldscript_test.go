package cluster

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/fsm"
	"laurel/score"
)

// Scripted worlds let the messages of Raft arrive in one given order. What they are about takes a
// coincidence that thousands of worlds in which chance decides may not contain. The ledger of the
// world judges them as it judges the others.

// script is a scripted world under way: three members, of which all are voters.
type script struct {
	*world
	acks map[uint64]string // the event that was acked as a revision
	mu   sync.Mutex
	seq  uint64
}

// runScript lives through a scripted world and fails the test if it was broken. node, unless nil,
// changes a member's options before it starts.
func runScript(t *testing.T, node func(*worldNode), play func(*script)) *world {
	t.Helper()
	w := runWorld(t, 0, worldPlan{small: true, node: node, script: func(w *world) {
		s := &script{world: w, acks: map[uint64]string{}}
		play(s)
		if w.problems.tail(1) == "" {
			s.settle()
		}
	}})
	if why := w.failure(); why != "" {
		t.Errorf("%s\n\nwhat happened:\n%s", why, w.log.tail(number("LAUREL_TAIL", 80)))
	}
	return w
}

// until waits for a condition and reports whether it came within a minute, and the world is not
// broken.
func (s *script) until(what string, is func() bool) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && s.problems.tail(1) == ""; {
		if is() {
			s.log.addf("script: %s", what)
			return true
		}
		time.Sleep(time.Millisecond)
	}
	s.problemf("script: waited in vain until %s", what)
	return false
}

// node returns the node of an id.
func (s *script) node(id string) *worldNode {
	for _, n := range s.list() {
		if n.id == id {
			return n
		}
	}
	return nil
}

// post posts events as one bard does, until they are acked.
func (s *script) post(events int) bool {
	first := s.seq + 1
	s.seq += uint64(events)
	return s.until(fmt.Sprintf("the events up to %d are acked", s.seq), func() bool {
		m := s.master()
		return m != nil && s.postTo(m, alerts("bard/script", first, events))
	})
}

// postTo posts to one member and notes what it acks.
func (s *script) postTo(m *worldMember, p score.Post) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	results, err := m.Post(ctx, p)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range results {
		if r.Problem != nil {
			s.problemf("%s was refused by %s: %v", p.Events[i].ID, m.node.id, r.Problem)
			return false
		}
		if was, there := s.acks[r.Revision]; there && was != p.Events[i].ID {
			s.problemf("BROKEN: %s and %s were both acked as revision %d", was, p.Events[i].ID, r.Revision)
		}
		s.acks[r.Revision] = p.Events[i].ID
		s.record.tell(r.Revision)
	}
	return true
}

// settle waits until the members agree, and looks for each acked event.
func (s *script) settle() {
	for _, n := range s.list() {
		s.restart(n)
	}
	all := s.record.settled()
	if all == nil {
		return
	}
	if highest := s.record.known.Load(); all.revision < highest {
		s.problemf("BROKEN: revision %d was acked, and the members agree on %d", highest, all.revision)
	}
	there := map[string]uint64{}
	for _, e := range timelineOf(s.master()) {
		there[e.ID] = e.Revision
	}
	for revision, id := range s.acks {
		if there[id] != revision {
			s.problemf("BROKEN: %s was acked as revision %d and stands at %d", id, revision, there[id])
		}
	}
}

// compacted has the group post until a member that has nothing needs a snapshot.
func (s *script) compacted(first uint64, posts, events int) bool {
	for range posts {
		if !s.post(events) {
			return false
		}
	}
	return s.until("the log is compacted", func() bool {
		m := s.master()
		if m == nil {
			return false
		}
		index, err := m.node.log.FirstIndex()
		return err == nil && index >= first || !s.post(1)
	})
}

// others returns the other nodes.
func (s *script) others(m *worldNode) (list []*worldNode) {
	for _, n := range s.list() {
		if n != m {
			list = append(list, n)
		}
	}
	return list
}

func fewEntries(n *worldNode) { n.opts.SnapshotEntries = 16 }

// timelineOf returns the timeline of the contest that scripts post to.
func timelineOf(m *worldMember) (list []score.TimelineEvent) {
	m.machine.View(func(v *fsm.View) (err error) {
		list, _, err = v.Timeline(scriptContest, 0, 1<<30)
		return err
	})
	return list
}

const scriptContest = "OG50BC/rain" // see alerts

// part cuts two hosts off from each other, in both directions.
func (s *script) part(a, b string) {
	s.net.cut(a, b)
	s.net.cut(b, a)
}

func (s *script) rejoin(a, b string) {
	s.net.mend(a, b)
	s.net.mend(b, a)
}

// loseDialed breaks the connections that a host has dialed.
func (n *worldNet) loseDialed(host string) {
	n.mu.Lock()
	var list []*worldConn
	for c := range n.conns {
		if c.link.from == host {
			list = append(list, c)
		}
	}
	n.mu.Unlock()
	for _, c := range list {
		c.in.fail(syscall.ECONNRESET)
		c.far.in.fail(syscall.ECONNRESET)
		n.forget(c)
	}
}

// releaseAll lets all arrive that was held.
func (s *script) releaseAll() {
	s.net.wire.observe(nil)
	for _, p := range s.net.wire.openPipes() {
		p.release()
	}
}

// A waits as the candidate of a term for the vote of X, which is late. Meanwhile X elects B in the
// next term. A hears of that by a heartbeat alone, and then gets the vote. In hashicorp/raft v1.8.0
// A then is a leader of B's term (hashicorp/raft#695), and the group acks different events at the
// same revisions.
func TestACandidateThatHearsOfALaterLeaderIsNotElected(t *testing.T) {
	var mute atomic.Bool
	runScript(t, func(n *worldNode) {
		dial := n.opts.hooks.dial
		switch n.id {
		case "f1": // it waits long enough for all that follows
			n.opts.hooks.raftConfig = func(c *raft.Config) { c.ElectionTimeout = 10 * time.Second }
		case "f3": // it answers, but asks nobody for a vote
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
		s.part("f1", "f2")
		s.part("f1", "f3")
		s.part("f2", "f3")
		mute.Store(true)
		s.net.loseDialed("f3")
		if !s.until("x leads no more", func() bool { return x.raft.State() != raft.Leader }) {
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
			case link{"f2", "f1"}: // of what b says, a hears heartbeats alone
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
		s.rejoin("f1", "f3")
		if !s.until("x has voted for a", func() bool {
			s.ledger.mu.Lock()
			defer s.ledger.mu.Unlock()
			return asked.Load() && s.node("f3").votes[a.raft.CurrentTerm()] == a.Peer()
		}) {
			return
		}
		term := a.raft.CurrentTerm()
		s.rejoin("f2", "f3")
		if !s.until("b is elected by x", func() bool {
			return b.raft.State() == raft.Leader && b.raft.CurrentTerm() > term
		}) {
			return
		}
		s.rejoin("f1", "f2")
		if !s.until("a has heard a heartbeat of b", heard.Load) {
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

// A snapshot is late, its sender gives it up, and the second one arrives. The follower takes
// entries behind it and acks them. Then the first one arrives, whole. hashicorp/raft installs it
// and empties the log, so that what the follower acked is lost with the master.
func TestALateSnapshotTakesNothingBack(t *testing.T) {
	w := runScript(t, fewEntries, func(s *script) {
		var held atomic.Pointer[worldPipe]
		late, ok := s.laggard(60, 1, func(c *worldConn) {
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
		if !s.post(5) || !s.until("the follower has what was acked", func() bool {
			return late.now.Load().machine.Revision() == s.record.known.Load()
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
		// The master's machine is lost for good: its directory is not there when it is back.
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

// The master is lost in the middle of a snapshot that it sends to one of two followers. They must
// elect another within seconds. hashicorp/raft reads a snapshot on its main goroutine, which votes
// for nobody meanwhile, and would wait until keepalive ends the connection: for minutes, or as long
// as the master's kernel answers for a process that hangs.
func TestTwoFollowersElectAMasterAlthoughOneWasReceivingASnapshot(t *testing.T) {
	for name, lose := range map[string]func(*script, *worldMember){
		"killed":   func(s *script, m *worldMember) { s.crash(m.node, false) },
		"vanished": func(s *script, m *worldMember) { s.crash(m.node, true) },
		"hung":     func(s *script, m *worldMember) { s.net.pause(m.node.id) },
	} {
		t.Run(name, func(t *testing.T) {
			runScript(t, fewEntries, func(s *script) {
				var begun atomic.Pointer[worldConn]
				_, ok := s.laggard(60, 40, func(c *worldConn) {
					if begun.CompareAndSwap(nil, c) {
						s.net.setRate(c.link, 20e3)
					}
				})
				if !ok || !s.until("a part of a snapshot has arrived", func() bool {
					c := begun.Load()
					return c != nil && c.far.in.underWay()
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

// electionLimit is generous: an election takes a few hundred milliseconds.
const electionLimit = 5 * time.Second

// laggard crashes a follower, has the others post until it needs a snapshot, and starts it again.
// snapshot is called with each InstallSnapshot that is sent to it then.
func (s *script) laggard(posts, events int, snapshot func(*worldConn)) (*worldNode, bool) {
	if !s.until("there is a master", func() bool { return s.master() != nil }) || !s.mustAgree() {
		return nil, false
	}
	late := s.others(s.master().node)[0]
	s.crash(late, false)
	if !s.compacted(30, posts, events) {
		return nil, false
	}
	s.net.wire.observe(func(c *worldConn, frame byte, _ []byte) {
		if frame == callInstallSnapshot+1 && c.link.to == late.id {
			snapshot(c)
		}
	})
	s.restart(late)
	return late, true
}

// underWay reports whether a part of a snapshot has arrived, and more is to come.
func (p *worldPipe) underWay() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.transfers() && p.got > 0
}

// A follower that hears no heartbeats stands for election while the master's snapshot still comes
// in. hashicorp/raft installs it and takes its sender for the leader again, but stays a candidate,
// and a candidate never forgets a leader. When the master is lost then, the follower refuses to
// vote for the other one, because it has a leader, and its own log is too old to be elected.
func TestACandidateThatInstallsASnapshotDoesNotKeepItsLeader(t *testing.T) {
	runScript(t, fewEntries, func(s *script) {
		var begun atomic.Pointer[worldConn]
		late, ok := s.laggard(60, 40, func(c *worldConn) {
			if begun.CompareAndSwap(nil, c) {
				s.net.setRate(c.link, 50e3)
			}
		})
		if !ok || !s.until("a part of a snapshot has arrived", func() bool {
			c := begun.Load()
			return c != nil && c.far.in.underWay()
		}) {
			return
		}
		snapshot := begun.Load().far.in
		for _, p := range s.net.wire.openPipes() {
			if p.link == snapshot.link && p != snapshot {
				p.hold()
			}
		}
		s.net.wire.observe(func(c *worldConn, frame byte, _ []byte) {
			if c.link == snapshot.link {
				c.far.in.hold()
			}
		})
		from, receiver := s.member(snapshot.link.from), late.now.Load()
		if !s.post(3) || !s.until("the follower is a candidate", func() bool {
			return receiver.raft.State() == raft.Candidate
		}) {
			return
		}
		s.net.setRate(snapshot.link, 0)
		if !s.until("the snapshot is installed", func() bool {
			return receiver.machine.Applied() > 0 && !snapshot.underWay()
		}) {
			return
		}
		s.crash(from.node, true)
		s.net.wire.observe(nil)
		s.mustElect(from.node)
	})
}

// mustElect waits until another node than that which is lost is the master.
func (s *script) mustElect(lost *worldNode) {
	began := time.Now()
	s.until("the others have a master", func() bool {
		if time.Since(began) > electionLimit {
			s.problemf("BROKEN: the other two have had no master for %v", electionLimit)
		}
		m := s.master()
		return m != nil && m.node != lost
	})
}

// A is the master of a term, cut off with a member that has no vote. That takes entries of A which
// are never committed. The next master's entries then reach A before anything else of that master
// does, and A applies them before it knows that it is deposed. Up to there the log is committed, A
// tells the other; but the other has entries of the old term there.
func TestADeposedMasterCommitsNothingElsewhere(t *testing.T) {
	runScript(t, func(n *worldNode) {
		if n.id != "f2" {
			return
		}
		n.opts.hooks.raftConfig = func(c *raft.Config) {
			// Its timers are late, as those of a process that was paused, and so is the goroutine
			// that is told of its deposition.
			late := 30 * time.Second
			c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = late, late, late
			c.NotifyCh = delayed(n.w, c.NotifyCh, 3*time.Millisecond)
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
			s.part("f2", other)
			s.part("f4", other)
		}
		before := a.raft.LastIndex()
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		defer cancel()
		var lost sync.WaitGroup
		lost.Go(func() { a.Post(ctx, alerts("bard/lost", 1, 3)) })
		for range 8 { // each is an entry
			lost.Go(func() { a.SetCacheMode(ctx, score.Push) })
		}
		lost.Wait()
		if !s.until("the member without a vote has what is not committed", func() bool {
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
		s.rejoin("f2", c.node.id)
		if !s.until("the old master has applied what the other one acked", func() bool {
			return a.machine.Revision() == c.machine.Revision()
		}) {
			return
		}
		time.Sleep(100 * time.Millisecond)
		s.releaseAll()
		for _, other := range []string{"f1", "f3"} {
			if other != c.node.id {
				s.rejoin("f2", other)
			}
			s.rejoin("f4", other)
		}
	})
}

// delayed returns a channel whose false comes out of to later.
func delayed(w *world, to chan<- bool, by time.Duration) chan<- bool {
	from := make(chan bool, cap(to))
	w.record.readers.Go(func() {
		for !w.over.Load() {
			select {
			case is := <-from:
				if !is {
					time.Sleep(by)
				}
				to <- is
			case <-time.After(time.Second):
			}
		}
	})
	return from
}

// transfer makes a member the master.
func (s *script) transfer(to *worldMember) bool {
	return s.until(to.node.id+" is the master", func() bool {
		if m := s.master(); m != nil && m != to {
			m.Transfer(context.Background(), to.node.id)
		}
		return to.Master()
	})
}
