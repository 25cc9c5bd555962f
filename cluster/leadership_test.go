package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

// steps is a Raft whose state changes with each call.
type steps []step

type step struct {
	term  uint64
	state raft.RaftState
}

func (s *steps) next() step {
	now := (*s)[0]
	if len(*s) > 1 {
		*s = (*s)[1:]
	}
	return now
}

func (s *steps) CurrentTerm() uint64   { return s.next().term }
func (s *steps) State() raft.RaftState { return s.next().state }

func TestLeadershipIsOfTheEpochInWhichRaftLeads(t *testing.T) {
	for _, c := range []struct {
		what string
		raft steps
		want uint64
	}{
		{"a follower", steps{{4, raft.Follower}}, 0},
		{"a leader", steps{{4, raft.Leader}}, 4},
		{"a follower that is elected between two looks", steps{{4, raft.Follower}, {5, raft.Leader}}, 5},
		{
			"a leader that another one follows between two looks",
			steps{{4, raft.Leader}, {4, raft.Leader}, {5, raft.Follower}}, 0,
		},
		{"a leader that is elected again", steps{{4, raft.Leader}, {4, raft.Leader}, {6, raft.Leader}}, 6},
	} {
		if got := ledEpoch(&c.raft); got != c.want {
			t.Errorf("%s: it leads in epoch %d; want %d", c.what, got, c.want)
		}
	}
}
