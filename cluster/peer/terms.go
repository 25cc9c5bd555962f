package peer

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// MaxTermStep is how far ahead of its own term a member believes a term. Raft stores each
// higher term that it sees and never goes back, so one message could use up all terms. An
// election takes at least its timeout: to be this far behind, a member must have been
// down during hours of elections without end. See inbound.approach for such members.
const MaxTermStep = 1 << 16

// checkTerm returns an error if term is too far ahead of own to be believed. A member
// without a term believes any. reported reports whether a majority of the voters that
// this member knows say that their term is at least atLeast.
func checkTerm(term, own uint64, reported func(atLeast uint64) bool) error {
	if own == 0 || term <= own || term-own <= MaxTermStep || reported(term-MaxTermStep) {
		return nil
	}
	return fmt.Errorf("term %d is more than %d ahead of this member's term %d, "+
		"and no majority of the voters confirms it", term, MaxTermStep, own)
}

// termOf returns the term of a request of Raft; 0 if it has none.
func termOf(request any) uint64 {
	switch r := request.(type) {
	case *raft.AppendEntriesRequest:
		return r.Term
	case *raft.RequestVoteRequest:
		return r.Term
	case *raft.RequestPreVoteRequest:
		return r.Term
	case *raft.InstallSnapshotRequest:
		return r.Term
	}
	return 0
}

// Voters returns the voters of r's latest configuration.
func Voters(r *raft.Raft) []raft.Server {
	config := r.GetConfiguration()
	if config.Error() != nil {
		return nil
	}
	var voters []raft.Server
	for _, s := range config.Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters = append(voters, s)
		}
	}
	return voters
}
