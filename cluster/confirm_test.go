package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"laurel/cluster/batch"
	"laurel/cluster/metrics"
	"laurel/score"
)

// deceiver says of the posts of bard/a that they are applied while it lies, and drops them.
type deceiver struct {
	lies atomic.Bool
	at   atomic.Uint64 // the revision at which it says so
}

func (d *deceiver) send(posts []*batch.Post, honestly func([]*batch.Post)) {
	var others []*batch.Post
	for _, p := range posts {
		if !d.lies.Load() || !bytes.Contains(p.Bytes(), []byte("bard/a")) {
			others = append(others, p)
			continue
		}
		p.Done <- batch.Outcome{Results: []score.Result{
			{ID: "bard/a-2", Seq: 2, Revision: d.at.Load(), Status: score.Applied},
		}}
	}
	if len(others) > 0 {
		honestly(others)
	}
}

// refusedOutcomes returns how many outcomes a node did not pass on.
func (n *node) refusedOutcomes(reason string) float64 {
	n.t.Helper()
	return metric(n.t, n, "laurel_outcomes_refused_total", reason)
}

func TestAMasterThatSaysThatADroppedEventIsAppliedIsNotBelievedAndLeft(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 1)
	d := new(deceiver)
	g.addSworn(func(o *Options) { o.hooks.send = d.send }).start()
	for range 2 {
		g.addSworn().start()
	}
	g.settle()
	liar := g.nodes[1]
	eventually(t, "the deceiver is the master", func() error {
		if liar.member().Master() {
			return nil
		}
		return errors.Join(errors.New("it is not"), g.master().member().Transfer(t.Context(), liar.opts.ID))
	})
	bard, other := g.swornBard("bard/a"), g.swornBard("bard/b")
	bard.post(g)
	other.post(g)
	g.agree(2)
	honest := g.others(liar)
	dropped := bard.signedPost(score.TypeAlert, &score.Alert{Text: "rain"})
	d.at.Store(3)
	d.lies.Store(true)
	g.makeMaster(liar) // again, if a busy machine has lost it
	// The state of nobody has got to revision 3, and it may yet have the event there.
	_, err := honest[0].member().Post(t.Context(), dropped)
	if score.CodeOf(err) != score.OutcomeUnknown || honest[0].refusedOutcomes(metrics.Late) != 1 {
		t.Errorf("a dropped event was answered with %v", err)
	}
	other.post(g)
	g.makeMaster(liar) // those answers took seconds
	contradicted := 0
	for _, n := range honest {
		results, err := n.member().Post(t.Context(), dropped)
		switch {
		case score.CodeOf(err) == score.OutcomeUnknown && n.refusedOutcomes(metrics.Contradicted) == 1:
			contradicted++
		case err == nil && contradicted > 0 && results[0].Revision > d.at.Load():
			// Those before have left the liar, and have elected another one.
		default:
			t.Errorf("%s has answered a dropped event with %+v, %v", n.opts.ID, results, err)
		}
	}
	eventually(t, "another one is the master", func() error {
		for _, n := range honest {
			if n.member().Master() {
				return nil
			}
		}
		return errors.New("none is")
	})
	mustPost(t, honest[0], dropped)
	g.agree(4)
	for _, n := range honest {
		eventually(t, n.opts.ID+" takes it back", func() error {
			for _, f := range n.member().Frontends().Frontends {
				if f.PutOut != nil {
					return fmt.Errorf("%s is put out: %+v", f.ID, f.PutOut)
				}
			}
			return nil
		})
	}
}

// A frontend that takes a post answers only when its own state has the same outcome.
func TestEveryOutcomeOfAnHonestMasterIsConfirmed(t *testing.T) {
	t.Parallel()
	g := newSwornGroup(t, 4)
	bard := g.swornBard("bard/a")
	for i := range 24 {
		n := g.nodes[i%len(g.nodes)]
		if i%8 == 7 {
			_ = g.master().member().Transfer(context.Background(), n.opts.ID) // the next posts find it
		}
		post := bard.signedPost(score.TypeAlert, &score.Alert{Text: fmt.Sprint("rain ", i)})
		for _, again := range []bool{false, true} {
			results := mustPost(t, n, post)
			if len(results) != 1 || results[0].Revision != bard.seq || again && results[0].Status != score.Duplicate {
				t.Fatalf("post %d at %s: %+v", i, n.opts.ID, results)
			}
			if has := n.member().machine.Revision(); has < bard.seq {
				t.Fatalf("%s has answered with revision %d, and it has %d", n.opts.ID, bard.seq, has)
			}
		}
		late := *bard
		late.seq++
		gap := late.signedPost(score.TypeAlert, &score.Alert{Text: "sun"})
		eventually(t, "a post with a gap is refused", func() error {
			results, err := n.member().Post(t.Context(), gap)
			if err == nil && (len(results) != 1 || results[0].Problem == nil || results[0].Problem.Code != score.SeqGap) {
				t.Fatalf("post %d at %s with a gap: %+v", i, n.opts.ID, results)
			}
			return err
		})
	}
	for _, n := range g.nodes {
		// On a busy machine its state may be late for an outcome. The bard has posted again then.
		if denied := n.refusedOutcomes(metrics.Contradicted); denied > 0 {
			t.Errorf("%s has contradicted %v outcomes", n.opts.ID, denied)
		}
		if got := n.countsPutOut(); got != "" {
			t.Errorf("%s has put out %s", n.opts.ID, got)
		}
	}
}
