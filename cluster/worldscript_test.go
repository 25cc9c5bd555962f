package cluster

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"laurel/cluster/peer"
	"laurel/fsm/view"
	"laurel/score"
)

// Scripted worlds deliver the messages of Raft in a given order, for coincidences that
// may not happen in thousands of random worlds. The checker of the world checks them,
// too.

// script is a scripted world of three voters.
type script struct {
	*world
	acks map[uint64]string // the acked event of a revision
	mu   sync.Mutex
	seq  uint64
}

// runScript runs a scripted world and fails the test if it finds a problem. node, unless
// nil, changes a member's options before it starts.
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
		t.Errorf("%s\n\nlog:\n%s", why, w.log.tail(number("LAUREL_TAIL", 80)))
	}
	return w
}

// until waits for a condition and reports whether it came true within a minute and
// without a problem.
func (s *script) until(what string, is func() bool) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && s.problems.tail(1) == ""; {
		if is() {
			s.log.addf("script: %s", what)
			return true
		}
		time.Sleep(time.Millisecond)
	}
	s.problemf("script: gave up waiting until %s", what)
	return false
}

// node returns the node with an id.
func (s *script) node(id string) *worldNode {
	for _, n := range s.list() {
		if n.id == id {
			return n
		}
	}
	return nil
}

// post posts events as one bard does, again until they are acked.
func (s *script) post(events int) bool {
	first := s.seq + 1
	s.seq += uint64(events)
	return s.until(fmt.Sprintf("the events up to %d are acked", s.seq), func() bool {
		m := s.master()
		return m != nil && s.postTo(m, alerts("bard/script", first, events))
	})
}

// postTo posts to one member and notes its acks.
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
		s.history.learn(r.Revision)
	}
	return true
}

// settle waits until the members agree, and checks that each acked event is there.
func (s *script) settle() {
	for _, n := range s.list() {
		s.restart(n)
	}
	all := s.history.waitSettled()
	if all == nil {
		return
	}
	if highest := s.history.known.Load(); all.revision < highest {
		s.problemf("BROKEN: revision %d was acked, and the members agree on %d", highest, all.revision)
	}
	there := map[string]uint64{}
	for _, e := range timelineOf(s.master()) {
		there[e.ID] = e.Revision
	}
	for revision, id := range s.acks {
		if there[id] != revision {
			s.problemf("BROKEN: %s was acked as revision %d and is at %d", id, revision, there[id])
		}
	}
}

// postUntilCompacted posts until a member with an empty log needs a snapshot.
func (s *script) postUntilCompacted(first uint64, posts, events int) bool {
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
	m.machine.View(func(v *view.View) (err error) {
		list, _, err = v.Timeline(scriptContest, 0, 1<<30)
		return err
	})
	return list
}

const scriptContest = "OG50BC/rain" // see alerts

// cutBoth cuts the directions between two hosts.
func (s *script) cutBoth(a, b string) {
	s.net.cut(a, b)
	s.net.cut(b, a)
}

func (s *script) healBoth(a, b string) {
	s.net.heal(a, b)
	s.net.heal(b, a)
}

// loseDialed breaks the connections that a host has dialed.
func (n *worldNet) loseDialed(host string) {
	n.loseConns(func(c *worldConn) bool { return c.link.from == host })
}

// loseStreams breaks the streams of the push protocol.
func (n *worldNet) loseStreams() {
	n.loseConns(func(c *worldConn) bool {
		n.wire.wireState.mu.Lock()
		defer n.wire.wireState.mu.Unlock()
		return c.carries == peer.ProtocolPush
	})
}

func (n *worldNet) loseConns(which func(*worldConn) bool) {
	n.mu.Lock()
	var list []*worldConn
	for c := range n.conns {
		if which(c) {
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

// releaseAll releases all data that was held.
func (s *script) releaseAll() {
	s.net.wire.observe(nil)
	for _, p := range s.net.wire.openPipes() {
		p.release()
	}
}

// electionLimit is generous: an election takes a few hundred milliseconds.
const electionLimit = 5 * time.Second

// startLaggard crashes a follower, posts until it needs a snapshot, and starts it again.
// snapshot is called with each InstallSnapshot that is then sent to it.
func (s *script) startLaggard(posts, events int, snapshot func(*worldConn)) (*worldNode, bool) {
	if !s.until("there is a master", func() bool { return s.master() != nil }) || !s.mustAgree() {
		return nil, false
	}
	late := s.others(s.master().node)[0]
	s.crash(late, false)
	if !s.postUntilCompacted(30, posts, events) {
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

// partlyReceived reports whether a part of a snapshot has arrived and the rest has not.
func (p *worldPipe) partlyReceived() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.receivingSnapshot() && p.got > 0
}

// mustElect waits until a node other than the lost one is the master.
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

// delayFalse returns a channel that forwards to to, with a delay for false.
func delayFalse(w *world, to chan<- bool, by time.Duration) chan<- bool {
	from := make(chan bool, cap(to))
	w.history.readers.Go(func() {
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
