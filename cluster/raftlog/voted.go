package raftlog

import (
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// maxVotes is the number of votes that a member remembers.
const maxVotes = 8

// Votes are the last votes that a member has given.
type Votes struct {
	// From is the first term of which the member knows its vote; 0 if it knows that of none.
	From  uint64 `json:"from"`
	Given []Vote `json:"given,omitzero"` // the oldest first
}

// Vote is a vote of a member, perhaps for itself.
type Vote struct {
	Term      uint64 `json:"term"`
	Candidate string `json:"candidate"` // its peer address
}

// In returns whom the member has given its vote in a term; "" for nobody so far. known is
// false if it does not know.
func (v Votes) In(term uint64) (candidate string, known bool) {
	for _, vote := range v.Given {
		if vote.Term == term {
			return vote.Candidate, true
		}
	}
	return "", v.From > 0 && term >= v.From
}

// voteStore is Raft's stable store, and remembers the last votes. hashicorp/raft v1.8.0 sends
// a vote, or counts its own, after it has stored the term and then the candidate
// (persistVote). So at any time the votes that are sent are among those remembered.
type voteStore struct {
	raft.StableStore

	mu    sync.Mutex
	term  uint64 // of the vote that is being stored
	votes Votes
}

// newVoteStore returns a voteStore that begins with the vote which is stored. It is the last
// one: there is none of a later term, and those of earlier terms are forgotten.
func newVoteStore(s raft.StableStore) (*voteStore, error) {
	term, err := storedNumber(s, voteTermKey)
	if err != nil {
		return nil, fmt.Errorf("read the term of the last vote: %w", err)
	}
	candidate, err := s.Get([]byte(voteCandidateKey))
	if err != nil && err.Error() != raftboltdb.ErrKeyNotFound.Error() {
		return nil, fmt.Errorf("read the last vote: %w", err)
	}
	v := &voteStore{StableStore: s, term: term, votes: Votes{From: max(term, 1)}}
	if len(candidate) > 0 {
		v.votes.Given = []Vote{{term, string(candidate)}}
	}
	return v, nil
}

// SetUint64 stores a term.
func (v *voteStore) SetUint64(k []byte, term uint64) error {
	if err := v.StableStore.SetUint64(k, term); err != nil || string(k) != voteTermKey {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.term = term
	return nil
}

// Set stores the candidate of a vote.
func (v *voteStore) Set(k, candidate []byte) error {
	if err := v.StableStore.Set(k, candidate); err != nil || string(k) != voteCandidateKey || len(candidate) == 0 {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	given := append(v.votes.Given, Vote{v.term, string(candidate)})
	if len(given) > maxVotes {
		given = slices.Clone(given[1:]) // those that were returned stay as they are
		v.votes.From = given[0].Term
	}
	v.votes.Given = given
	return nil
}

// Votes returns the last votes of this member. They must not be changed.
func (s *Store) Votes() Votes {
	s.voted.mu.Lock()
	defer s.voted.mu.Unlock()
	return s.voted.votes
}
