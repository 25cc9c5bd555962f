package cluster

import (
	"sync/atomic"
	"testing"
	"time"
)

// The master and the follower that has everything drain, so the only successor is a member
// that receives a long snapshot. A second attempt at it would wedge Raft, and the master would
// end.
func TestADrainingMasterServesWhileItsSuccessorIsBehind(t *testing.T) {
	runScript(t, fewEntries, func(s *script) {
		var begun atomic.Pointer[worldConn]
		late, ok := s.startLaggard(60, 40, func(c *worldConn) {
			if begun.CompareAndSwap(nil, c) {
				s.net.setRate(c.link, 20e3)
			}
		})
		if !ok || !s.until("a part of a snapshot has arrived", func() bool {
			c := begun.Load()
			return c != nil && c.far.in.partlyReceived()
		}) {
			return
		}
		snapshot := begun.Load().far.in
		master := s.master()
		for _, n := range s.list() {
			if n != late {
				n.now.Load().SetDraining(true)
			}
		}
		posts := 0
		for snapshot.partlyReceived() && s.problems.tail(1) == "" {
			began := time.Now()
			if !s.post(1) {
				return
			}
			if took := time.Since(began); took > seekTimeout {
				s.problemf("BROKEN: a post took %v", took)
			}
			posts++
			time.Sleep(100 * time.Millisecond)
		}
		s.log.addf("script: %d posts while the snapshot was on its way", posts)
		if posts < 20 {
			s.problemf("only %d posts were made while the snapshot was on its way", posts)
		}
		if s.master() != master {
			s.problemf("BROKEN: there is another master than %s", master.node.id)
		}
		s.net.setRate(begun.Load().link, 0)
		s.until("the one that does not drain is the master", func() bool {
			m := s.master()
			return m != nil && m.node == late
		})
	})
}
