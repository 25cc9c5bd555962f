package cluster

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// maxTermStep is how far ahead of its own term a member believes another's. Raft stores each
// higher term that it meets and never goes back, so one message could use up all terms. An
// election takes at least electionTimeout: to be this far behind, a member must have slept
// through hours of elections without end. See inbound.approach for members that are.
const maxTermStep = 1 << 16

// checkTerm returns an error if term is so far ahead of own that it cannot be believed. A
// member without a term believes any. Reported reports whether a majority of the voters that
// this member knows say that they are at least in a term.
func checkTerm(term, own uint64, reported func(atLeast uint64) bool) error {
	if own == 0 || term <= own || term-own <= maxTermStep || reported(term-maxTermStep) {
		return nil
	}
	return fmt.Errorf("the term %d is more than %d ahead of this member's, %d, and no majority of the voters confirms it",
		term, maxTermStep, own)
}

// termOf returns the term of a request of Raft's, 0 if it names none.
func termOf(command any) uint64 {
	switch c := command.(type) {
	case *raft.AppendEntriesRequest:
		return c.Term
	case *raft.RequestVoteRequest:
		return c.Term
	case *raft.RequestPreVoteRequest:
		return c.Term
	case *raft.InstallSnapshotRequest:
		return c.Term
	}
	return 0
}

// reported reports whether a majority of the voters of r's configuration last said that their
// term is at least so high. What a voter said long ago does not count.
func (n *neighbours) reported(r *raft.Raft, atLeast uint64) bool {
	voters := votersOf(r)
	agree := 0
	for _, v := range voters {
		if said, fresh := n.last(v.ID); fresh && said.Term >= atLeast {
			agree++
		}
	}
	return agree*2 > len(voters)
}

// votersOf returns the voters of r's latest configuration.
func votersOf(r *raft.Raft) []raft.Server {
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
