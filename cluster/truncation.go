package cluster

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// truncation is what Raft asks its log to remove, and what must not go with it. Raft removes
// entries for three reasons: they are the end of the log, and the master has others in their
// place; a snapshot of this member has them; a snapshot of the master takes the place of all.
// None of them may remove an entry that was applied and is in no snapshot.
type truncation struct {
	from, to    uint64
	first, last uint64 // of the log
	applied     uint64 // index of the last entry ever applied here
	// snapshot is the last entry of the newest snapshot, and inLog reports whether the log has
	// that very entry.
	snapshot struct{ index, term uint64 }
	inLog    bool
}

// check returns an error if the removal contradicts what this member has told others.
func (r truncation) check() error {
	applied := min(r.to, r.applied)
	switch {
	case r.from > r.first && r.to < r.last:
		return fmt.Errorf("entries %d to %d are to be removed from the middle of the log, which has %d to %d", r.from, r.to, r.first, r.last)
	case r.from > r.first && applied >= r.from:
		return fmt.Errorf("entries %d to %d are to be removed from the end of the log, but those up to %d are applied", r.from, r.to, applied)
	case r.from <= r.first && applied >= r.from && r.snapshot.index < applied:
		return fmt.Errorf("entries %d to %d are to be removed from the log, but those up to %d are applied and the newest snapshot ends at %d",
			r.from, r.to, applied, r.snapshot.index)
	case r.from <= r.first && r.to >= r.last && r.inLog && r.snapshot.index < r.last:
		return fmt.Errorf("entries %d to %d are to be removed for a snapshot that ends at entry %d, but the log goes on behind that very entry",
			r.from, r.to, r.snapshot.index)
	}
	return nil
}

// monotonicTerms are the numbers of Raft's stable store that never go down: what a member has
// promised with a higher one it must not forget.
var monotonicTerms = map[string]string{termKey: "term", voteTermKey: "term of its last vote"}

// checkStable returns an error if value is lower than what store has under a key that must not
// go down. hashicorp/raft writes them from more than one goroutine (hashicorp/raft#695).
func checkStable(store raft.StableStore, key []byte, value uint64) error {
	what, monotonic := monotonicTerms[string(key)]
	if !monotonic {
		return nil
	}
	before, err := store.GetUint64(key)
	if err != nil || before <= value { // there is none yet, or the write will fail likewise
		return nil
	}
	return fmt.Errorf("raft is to store %d as its %s, but that is %d already", value, what, before)
}
