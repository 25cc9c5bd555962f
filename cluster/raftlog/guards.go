package raftlog

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// truncation is a range of entries that Raft asks its log to remove. Raft removes entries
// for three reasons: they are the end of the log, and the master has other entries in
// their place; they are in a snapshot of this member; a snapshot of the master replaces
// all of them. In no case may an entry be removed that was applied and is in no snapshot.
type truncation struct {
	from, to    uint64
	first, last uint64 // of the log
	applied     uint64 // index of the last entry ever applied here
	// snapshot is the last entry of the newest snapshot, and inLog reports whether the
	// log has that very entry.
	snapshot struct{ index, term uint64 }
	inLog    bool
}

// check returns an error if the removal contradicts what this member has acknowledged.
func (t truncation) check() error {
	applied := min(t.to, t.applied)
	switch {
	case t.from > t.first && t.to < t.last:
		return fmt.Errorf("entries %d to %d are to be removed from the middle of the log, which has %d to %d",
			t.from, t.to, t.first, t.last)
	case t.from > t.first && applied >= t.from:
		return fmt.Errorf("entries %d to %d are to be removed from the end of the log, but those up to %d are applied",
			t.from, t.to, applied)
	case t.from <= t.first && applied >= t.from && t.snapshot.index < applied:
		return fmt.Errorf("entries %d to %d are to be removed from the log, but those up to %d are applied "+
			"and the newest snapshot ends at %d", t.from, t.to, applied, t.snapshot.index)
	case t.from <= t.first && t.to >= t.last && t.inLog && t.snapshot.index < t.last:
		return fmt.Errorf("entries %d to %d are to be removed for a snapshot that ends at entry %d, "+
			"but the log continues after that very entry", t.from, t.to, t.snapshot.index)
	}
	return nil
}

// The keys under which hashicorp/raft stores its term and its last vote. The candidate is
// empty while a vote is being stored.
const (
	termKey          = "CurrentTerm"
	voteTermKey      = "LastVoteTerm"
	voteCandidateKey = "LastVoteCand"
)

// monotonicTerms are the numbers in Raft's stable store that never go down: a member must
// not forget what it has promised in a higher term.
var monotonicTerms = map[string]string{termKey: "term", voteTermKey: "term of its last vote"}

// checkStable returns an error if value is lower than the stored one, under a key whose
// value must not go down. hashicorp/raft writes these from more than one goroutine
// (hashicorp/raft#695).
func checkStable(store raft.StableStore, key []byte, value uint64) error {
	what, monotonic := monotonicTerms[string(key)]
	if !monotonic {
		return nil
	}
	before, err := store.GetUint64(key)
	if err != nil || before <= value { // nothing is stored yet, or the write will fail likewise
		return nil
	}
	return fmt.Errorf("raft is to store %d as its %s, but that is %d already", value, what, before)
}
