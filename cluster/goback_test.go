package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"

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
	g := newSwornGroup(t, 4)
	bard := g.swornBard("bard/a")
	bard.post(g)
	liar := g.master()
	index := liar.member().machine.Applied()
	g.agree(bard.seq)
	honest := g.others(liar)
	before := bard.seq
	for range 3 {
		bard.post(g)
	}
	g.agree(bard.seq)
	liar.stop()
	for _, n := range honest {
		n.goesBack(index, false)
	}
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
