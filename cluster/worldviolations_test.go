package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// The checker must find each violation that it is for. Nothing in the program causes one,
// so the test does, in a world without faults.
func TestCheckerFindsEachViolation(t *testing.T) {
	for _, one := range []struct {
		name, want string
		tamper     func(s *script, master, other *worldMember)
	}{
		{"nothing", "", func(*script, *worldMember, *worldMember) {}},
		{"two leaders", "are leaders of term", func(s *script, master, other *worldMember) {
			s.checker.mu.Lock()
			defer s.checker.mu.Unlock()
			s.checker.leaders[master.raft.CurrentTerm()] = other.node.id
			s.checker.members[master].leads = 0
		}},
		{"two votes", "votes in term 9 for", func(s *script, _, other *worldMember) {
			store := &crashableStore{InmemStore: other.node.log, member: other, rand: s.rand}
			store.SetUint64([]byte(voteTermKey), 9)
			store.Set([]byte(voteCandidateKey), []byte("f1"))
			store.Set([]byte(voteCandidateKey), []byte("f2"))
		}},
		{"a term that goes back", "goes back", func(s *script, _, other *worldMember) {
			store := &crashableStore{InmemStore: other.node.log, member: other, rand: s.rand}
			store.SetUint64([]byte(termKey), 1)
		}},
		{"another entry", "stores another entry 1000", func(s *script, master, other *worldMember) {
			s.checker.stored(master.node, []*raft.Log{{Index: 1000, Term: 7, Data: []byte("a")}})
			s.checker.stored(other.node, []*raft.Log{{Index: 1000, Term: 7, Data: []byte("b")}})
		}},
		{"another entry before it", "before entry 1001", func(s *script, master, other *worldMember) {
			s.checker.stored(master.node, []*raft.Log{{Index: 1000, Term: 6}, {Index: 1001, Term: 7}})
			s.checker.stored(other.node, []*raft.Log{{Index: 1000, Term: 5}, {Index: 1001, Term: 7}})
		}},
		{"another entry applied", "has applied entry", func(s *script, _, other *worldMember) {
			s.checker.mu.Lock()
			defer s.checker.mu.Unlock()
			was := s.checker.applied[s.checker.highest]
			was.digest++
			s.checker.applied[s.checker.highest] = was
			s.checker.members[other].applied = s.checker.highest - 1
		}},
		{"an applied entry taken back", "has now applied up to", func(s *script, _, other *worldMember) {
			s.checker.mu.Lock()
			defer s.checker.mu.Unlock()
			s.checker.members[other].applied = 1 << 20
		}},
		{"an applied entry removed", "from the end of its log", func(s *script, _, other *worldMember) {
			s.checker.shortened(other, other.machine.Applied(), other.machine.Applied())
		}},
		{"a leader that lacks an entry", "lacks entry", func(s *script, master, other *worldMember) {
			s.checker.mu.Lock()
			defer s.checker.mu.Unlock()
			s.checker.highest += 100
			s.checker.applied[s.checker.highest] = appliedEntry{term: 1, known: 1, by: "f9"}
		}},
		{"a leader that has another entry", "has another entry", func(s *script, master, _ *worldMember) {
			s.checker.mu.Lock()
			defer s.checker.mu.Unlock()
			was := s.checker.applied[s.checker.highest]
			was.digest++
			was.known = 0
			s.checker.applied[s.checker.highest] = was
			s.checker.members[master].complete = 0
		}},
		{"a lost event", "was acked as revision", func(s *script, _, _ *worldMember) {
			s.acks[2] = "bard/nobody-1"
		}},
		{"a lost revision", "and the members agree on", func(s *script, _, _ *worldMember) {
			s.history.learn(1 << 30)
		}},
		{"different states", "have different states", func(s *script, _, other *worldMember) {
			if _, err := other.machine.Apply(nil, other.machine.Applied()+1000); err != nil {
				s.problemf("%v", err)
			}
		}},
		{"no leader", "has had no leader for", func(s *script, _, _ *worldMember) {
			s.net.wire.observe(func(c *worldConn, _ byte, _ []byte) { c.far.in.hold() })
			for _, p := range s.net.wire.openPipes() { // the rounds of the push protocol, too
				p.hold()
			}
			time.Sleep(2 * time.Second)
		}},
	} {
		t.Run(one.name, func(t *testing.T) {
			w := runWorld(t, 0, worldPlan{small: true, maxLeaderless: time.Second, script: func(w *world) {
				s := &script{world: w, acks: map[uint64]string{}}
				if !s.post(5) || !s.mustAgree() {
					return
				}
				time.Sleep(100 * time.Millisecond)
				m := s.master()
				one.tamper(s, m, s.others(m.node)[0].now.Load())
				time.Sleep(10 * time.Millisecond)
				s.settle()
			}})
			got := w.failure()
			if one.want == "" && got != "" || !strings.Contains(got, one.want) {
				t.Errorf("found %q; want %q", got, one.want)
			}
		})
	}
}
