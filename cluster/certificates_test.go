package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"laurel/score"
	"laurel/witness"
)

// reader returns a reader of the group's certificates.
func (g *secureGroup) reader() *witness.Reader {
	g.t.Helper()
	state := g.master().member().Access()
	p := &witness.Policy{
		Store: state.Settings.Lineage, Version: 1, Until: time.Now().Add(time.Hour),
		Quorum: witness.LeastQuorum(len(state.Roster)),
	}
	for _, e := range state.Roster {
		p.Frontends = append(p.Frontends, witness.Frontend{Name: e.Name, Public: e.Key})
	}
	return &witness.Reader{Policy: p}
}

// expectProof waits until a reader has verified the answer of a node to a key, with a round
// from least on, and returns the round.
func expectProof(t *testing.T, r *witness.Reader, n *node, key string, least uint64) (round *witness.Round) {
	t.Helper()
	eventually(t, n.opts.ID+" proves "+key, func() error {
		body, proof, err := n.member().Certifier().Prove(t.Context(), key)
		if err != nil {
			return err
		}
		one := witness.Reader{Policy: r.Policy} // without memory: the nodes are not at one round
		if round, _, err = one.Verify(key, body, proof, time.Now()); err != nil {
			return err
		}
		if round.Number < least {
			return fmt.Errorf("it proves round %d", round.Number)
		}
		return nil
	})
	return round
}

func TestASwornGroupCertifiesItsAnswersAndGoesOnWithoutAFrontend(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	r := g.reader()
	first := uint64(0)
	for _, n := range g.nodes {
		first = max(first, expectProof(t, r, n, "roster", 1).Number)
	}
	bard := g.swornBard("bard/cacofonix")
	mustPost(t, g.master(), bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"}))
	for _, n := range g.nodes {
		if round := expectProof(t, r, n, "bards/bard/cacofonix", first+1); round.Revision == 0 {
			t.Errorf("%s: the round is of revision 0", n.opts.ID)
		}
	}
	for range 2 {
		master := g.master()
		number, _ := master.member().Certifier().Newest()
		master.stop()
		mustPost(t, g.master(), bard.signedPost(score.TypeAlert, &score.Alert{Text: "more rain"}))
		for _, n := range g.running() {
			expectProof(t, r, n, "bards/bard/cacofonix", number+1)
		}
		master.start()
		g.settle()
		expectProof(t, r, master, "roster", number+1)
	}
	for _, n := range g.nodes {
		for _, v := range n.member().Certifier().Verdicts() {
			if v.Fault != witness.Silent {
				t.Errorf("%s has found %v", n.opts.ID, v)
			}
		}
	}
}

func TestCertificatesAreRenewedWhileNothingChanges(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	r := g.reader()
	for _, n := range g.nodes {
		expectProof(t, r, n, "roster", 1)
	}
	round, at := g.master().member().Certifier().Newest()
	eventually(t, "certificates are renewed", func() error {
		now, renewed := g.master().member().Certifier().Newest()
		if now != round {
			round, at = now, renewed
		}
		if renewed.Sub(at) < 3*time.Second {
			return errors.New("not yet")
		}
		return nil
	})
}
