package cluster

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/score"
)

// notReady waits until a node answers reads and is not ready, for a reason with the text why.
func notReady(t *testing.T, n *node, why string) {
	t.Helper()
	eventually(t, n.opts.ID+" answers reads and is not ready", func() error {
		if err := n.member().ReadyForReads(t.Context()); err != nil {
			return err
		}
		err := n.member().Ready(t.Context())
		if score.CodeOf(err) != score.NotReady || !strings.Contains(err.Error(), why) {
			return fmt.Errorf("it is ready, or not for its vote: %v", err)
		}
		return nil
	})
}

// asksLong makes a node wait long for the answers of other voters. It is ready without those that
// are down, and on a busy machine it might take one for down.
func asksLong(o *Options) { o.hooks.roundTimeout = patient }

func ready(t *testing.T, n *node) {
	t.Helper()
	eventually(t, n.opts.ID+" is ready", func() error { return n.member().Ready(t.Context()) })
}

// A new frontend gets its vote when it has caught up; the reported index keeps it from that.
func TestFrontendIsReadyOnlyWithItsVote(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	joiner := g.add()
	var behind atomic.Bool
	behind.Store(true)
	joiner.changeStatus = func(s *status.Status, _ raft.ServerID) {
		if behind.Load() {
			s.Applied = 0
		}
	}
	joiner.start()
	notReady(t, joiner, "waits for its vote")
	if s, in := peer.Find(g.master().member().servers(), joiner.member().self); !in || s.Suffrage == raft.Voter {
		t.Fatalf("it is in the group %t, with the suffrage %s", in, s.Suffrage)
	}
	behind.Store(false)
	ready(t, joiner)

	// Once it is ready, the group survives the loss of any other frontend.
	lost := g.master()
	lost.stop()
	for _, n := range g.running() {
		ready(t, n)
	}
	mustPost(t, joiner, alerts("bard/a", 1, 1))
}

func TestFrontendIsReadyOnlyWhenOtherVotersKnowOfItsVote(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	var unaware atomic.Bool
	unaware.Store(true)
	second := g.nodes[1]
	second.stop()
	second.changeStatus = func(s *status.Status, from raft.ServerID) {
		if unaware.Load() && peer.MemberID(from) == "f3" && s.Roster != nil {
			s.Roster.Voter = false
		}
	}
	second.start()
	g.settle()
	joiner := g.add(asksLong)
	joiner.start()
	notReady(t, joiner, "until other voters know of it: f2")
	unaware.Store(false)
	ready(t, joiner)
	unaware.Store(true) // what was known stays true
	ready(t, joiner)
}

func TestQuestionThatWasGivenUpMakesNoFrontendReady(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	joiner, second := g.add(asksLong), g.nodes[1]
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	var holds atomic.Bool
	second.stop()
	second.changeStatus = func(s *status.Status, from raft.ServerID) {
		if peer.MemberID(from) != "f3" || s.Roster == nil {
			return
		}
		s.Roster.Voter = false
		if holds.Load() && joiner.member().asking.Load() {
			giveUp()
			for joiner.member().asking.Load() { // it gets no answer
				runtime.Gosched()
			}
		}
	}
	second.start()
	g.settle()
	joiner.start()
	notReady(t, joiner, "until other voters know of it: f2")
	holds.Store(true)
	for ctx.Err() == nil {
		if err := joiner.member().Ready(ctx); err == nil {
			t.Fatal("it is ready, though nobody answered")
		}
	}
	holds.Store(false)
	notReady(t, joiner, "until other voters know of it: f2")
}

func TestVoterThatIsDownDoesNotKeepAnotherFromBeingReady(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	g.nodes[2].stop()
	g.nodes[1].stop()
	g.nodes[1].start()
	ready(t, g.nodes[1])
	joiner := g.add()
	joiner.start()
	ready(t, joiner)
}

func TestReadinessOfOneAndOfTwo(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	ready(t, g.nodes[0])
	second := g.add()
	second.start()
	ready(t, second)
	if voters := g.master().member().voters(); len(voters) != 2 {
		t.Errorf("the group has the voters %v", voters)
	}
	g.nodes[0].stop() // it has no majority now
	eventually(t, "f2 is not ready", func() error {
		if err := second.member().Ready(t.Context()); err == nil {
			return errors.New("it is")
		}
		return nil
	})
}

func TestNonvoterIsReadyWithoutAVote(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	n := g.add(func(o *Options) { o.Nonvoter = true })
	n.start()
	ready(t, n)
	if s, in := peer.Find(g.master().member().servers(), n.member().self); !in || s.Suffrage == raft.Voter {
		t.Errorf("it is in the group %t, with the suffrage %s", in, s.Suffrage)
	}
	eventually(t, "an operator gives it a vote", func() error {
		return g.master().member().Join(t.Context(), n.asNew(), true)
	})
	ready(t, n)
}

func TestRemovedFrontendIsNotReady(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	n := g.others(g.master())[0]
	g.remove(n.opts.ID, false)
	eventually(t, n.opts.ID+" is not ready", func() error {
		if n.member().Ready(t.Context()) == nil {
			return errors.New("it is")
		}
		return nil
	})
	ended(t, n)
}

func TestVoterThatIsCutOffIsNotReady(t *testing.T) {
	t.Parallel()
	net := newNetwork(t)
	g := newGroup(t, 3, net.between)
	n := g.others(g.master())[0]
	for _, other := range g.nodes {
		if other != n {
			net.apart(n, other)
		}
	}
	eventually(t, n.opts.ID+" is not ready", func() error {
		if n.member().Ready(t.Context()) == nil || n.member().ReadyForReads(t.Context()) == nil {
			return errors.New("it is")
		}
		return nil
	})
	net.heal()
	ready(t, n)
}
