package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"laurel/cluster/peer"
	"laurel/score"
)

// A corrupt voter that could drain the others would become the master by it.
func TestOnlyTheMasterDrainsAFrontend(t *testing.T) {
	t.Parallel()
	g := newSecureGroup(t, 3, steady)
	g.settle()
	master := g.master()
	var others []*node
	for _, n := range g.nodes {
		if n != master {
			others = append(others, n)
		}
	}
	victim, thief := others[0].member(), others[1].member()
	for _, m := range []*Member{victim, master.member()} {
		err := thief.port.Call(t.Context(), m.Peer(), http.MethodPost, drainPath, strings.NewReader(`{"on":true}`), nil)
		if score.CodeOf(err) != score.Forbidden || m.draining.Load() {
			t.Errorf("a voter that is not the master: %v; draining: %t", err, m.draining.Load())
		}
	}
	if err := thief.Drain(t.Context(), victim.ID(), true); score.CodeOf(err) != score.NoMaster {
		t.Errorf("asked at another than the master: %v", err)
	}
	if err := master.member().Drain(t.Context(), victim.ID(), true); err != nil || !victim.draining.Load() {
		t.Errorf("the master: %v; draining: %t", err, victim.draining.Load())
	}
	if err := victim.Ready(t.Context()); score.CodeOf(err) != score.NotReady {
		t.Errorf("a draining frontend is ready: %v", err)
	}
	// A draining frontend is the last to be chosen as the next master.
	eventually(t, "the other one is the successor", func() error {
		list, draining := master.member().transfers.successors(t.Context(), master.member().voters())
		if len(list) != 1 || list[0].ID != thief.self || draining {
			return fmt.Errorf("the successors are %v, draining %t; want %s", list, draining, peer.MemberID(thief.self))
		}
		return nil
	})
	if err := master.member().Transfer(t.Context(), victim.ID()); score.CodeOf(err) != score.StatusConflict {
		t.Errorf("a draining frontend is to be the master: %v", err)
	}
	if err := master.member().Drain(t.Context(), victim.ID(), false); err != nil || victim.draining.Load() {
		t.Errorf("undone by the master: %v; draining: %t", err, victim.draining.Load())
	}
}

func TestTheLastFrontendThatServesIsNotDrained(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, steady)
	master := g.master().member()
	others := g.others(g.master())
	others[0].stop()
	last := others[1].member()
	serves := func() error {
		if s, fresh := master.poller.Reports.Last(last.self); !fresh || s.State != score.Serving {
			return errors.New("it does not")
		}
		return nil
	}
	for range 5 { // at once, before the master can have heard that the first one drains
		eventually(t, last.ID()+" serves", serves)
		if err := master.Drain(t.Context(), last.ID(), true); err != nil {
			t.Fatal(err)
		}
		refused(t, master.Drain(t.Context(), master.ID(), true), score.StatusConflict)
		if master.draining.Load() {
			t.Fatal("nobody serves")
		}
		if err := master.Drain(t.Context(), last.ID(), false); err != nil {
			t.Fatal(err)
		}
	}
}
