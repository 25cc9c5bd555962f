package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/standing"
	"laurel/score"
)

// follow makes a request one of a term that is later than that of all nodes, whose master they
// may have elected meanwhile, and of what follows their logs. They must have one log: a
// request that removes what one of them has applied makes it go back.
func follow(request *raft.AppendEntriesRequest, nodes []*node, brings bool) error {
	end := nodes[0].member().source.Status("")
	for _, n := range nodes {
		s := n.member().source.Status("")
		if changed, _ := n.member().machine.Rounds().Unsealed(); changed > 0 {
			return fmt.Errorf("a seal of %d answers follows at %s", changed, n.opts.ID)
		}
		if s.LogIndex != end.LogIndex || s.LogTerm != end.LogTerm {
			return fmt.Errorf("the log of %s ends at entry %d, another one at %d", n.opts.ID, s.LogIndex, end.LogIndex)
		}
		end.Term = max(end.Term, s.Term)
	}
	if end.Term <= request.Term {
		return nil
	}
	request.Term, request.PrevLogEntry, request.PrevLogTerm = end.Term+1, end.LogIndex, end.LogTerm
	if brings {
		request.Entries = []*raft.Log{{Index: end.LogIndex + 1, Term: request.Term, Type: raft.LogNoop}}
	}
	return nil
}

// usurp has a node tell the others that it leads in the next term, and maybe bring an entry of
// it, until all of them have put it out.
func usurp(t *testing.T, n *node, others []*node, brings bool) {
	t.Helper()
	m := n.member()
	request := &raft.AppendEntriesRequest{RPCHeader: headerOf(m)}
	eventually(t, "all have put it out", func() (err error) {
		if err := follow(request, others, brings); err != nil {
			return err
		}
		for _, other := range others {
			o := other.member()
			m.transport.AppendEntries(o.self, raft.ServerAddress(o.Peer()), request, new(raft.AppendEntriesResponse))
			if s := o.enforcer.Keeper.Of(n.opts.ID); s == nil {
				_, leader := o.raft.LeaderWithID()
				err = fmt.Errorf("%s follows %s in term %d", other.opts.ID, leader, o.raft.CurrentTerm())
			} else if s.Reason != standing.Unelected {
				t.Fatalf("%s has put it out: %v", other.opts.ID, s)
			}
		}
		return err
	})
}

func TestAFollowerThatActsAsMasterWithoutVotesIsLeft(t *testing.T) {
	for what, brings := range map[string]bool{"it brings an entry": true, "it brings nothing": false} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			g := newSwornGroup(t, 3)
			liar := g.addSworn(func(o *Options) {
				o.hooks.raftConfig = func(c *raft.Config) { // its own Raft does not stand for election
					c.HeartbeatTimeout, c.ElectionTimeout = time.Hour, time.Hour
				}
			})
			liar.start()
			g.settle()
			bard := g.swornBard("bard/a")
			bard.post(g)
			g.agree(1)
			honest := g.others(liar)
			usurp(t, liar, honest, brings)
			for _, n := range honest {
				if got := n.countsPutOut(); got != liar.opts.ID+" unelected" {
					t.Errorf("the metric of %s has %q", n.opts.ID, got)
				}
			}
			eventually(t, "one of the others is the master", func() error {
				for _, n := range honest {
					if n.member().Master() {
						return nil
					}
				}
				return errors.New("none is")
			})
			mustPost(t, honest[0], bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"}))
			eventually(t, "it is taken back after another one has sealed", func() error {
				for _, n := range honest {
					if s := n.member().enforcer.Keeper.Of(liar.opts.ID); s != nil {
						return fmt.Errorf("%s: %w", n.opts.ID, s)
					}
				}
				return nil
			})
			g.agree(2)
		})
	}
}

// Masters hand over, and one is killed and started again.
func TestNoMasterThatWasElectedIsLeft(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	bard := g.swornBard("bard/a")
	for round := range 6 {
		master := g.master()
		if round%3 == 2 {
			master.stop()
			master.start()
		} else {
			master.member().HandOver(t.Context())
		}
		bard.post(g)
		g.settle()
		settled := time.Now()
		eventually(t, "all have asked all for their votes", func() error {
			for _, n := range g.nodes {
				n.member().poller.PollNow()
				for _, o := range g.others(n) {
					if last, _ := n.member().poller.Reports.Last(o.member().self); !last.Asked.After(settled) {
						return fmt.Errorf("%s has not asked %s", n.opts.ID, o.opts.ID)
					}
				}
			}
			return nil
		})
		for _, n := range g.nodes {
			if got := n.countsPutOut(); got != "" {
				t.Fatalf("%s has put out %s", n.opts.ID, got)
			}
		}
	}
}
