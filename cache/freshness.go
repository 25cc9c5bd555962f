package cache

import (
	"sort"
	"time"
)

// freshness records, per revision, the latest time at which a state at that revision was
// known to be complete: to have everything that anybody could have been told. A state
// machine may be behind what was pushed to its frontend: for a moment after each push,
// because followers learn late that an entry is committed, and for long while it catches
// up.
type freshness struct {
	leased    time.Duration // the latest end of a lease so far; 0 for none. Until then all was here
	gaps      []gap         // by revision
	forgotten uint64        // nothing is remembered of states before this revision
}

// gap records that a state before revision was complete until completeUntil; 0 for never.
type gap struct {
	revision      uint64
	completeUntil time.Duration
}

// maxGaps bounds what is remembered: about a second under the highest load.
const maxGaps = 4096

// pushed notes that a revision was pushed at now. Nobody could have been told of it
// before.
func (f *freshness) pushed(revision uint64, now time.Duration) {
	if n := len(f.gaps); n > 0 && revision <= f.gaps[n-1].revision {
		return
	}
	if len(f.gaps) == maxGaps {
		half := maxGaps / 2
		f.forgotten = f.gaps[half-1].revision
		f.gaps = append(f.gaps[:0:0], f.gaps[half:]...)
	}
	f.gaps = append(f.gaps, gap{revision, min(now, f.leased)})
}

// completeUntil returns until when a state at revision was complete; 0 if that is not
// known.
func (f *freshness) completeUntil(revision uint64) time.Duration {
	if revision < f.forgotten {
		return 0
	}
	i := sort.Search(len(f.gaps), func(i int) bool { return f.gaps[i].revision > revision })
	if i < len(f.gaps) {
		return f.gaps[i].completeUntil
	}
	return f.leased
}

// Age returns for how long a state of the store at revision may have been incomplete:
// since the last lease of this frontend ended, or since more was pushed than the state
// has. Known is false if the age cannot be determined.
func (f *Frontend) Age(revision uint64) (age time.Duration, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := f.freshness.completeUntil(revision)
	return max(0, f.clock()-until), until != 0
}
