package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestReadAtTheMasterHasEveryAckedEvent(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	var posters sync.WaitGroup
	for _, n := range g.nodes {
		posters.Go(func() {
			for seq := range uint64(50) {
				acked := mustPost(t, n, alerts("bard/"+n.opts.ID, seq+1, 1))[0].Revision
				eventually(t, "read", func() error {
					revision, err := read(context.Background(), g.master().member())
					if err == nil && revision < acked {
						t.Errorf("revision %d was acked before a read that had %d", acked, revision)
					}
					return err
				})
			}
		})
	}
	posters.Wait()
}

func TestReadAtAnyMemberHasEveryAckedEventAtOnce(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	for _, n := range g.nodes {
		eventually(t, n.opts.ID+" has a lease", func() error {
			_, err := read(context.Background(), n.member())
			return err
		})
	}
	for seq := range uint64(50) {
		acked := mustPost(t, g.nodes[seq%3], alerts("bard/any", seq+1, 1))[0].Revision
		for _, n := range g.nodes {
			revision, err := read(context.Background(), n.member())
			if err == nil && revision < acked {
				t.Errorf("%s answered revision %d after %d was acked", n.opts.ID, revision, acked)
			}
		}
	}
}

func TestAllMembersAreReady(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	for _, n := range g.nodes {
		eventually(t, n.opts.ID, func() error { return n.member().Ready(context.Background()) })
	}
}

// slow stretches the time until a master notices that it has lost the others, so that it is deposed long before.
const slow = 10

// newSlowMaster forms a group of three over net whose master steps down a time after it has lost
// the others. It returns that node and the others.
func newSlowMaster(t *testing.T, net *network, after time.Duration) (g *group, old *node, others []*node) {
	t.Helper()
	g = newGroup(t, 3, net.between)
	old = g.nodes[0]
	old.stop()
	old.opts.hooks.roundTimeout = slow * testScale * roundTimeout
	old.opts.hooks.raftConfig = func(c *raft.Config) {
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = after, after, after
	}
	old.start()
	g.settle()
	eventually(t, "the slow one is the master", func() error {
		m := g.master().member()
		if m.ID() == old.opts.ID {
			return nil
		}
		m.Transfer(context.Background(), old.opts.ID)
		return fmt.Errorf("it is %s", m.ID())
	})
	mustPost(t, old, alerts("bard/before", 1, 1))
	return g, old, g.others(old)
}

// successor waits until the others have elected a master and it has acked a post.
func successor(t *testing.T, others []*node) {
	t.Helper()
	var master *node
	eventually(t, "the others have a master", func() error {
		for _, n := range others {
			if n.member().Master() {
				master = n
				return nil
			}
		}
		return errors.New("they have none")
	})
	mustPost(t, master, alerts("bard/after", 1, 1))
}

// checkNotDeposedYet fails a test in which the old master knows already that it is deposed.
func checkNotDeposedYet(t *testing.T, old *node) {
	t.Helper()
	if !old.member().Master() {
		t.Log("the old master noticed too soon, on a machine that must be very busy")
	}
}

func checkNoAnswer(t *testing.T, old *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	revision, err := read(ctx, old.member())
	if err == nil {
		t.Errorf("the deposed master answered, with revision %d", revision)
	}
}

func TestDeposedMasterThatIsCutOffNeverAnswersARead(t *testing.T) {
	t.Parallel()
	net := newNetwork(t)
	_, old, others := newSlowMaster(t, net, slow*testScale*electionTimeout)
	for _, n := range others {
		net.apart(old, n)
	}
	successor(t, others)
	checkNotDeposedYet(t, old)
	checkNoAnswer(t, old)
	net.heal()
	for range 20 {
		checkNoAnswer(t, old)
	}
}

func TestDeposedMasterThatOnlyReceivesNeverAnswersARead(t *testing.T) {
	t.Parallel()
	net := newNetwork(t)
	_, old, others := newSlowMaster(t, net, slow*testScale*electionTimeout)
	for _, n := range others {
		net.cut(old, n)
	}
	successor(t, others)
	checkNotDeposedYet(t, old)
	checkNoAnswer(t, old)
}

func TestDeposedMasterThatOnlySendsNeverAnswersARead(t *testing.T) {
	t.Parallel()
	net := newNetwork(t)
	_, old, others := newSlowMaster(t, net, slow*testScale*electionTimeout)
	for _, n := range others {
		net.cut(n, old)
	}
	// The others receive its messages until it steps down. Its lease has expired before that.
	eventually(t, "the lease is over", func() error {
		if _, err := read(context.Background(), old.member()); err == nil {
			return errors.New("it is not")
		}
		return nil
	})
	successor(t, others)
	checkNoAnswer(t, old)
}

// connect opens connections from one node to another before the network is cut.
func connect(t *testing.T, from, to *node) {
	t.Helper()
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() {
			eventually(t, to.opts.ID+" answers", func() error {
				_, err := from.member().poller.Ask(context.Background(), to.member().Peer())
				return err
			})
		})
	}
	calls.Wait()
}

// confirmed reads as the master does for a poll.
func confirmed(ctx context.Context, m *Member) (revision uint64, err error) {
	if err := m.rounds.Confirm(ctx); err != nil {
		return 0, err
	}
	return m.machine.Revision(), nil
}

func TestLateRepliesDoNotMakeADeposedMasterAnswerInPullMode(t *testing.T) {
	t.Parallel()
	net := newNetwork(t)
	_, old, others := newSlowMaster(t, net, slow*testScale*electionTimeout)
	for _, n := range others {
		connect(t, old, n)
		net.watch(old, n)
		net.cut(n, old)
	}
	// The round of the first read reaches the others while they are in the old epoch, and their answers are delayed.
	first := make(chan error, 1)
	go func() {
		_, err := confirmed(context.Background(), old.member())
		first <- err
	}()
	for _, n := range others {
		eventually(t, "the question has come to "+n.opts.ID, func() error {
			if !net.has(old, n, "/peer/v1/term") {
				return errors.New("it has not")
			}
			return nil
		})
		net.cut(old, n)
	}
	successor(t, others)
	checkNotDeposedYet(t, old)
	second := make(chan error, 1)
	go func() { second <- old.member().rounds.Confirm(context.Background()) }()
	for _, n := range others {
		net.mend(n, old) // the late answers come in, those to Raft's heartbeats too
	}
	<-first // it began before the new master's first event, so either outcome is right
	if err := <-second; err == nil {
		t.Error("the deposed master confirmed a read that came after its successor was elected")
	}
}
