package cluster

import (
	"testing"
	"time"
)

// replacements plays scripts in which the master is lost, and checks that another member
// serves as the master within a time, which is virtual, in all but some of them: Raft's
// timers are random, and two candidates of the same moment can split the votes.
func replacements(t *testing.T, times, but int, within time.Duration, lose func(*script, *worldMember)) {
	t.Helper()
	var late []time.Duration
	for range times {
		runScript(t, nil, func(s *script) {
			if !s.post(3) || !s.until("there is a master", func() bool { return s.master() != nil }) {
				return
			}
			m := s.master()
			others := s.others(m.node)
			time.Sleep(time.Second)
			lost := time.Now()
			lose(s, m)
			s.until("another member serves", func() bool {
				for _, o := range others {
					if other := o.now.Load(); other != nil && other.Master() {
						return true
					}
				}
				return false
			})
			if took := time.Since(lost); took > within {
				late = append(late, took)
			}
			for _, o := range others {
				s.healBoth(m.node.id, o.id)
			}
		})
	}
	if len(late) > but {
		t.Errorf("%d of %d times it took longer than %v: %v", len(late), times, within, late)
	}
}

// A process that is killed closes its connections.
func TestMasterThatIsKilledIsReplacedOnceItsLeasesAreOver(t *testing.T) {
	replacements(t, 30, 3, 275*time.Millisecond, func(s *script, m *worldMember) { s.crash(m.node, false) })
}

// The others hear nothing of the master, and nobody tells them why. If both had to wait for
// their timers, half of the scripts would take longer.
func TestMasterThatIsCutOffIsReplacedAfterTheFirstTimerOfTheOthers(t *testing.T) {
	replacements(t, 60, 20, 370*time.Millisecond, func(s *script, m *worldMember) {
		for _, o := range s.others(m.node) {
			s.cutBoth(m.node.id, o.id)
		}
	})
}
