package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cluster/certify"
	"laurel/fsm/database"
	"laurel/trust/access"
	"laurel/witness"
)

// newDigestGroup is newSwornGroup of four whose states are compared every second round.
func newDigestGroup(t *testing.T) *secureGroup {
	t.Helper()
	return newSwornGroup(t, 4, func(o *Options) { o.hooks.digestEvery = 2 })
}

// postUntil posts events, each in a round of its own, until done returns no error.
func (s *bardClient) postUntil(g *secureGroup, what string, done func() error) {
	s.t.Helper()
	eventually(s.t, what, func() error {
		err := done()
		if err != nil {
			round, _ := g.master().member().Certifier().Newest()
			s.post(g)
			expectProof(s.t, g.reader(), g.master(), "bards/bard/a", round+1)
		}
		return err
	})
}

// compared checks that a frontend has compared its state with that of others after a round.
func (n *node) compared(after float64) error {
	if got := n.metric("laurel_compared_round", ""); got <= after {
		return fmt.Errorf("%s has compared states up to round %v", n.opts.ID, got)
	}
	return nil
}

// holdsAgainst checks what a frontend holds against the others: nothing, but of one.
func (n *node) holdsAgainst(g *secureGroup, one *node, reason witness.Fault) error {
	for _, other := range g.others(n) {
		s := n.member().enforcer.Keeper.Of(other.opts.ID)
		switch {
		case other != one && s != nil:
			n.t.Fatalf("%s holds something against an honest one: %v", n.opts.ID, s)
		case other == one && reason == "" && s != nil:
			return s
		case other == one && reason != "" && (s == nil || s.Reason != reason):
			return fmt.Errorf("%s holds this against %s: %v", n.opts.ID, one.opts.ID, s)
		}
	}
	return nil
}

// The record is of the audit trail.
func TestAFrontendWithARecordFlippedThatNoAnswerShowsGoesBack(t *testing.T) {
	t.Parallel()
	g := newDigestGroup(t)
	bard := g.swornBard("bard/a")
	bard.postUntil(g, "all have compared their states", func() error {
		var all []error
		for _, n := range g.nodes {
			all = append(all, n.compared(0))
		}
		return errors.Join(all...)
	})
	n := g.others(g.master())[0]
	n.stop()
	flipRecord(t, n, database.Audit, binary.BigEndian.AppendUint64(nil, 1), `"number":1`, `"number":9`)
	m := n.start()
	g.settle()
	var ended error
	bard.postUntil(g, "it goes back", func() error {
		select {
		case ended = <-m.Ended():
			return nil
		default:
			return errors.New("it goes on")
		}
	})
	if back, ok := errors.AsType[*GoBackError](ended); !ok || back.Index != 0 {
		t.Fatalf("it has ended with %v; want that it keeps nothing", ended)
	}
	n.stop()
	n.start()
	g.settle()
	since := n.metric("laurel_compared_round", "")
	bard.postUntil(g, "it has the state of the others", func() error {
		return n.compared(since)
	})
	for _, other := range g.nodes {
		bard.postUntil(g, "nobody is put out", func() error { return other.holdsAgainst(g, n, "") })
	}
}

// Its digest is not that of its state, and it goes on.
func TestAFrontendWithAnotherDigestIsPutOutUntilItHasTheRightOne(t *testing.T) {
	t.Parallel()
	g := newDigestGroup(t)
	bard := g.swornBard("bard/a")
	master := g.master()
	liar := g.others(master)[0]
	key, err := witness.NewKey(liar.opts.ID, liar.member().witness)
	if err != nil {
		t.Fatal(err)
	}
	liar.stop()
	bard.postUntil(g, "three have compared their states", func() error { return master.compared(0) })
	eventually(t, "it is put out", func() error {
		round := uint64(master.metric("laurel_compared_round", ""))
		_, head, _ := master.member().machine.Rounds().Round(round)
		node, err := witness.NewNode(key, certify.PolicyOf(master.member().Access()), nil)
		if err != nil {
			return err
		}
		d := witness.Digest{Head: head, Format: uint64(database.Version(access.NewestFormat, true)), Sum: witness.Hash{1}}
		var notes []string
		for _, note := range node.Digested(d, time.Now()).Send {
			notes = append(notes, string(note))
		}
		message, err := json.Marshal(notes)
		if err != nil {
			return err
		}
		if err := master.member().Certifier().Deliver(liar.opts.ID, message); err != nil {
			return err
		}
		return master.holdsAgainst(g, liar, witness.Altered)
	})
	liar.start()
	g.settle()
	bard.postUntil(g, "it is taken back", func() error { return master.holdsAgainst(g, liar, "") })
}
