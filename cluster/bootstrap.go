package cluster

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// bootstrap makes the directory that of the only member of a new group: it stores term 1 and the
// first entry, as raft.BootstrapCluster does. That function refuses a directory in which an
// earlier call of it was cut short between the two.
func (s *storage) bootstrap(first raft.Configuration) error {
	if err := s.stable.SetUint64([]byte(termKey), 1); err != nil {
		return fmt.Errorf("store the first term: %w", err)
	}
	entry := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(first)}
	if err := s.history.StoreLog(entry); err != nil {
		return fmt.Errorf("store the first entry: %w", err)
	}
	return nil
}

// bootstrapWasCut reports whether the directory is as an interrupted bootstrap leaves it: no
// entry, no snapshot, no vote, and a term of at most 1. A member that was in a group has voted or
// has an entry.
func (s *storage) bootstrapWasCut() (bool, error) {
	last, err := s.history.LastIndex()
	if err != nil {
		return false, err
	}
	snapshots, err := s.snapshots.List()
	if err != nil {
		return false, err
	}
	term, err := stored(s.votes, termKey)
	if err != nil {
		return false, err
	}
	vote, err := stored(s.votes, voteTermKey)
	return last == 0 && len(snapshots) == 0 && term <= 1 && vote == 0 && !s.Joined, err
}
