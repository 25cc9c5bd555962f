package cache

import (
	"sort"
	"time"
)

// freshness tells until when a state of the store had everything that anybody could have been told. A state machine may be far behind what is pushed to
// its frontend: just after a push, because followers learn late that an entry is committed, and for long while it catches up.
type freshness struct {
	leased     time.Duration // the latest end of a lease so far: until then this frontend had everything; 0 for none
	gaps     []gap        // by revision
	forgotten uint64        // of states before this revision nothing is remembered
}

// lack says that a state before a revision had everything until then; 0 for never.
type gap struct {
	revision uint64
	completeUntil    time.Duration
}

// maxLacks bounds what is remembered: about a second under the highest load.
const maxGaps = 4096

// pushed notes that a revision has come, before which nobody could have been told of it.
func (p *freshness) pushed(revision uint64, now time.Duration) {
	if n := len(p.gaps); n > 0 && revision <= p.gaps[n-1].revision {
		return
	}
	if len(p.gaps) == maxGaps {
		half := maxGaps / 2
		p.forgotten = p.gaps[half-1].revision
		p.gaps = append(p.gaps[:0:0], p.gaps[half:]...)
	}
	p.gaps = append(p.gaps, gap{revision, min(now, p.leased)})
}

// had is until when a state had everything; 0 for unknown.
func (p *freshness) completeUntil(revision uint64) time.Duration {
	if revision < p.forgotten {
		return 0
	}
	if i := sort.Search(len(p.gaps), func(i int) bool { return p.gaps[i].revision > revision }); i < len(p.gaps) {
		return p.gaps[i].completeUntil
	}
	return p.leased
}

// Age is for how long a state of the store at a revision has not been sure to have everything that anybody was told: since the end of this frontend's
// last lease, or since more was pushed than the state has. Known is false if that cannot be told.
func (f *Frontend) Age(revision uint64) (age time.Duration, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := f.freshness.completeUntil(revision)
	return max(0, f.clock()-until), until != 0
}
