package cluster

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"

	"laurel/score"
	"laurel/trust/access"
)

// newBard returns a bard whose key the operator has signed in, and that has posted once.
func (g *secureGroup) newBard(source string) *bardClient {
	g.t.Helper()
	bard := &bardClient{t: g.t, private: newWitness(g.t), lineage: g.master().member().Lineage(), source: source}
	key := bard.private.Public().(ed25519.PublicKey)
	g.mustSign(access.Change{Grant: &access.Grant{ID: score.KeyID(key), Name: source, Role: access.RoleBard, Public: key}})
	bard.post(g)
	return bard
}

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
			bard := g.newBard("bard/a")
			n := g.others(g.master())[0]
			index := uint64(0)
			if keep {
				index = n.member().machine.Applied()
			}
			bard.post(g)
			g.agree(bard.seq)
			n.goesBack(index, true)
			g.agree(bard.seq)
			g.settle()
			bard.post(g)
			g.agree(bard.seq)
			if r := n.member().storage.Return(); r.Pending || r.Index != index {
				t.Errorf("it has gone back like this: %+v", r)
			}
			if err := n.member().source.Gate.Check(); (err == nil) != keep {
				t.Errorf("it takes no part in elections: %v", err)
			}
		})
	}
}

// What one of them held is known to those that have not gone back yet: none may wait for it.
func TestFrontendsThatGoBackTogetherElectAMaster(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	bard := g.newBard("bard/a")
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
