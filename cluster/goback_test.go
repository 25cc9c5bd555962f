package cluster

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"laurel/score"
)

// post posts an alert.
func (s *bardClient) post(g *secureGroup) {
	s.t.Helper()
	mustPost(s.t, g.master(), s.signedPost(score.TypeAlert, &score.Alert{Text: fmt.Sprint("rain ", s.seq)}))
}

// goesBack ends a member, which goes back behind the entry at index, and starts it again.
func (n *node) goesBack(index uint64, proven bool) {
	n.t.Helper()
	m := n.member()
	m.end(m.storage.GoBack(index, "its history is another one", proven))
	if _, ok := errors.AsType[*GoBackError](<-m.Ended()); !ok {
		n.t.Error("it does not go back")
	}
	n.stop()
	n.start()
}

func TestAFrontendThatHasGoneBackTakesTheRestFromTheOthers(t *testing.T) {
	t.Parallel()
	for what, keep := range map[string]bool{"it keeps its log to an entry": true, "it keeps nothing": false} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := newSwornGroup(t, 4)
			bard := g.swornBard("bard/a")
			bard.post(g)
			n := g.others(g.master())[0]
			index := uint64(0)
			if keep {
				index = n.member().machine.Applied()
			}
			bard.post(g)
			g.agree(bard.seq)
			others := g.others(n)
			for _, other := range others {
				other.stop()
			}
			n.goesBack(index, true)
			err := n.member().source.Gate.Check()
			if forgetful := err != nil && strings.Contains(err.Error(), "certified"); forgetful == keep {
				t.Errorf("it takes part in elections: %v", err)
			}
			for _, other := range others {
				other.start()
			}
			g.agree(bard.seq)
			g.settle()
			bard.post(g)
			g.agree(bard.seq)
			if r := n.member().storage.Return(); r.Pending || r.Index != index {
				t.Errorf("it has gone back like this: %+v", r)
			}
			eventually(t, "it takes part in elections", n.member().source.Gate.Check)
		})
	}
}

// What one of them held is known to those that have not gone back yet: none may wait for it.
func TestFrontendsThatGoBackTogetherElectAMaster(t *testing.T) {
	t.Parallel()
	var unsealing atomic.Bool
	// None that has not gone back yet stands for election, and so brings the others what they have left.
	g := newSwornGroup(t, 4, steady, func(o *Options) { o.hooks.unsealing = unsealing.Load })
	bard := g.swornBard("bard/a")
	bard.post(g)
	g.agree(bard.seq)
	liar := g.master()
	eventually(t, "all is sealed", func() error {
		if changed, _ := liar.member().machine.Rounds().Unsealed(); changed > 0 {
			return fmt.Errorf("%d answers are not", changed)
		}
		return nil
	})
	unsealing.Store(true)
	index := liar.member().machine.Applied()
	honest := g.others(liar)
	before := bard.seq
	for range 3 {
		bard.post(g)
	}
	g.agree(bard.seq)
	liar.stop()
	for _, n := range honest {
		n.opts.hooks.raftConfig = nil
		n.goesBack(index, false)
	}
	unsealing.Store(false)
	bard.seq = before // it posts again what none has certified
	bard.post(g)
	g.agree(bard.seq)
	eventually(t, "all are back", func() error {
		for _, n := range honest {
			if r := n.member().storage.Return(); !r.Settled {
				return fmt.Errorf("%s: %+v", n.opts.ID, r)
			}
		}
		return nil
	})
}

// Two of three voters are up, and the roster has four frontends.
func TestAFrontendThatTakesSnapshotsWithoutCertificatesCanStillGoBack(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 3)
	g.rosterKey(newNode(t, "f9"))
	n := g.others(g.master())[0]
	n.stop()
	n.opts.SnapshotEntries = 5
	n.start()
	g.settle()
	bard, r := g.swornBard("bard/a"), g.reader()
	bard.post(g)
	expectProof(t, r, n, "bards/bard/a", 1)
	away := g.others(n)[0]
	away.stop()
	for range 3 {
		for range 10 {
			bard.post(g)
		}
		eventually(t, "a snapshot is taken", func() error {
			if err := n.member().raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
				return err
			}
			if got := n.member().machine.Revision(); got < bard.seq || !n.member().storage.Log.InSnapshot(n.member().machine.Applied()) {
				return fmt.Errorf("it has revision %d", got)
			}
			return nil
		})
	}
	m := n.member()
	index := m.enforcer.CosignedIndex()
	if !m.storage.Log.InSnapshot(index + 30) {
		t.Fatalf("rounds are certified up to entry %d, and there are no snapshots after that", index)
	}
	if short := n.metric("laurel_log_short", ""); short != 0 {
		t.Errorf("laurel_log_short is %v", short)
	}
	m.end(m.enforcer.Unproven("no quorum can agree"))
	if back, ok := errors.AsType[*GoBackError](<-m.Ended()); !ok || back.Index != index {
		t.Fatalf("it ends with %v; want that it goes back to %d", back, index)
	}
	n.stop()
	n.start()
	// The two that lack what was not certified must not elect each other.
	eventually(t, "it has everything again", func() error {
		if got := n.member().machine.Revision(); got < bard.seq {
			return fmt.Errorf("it has revision %d", got)
		}
		return nil
	})
	away.start()
	g.settle()
	g.agree(bard.seq)
	bard.post(g)
	expectProof(t, r, n, "bards/bard/a", 1)
}
