package raftlog

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// Bootstrap makes the member the only one of a new group: it stores term 1 and the first
// entry, as raft.BootstrapCluster does. Unlike that function, it can be repeated after a
// crash between the two.
func (s *Store) Bootstrap(first raft.Configuration) error {
	if err := s.watchdog.SetUint64([]byte(termKey), 1); err != nil {
		return fmt.Errorf("store the first term: %w", err)
	}
	entry := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(first)}
	if err := s.log.StoreLog(entry); err != nil {
		return fmt.Errorf("store the first entry: %w", err)
	}
	return nil
}

// bootstrapInterrupted reports whether the directory is as an interrupted bootstrap
// leaves it: no entry, no snapshot, no vote, and a term of at most 1. A member that was
// in a group has voted or has an entry.
func (s *Store) bootstrapInterrupted() (bool, error) {
	last, err := s.log.LastIndex()
	if err != nil {
		return false, err
	}
	list, err := s.snapshots.List()
	if err != nil {
		return false, err
	}
	term, err := storedNumber(s.votes, termKey)
	if err != nil {
		return false, err
	}
	vote, err := storedNumber(s.votes, voteTermKey)
	return last == 0 && len(list) == 0 && term <= 1 && vote == 0 && !s.identity.Joined, err
}
