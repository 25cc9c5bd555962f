package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/push"
	"laurel/cluster/status"
	"laurel/fsm"
)

// newGroupWithSlowCommits returns a group in which Raft's own message that entries are committed
// takes minutes, so that followers learn it only from the hints.
func newGroupWithSlowCommits(t *testing.T) *group {
	t.Helper()
	slow := false
	g := newGroup(t, 3, func(o *Options) {
		o.hooks.raftConfig = func(c *raft.Config) {
			if slow {
				c.CommitTimeout = 10 * time.Minute
			}
		}
	})
	// The group has formed. After the restart, the commit messages are slow.
	slow = true
	for _, n := range g.nodes {
		n.stop()
	}
	for _, n := range g.nodes {
		n.start()
	}
	return g
}

func TestReadAfterAPostDoesNotWaitForRaftsCommitMessage(t *testing.T) {
	t.Parallel()
	g := newGroupWithSlowCommits(t)
	g.settle()
	for _, n := range g.nodes {
		eventually(t, n.opts.ID+" has a lease", func() error {
			if !n.member().Leased() {
				return errors.New("it has none")
			}
			return nil
		})
	}
	for i := range 20 {
		results := mustPost(t, g.master(), alerts("bard/a", uint64(i+1), 1))
		for _, n := range g.nodes {
			eventually(t, n.opts.ID+" answers", func() error {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				revision, err := read(ctx, n.member())
				if masterLost(err) {
					return err // it has lost its lease
				}
				if err != nil || revision < results[0].Revision {
					t.Fatalf("%s: got revision %d (%v) after %d was acked", n.opts.ID, revision, err, results[0].Revision)
				}
				return nil
			})
		}
	}
}

// Bards and readers come to any frontend with a grant that was just made.
func TestGrantIsKnownEverywhereWithoutRaftsCommitMessage(t *testing.T) {
	runScript(t, func(n *worldNode) {
		n.opts.hooks.raftConfig = func(c *raft.Config) { c.CommitTimeout = time.Hour }
	}, func(s *script) {
		if !s.post(3) || !s.mustAgree() {
			return
		}
		change, began := grantTo(1, "bard/a"), time.Now()
		if err := s.master().ChangeAccess(context.Background(), change); err != nil {
			s.problemf("%v", err)
			return
		}
		for _, m := range s.up() {
			s.until(m.node.id+" knows the grant", func() bool {
				return m.machine.Access().Grants[change.Grant.ID] != nil
			})
		}
		if took := time.Since(began); took > time.Second {
			s.problemf("it took %v until all members knew the grant", took)
		}
	})
}

// The log of a member that comes back has everything, and its state machine knows of none of it.
func TestMemberThatComesBackLearnsFromItsStreamWhatIsCommitted(t *testing.T) {
	t.Parallel()
	g := newGroupWithSlowCommits(t)
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	back := g.others(g.master())[0]
	back.stop()
	if err := os.Remove(filepath.Join(back.opts.Dir, fsm.File)); err != nil {
		t.Fatal(err)
	}
	back.start()
	eventually(t, "it has applied what is committed", func() error {
		m := back.member()
		if ready, known := m.ReadyForReads(t.Context()), m.machine.Incarnation(); ready == nil && known == "" {
			t.Error("it is ready, and does not know the settings of the group")
		}
		if got := m.machine.Revision(); got != 3 {
			return fmt.Errorf("it is at revision %d", got)
		}
		return nil
	})
}

// The stream, which carries the hint, may be much faster than Raft's connection, which carries the entry.
func TestFollowerUsesAHintThatCameBeforeItsEntry(t *testing.T) {
	const late = 300 * time.Millisecond
	runScript(t, func(n *worldNode) {
		n.opts.hooks.raftConfig = func(c *raft.Config) { c.CommitTimeout = time.Hour }
	}, func(s *script) {
		master, member := s.member("f1"), s.member("f3")
		if !s.post(3) || !s.transfer(master) || !s.mustAgree() {
			return
		}
		var delayed atomic.Bool
		s.net.wire.observe(func(c *worldConn, frame byte, b []byte) {
			entry := frame == callAppendEntries+1 && !isHeartbeat(b)
			if entry && c.link.to == member.node.id && delayed.CompareAndSwap(false, true) {
				c.far.in.stall(late)
			}
		})
		began := time.Now()
		if !s.post(1) {
			return
		}
		s.until("the member has applied the event", func() bool {
			return member.machine.Revision() == master.machine.Revision()
		})
		if took := time.Since(began); !delayed.Load() || took < late || took > late+100*time.Millisecond {
			s.problemf("the entry came %v late (%v), and the member applied it after %v", late, delayed.Load(), took)
		}
	})
}

// cutOffMaster is a group whose master was cut off with an entry that is not committed, and another
// member that is the master since and has committed events behind it.
type cutOffMaster struct {
	*group
	network *network
	old     *node // the one that is cut off
	now     *node // the master
	tail    uint64
	heal    func() // ends the cut
}

func newCutOffMaster(t *testing.T) *cutOffMaster {
	t.Helper()
	d := &cutOffMaster{network: newNetwork(t)}
	patience := false
	d.group = newGroup(t, 3, d.network.between, func(o *Options) {
		o.hooks.raftConfig = func(c *raft.Config) {
			if patience { // it does not see by itself that it is cut off
				c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = patient, patient, patient
			}
		}
	})
	d.old = d.nodes[0]
	d.old.stop()
	patience = true
	d.old.start()
	d.makeMaster(d.old)
	mustPost(t, d.old, alerts("bard/a", 1, 3))
	d.agree(3)
	others, m := d.others(d.old), d.old.member()
	eventually(t, "it is cut off as the master", func() error {
		d.makeMaster(d.old) // again, if a busy machine has lost it
		d.network.apart(d.old, others[0])
		d.network.apart(d.old, others[1])
		if m.leadership() == nil {
			d.network.heal()
			return errors.New("it was lost just before")
		}
		return nil
	})
	before := entries(m)
	posting, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	posted := make(chan struct{})
	go func() {
		defer close(posted)
		lost := alerts("bard/lost", 1, 1)
		lost.Events[0].Seq = 0 // it is not posted again when its outcome is unknown
		m.Post(posting, lost)
	}()
	d.heal = func() {
		stop()
		<-posted
		d.network.heal()
	}
	eventually(t, "the master that is cut off has an entry that is not committed", func() error {
		if entries(m) == before {
			return errors.New("it has not")
		}
		return nil
	})
	d.tail = entries(m)
	eventually(t, "there is another master", func() error {
		for _, n := range others {
			if n.member().Master() {
				d.now = n
				return nil
			}
		}
		return errors.New("there is none")
	})
	mustPost(t, d.now, alerts("bard/b", 1, 3))
	return d
}

// ends heals the network and checks that the old master committed no entry that was not committed.
func (d *cutOffMaster) ends(t *testing.T) {
	t.Helper()
	m := d.old.member()
	if got := m.raft.CommitIndex(); got >= d.tail {
		t.Errorf("entry %d, which was never committed, is taken for committed: the commit index is %d", d.tail, got)
	}
	d.heal()
	d.agree(6)
	if got := timeline(t, m); got["bard/lost-1"] != 0 {
		t.Error("an event that was never committed is applied")
	}
}

// The hint of a deposed master may name an entry of the next term. A follower that has another
// entry at that index must not commit it.
func TestFollowerCommitsOnlyTheEntryThatTheHintNames(t *testing.T) {
	t.Parallel()
	d := newCutOffMaster(t)
	master := d.now.member()
	hint := push.AppliedCommit(master.machine, master.storage.Log)
	if hint.Term != d.now.member().Epoch() || hint.Index < d.tail {
		t.Fatalf("the master of epoch %d names the entry %+v; want one of its own at %d or behind",
			d.now.member().Epoch(), hint, d.tail)
	}
	// The old master plays a follower of its term: it has another entry at tail, and gets a hint
	// of its own epoch that names the entry of the later master.
	m := d.old.member()
	c := m.pushConfig(status.NewReports(m.scaled))
	c.Self = "another"
	hints := push.NewCommitHints(c)
	hints.Note(m.Epoch(), push.Commit{Index: d.tail, Term: hint.Term})
	for range 100 { // it may follow nobody any more, and then keeps the hint
		hints.Apply()
	}
	d.ends(t)
}

// A leader whose goroutine was paused sends old entries with the present commit index.
func TestFollowerCommitsNoMoreThanARequestProves(t *testing.T) {
	t.Parallel()
	d := newCutOffMaster(t)
	m, master := d.old.member(), d.now.member()
	var before raft.Log
	if err := m.storage.Log.GetLog(d.tail-1, &before); err != nil {
		t.Fatal(err)
	}
	leader := newFakePeer(t, "127.0.0.1:0", master.self)
	leader.addr = raft.ServerAddress(master.Peer())
	to := m.self
	var answer raft.AppendEntriesResponse
	request := &raft.AppendEntriesRequest{
		RPCHeader: leader.header(), Term: master.Epoch(), PrevLogEntry: before.Index, PrevLogTerm: before.Term,
		LeaderCommitIndex: master.raft.CommitIndex(),
	}
	err := leader.over.AppendEntries(to, peer.Address(to, raft.ServerAddress(m.Peer())), request, &answer)
	if err != nil || !answer.Success {
		t.Fatalf("the request was answered %+v, %v", answer, err)
	}
	if master.raft.CommitIndex() < d.tail {
		t.Fatal("the master has not committed so much")
	}
	d.ends(t)
}
