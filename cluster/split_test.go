package cluster

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/witness"
)

// lied stores other posts than the master has sent, as if it had sent those.
type lied struct {
	raftlog.Backend
	lie *atomic.Pointer[score.Post] // in the place of each post
}

func (l *lied) StoreLogs(entries []*raft.Log) error {
	for _, e := range entries {
		lie := l.lie.Load()
		kind, err := entry.Decode(e.Data)
		if lie == nil || e.Type != raft.LogCommand || err != nil || len(kind.Posts) == 0 {
			continue
		}
		encoded, err := entry.EncodePost(*lie)
		if err != nil {
			return err
		}
		e.Data = entry.Encode([]entry.EncodedPost{encoded})
	}
	return l.Backend.StoreLogs(entries)
}

func TestAMasterThatTellsEachFrontendSomethingElseIsBlamedByAll(t *testing.T) {
	t.Parallel()
	// Only what is signed counts here.
	signedOnly := func(o *Options) { o.hooks.diverged = func(string) {} }
	g := newSwornGroup(t, 1, steady, signedOnly)
	corrupt := g.nodes[0]
	lies := make([]atomic.Pointer[score.Post], 3)
	for i := range lies {
		g.addSworn(steady, signedOnly, func(o *Options) {
			o.hooks.wrapBackend = func(b raftlog.Backend) raftlog.Backend { return &lied{b, &lies[i]} }
		}).start()
	}
	g.settle()
	eventually(t, "the first frontend is the master", func() error {
		if corrupt.member().Master() {
			return nil
		}
		return errors.Join(errors.New("it is not"), g.master().member().Transfer(t.Context(), corrupt.opts.ID))
	})
	bard := g.swornBard("bard/a")
	bard.post(g)
	g.agree(1)
	for _, n := range g.nodes {
		expectProof(t, g.reader(), n, "bards/bard/a", 1)
	}
	for i, text := range []string{"sun", "snow"} {
		other := *bard
		lie := other.signedPost(score.TypeAlert, &score.Alert{Text: text})
		lies[i].Store(&lie)
	}
	mustPost(t, corrupt, bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"}))
	honest := g.others(corrupt)
	for _, n := range honest {
		select {
		case err := <-n.member().Ended():
			if back, ok := errors.AsType[*GoBackError](err); !ok || back.Index == 0 {
				t.Fatalf("%s has ended with %v", n.opts.ID, err)
			}
		case <-time.After(patient):
			t.Fatalf("%s goes on", n.opts.ID)
		}
	}
	for i := range lies {
		lies[i].Store(nil)
	}
	for _, n := range g.nodes {
		n.stop()
		n.opts.hooks.raftConfig, n.opts.hooks.diverged = nil, nil // another one is to be elected
	}
	for _, n := range honest {
		n.start()
	}
	g.settle()
	for _, n := range honest {
		if s := n.member().enforcer.Keeper.Of(corrupt.opts.ID); s == nil || s.Reason != witness.Split {
			t.Errorf("%s holds this against the master: %v", n.opts.ID, s)
		}
		for _, other := range honest {
			if err := n.member().enforcer.Keeper.Distrusts(other.opts.ID); err != nil {
				t.Errorf("%s holds something against an honest one: %v", n.opts.ID, err)
			}
		}
	}
	// The corrupt one says the truth from now on, and is sent everything, but is no master.
	corrupt.start()
	bard.seq = g.master().member().machine.Revision() // what was not certified is lost
	mustPost(t, g.master(), bard.signedPost(score.TypeAlert, &score.Alert{Text: "hail"}))
	g.agree(g.master().member().machine.Revision())
	if corrupt.member().Master() {
		t.Error("it is the master")
	}
}

// An honest master seals all the time, and is left by nobody.
func TestAMasterThatSealsNothingIsLeftUntilAnotherOneHasSealed(t *testing.T) {
	t.Parallel()
	const stall = 2 * time.Second
	g := newSwornGroup(t, 1)
	unsealing := make([]atomic.Bool, 3)
	for i := range unsealing {
		g.addSworn(func(o *Options) { o.hooks.stallTime, o.hooks.unsealing = stall, unsealing[i].Load }).start()
	}
	g.settle()
	g.nodes[0].stop() // which waits for a minute
	g.nodes[0].opts.hooks.stallTime = stall
	g.nodes[0].start()
	g.settle()
	lazy := g.nodes[1]
	eventually(t, "the second frontend is the master", func() error {
		if lazy.member().Master() {
			return nil
		}
		return errors.Join(errors.New("it is not"), g.master().member().Transfer(t.Context(), lazy.opts.ID))
	})
	bard := g.swornBard("bard/a")
	bard.post(g)
	round := expectProof(t, g.reader(), lazy, "bards/bard/a", 1).Number
	unsealing[0].Store(true)
	bard.post(g)
	for _, n := range g.others(lazy) {
		expectProof(t, g.reader(), n, "bards/bard/a", round+1)
	}
	eventually(t, "it is taken back, and another one is the master", func() error {
		for _, n := range g.others(lazy) {
			if s := n.member().enforcer.Keeper.Of(lazy.opts.ID); s != nil {
				return s
			}
		}
		if lazy.member().Master() {
			return errors.New("it is the master")
		}
		return nil
	})
}

func TestAFrontendKnowsWhoHasBroughtEachEntry(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 3)
	bard := g.swornBard("bard/a")
	masters := map[uint64]string{} // by the index of a post
	for range 3 {
		var master *node
		eventually(t, "one master brings a post", func() error {
			master = g.master()
			m := master.member()
			epoch := m.Epoch()
			mustPost(t, master, bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"}))
			index := entries(m)
			if !m.Master() || m.Epoch() != epoch {
				return errors.New("it was lost meanwhile")
			}
			masters[index] = master.opts.ID
			return nil
		})
		g.makeMaster(g.others(master)[0])
		g.settle()
	}
	for index, master := range masters {
		for _, n := range g.nodes {
			eventually(t, n.opts.ID+" has the entry", func() error {
				if entries(n.member()) < index {
					return errors.New("it has not")
				}
				return nil
			})
			if got := n.member().enforcer.Origins.Of(index); got != master {
				t.Errorf("%s has entry %d by %q; want %q", n.opts.ID, index, got, master)
			}
		}
	}
}
