package cache

import (
	"sort"
	"time"
)

// past tells until when a state of the store had everything that anybody could have been told. A state machine may be far behind what is pushed to
// its frontend: just after a push, because followers learn late that an entry is committed, and for long while it catches up.
type past struct {
	known     time.Duration // the latest end of a lease so far: until then this frontend had everything; 0 for none
	lacks     []lack        // by revision
	forgotten uint64        // of states before this revision nothing is remembered
}

// lack says that a state before a revision had everything until then; 0 for never.
type lack struct {
	revision uint64
	until    time.Duration
}

// maxLacks bounds what is remembered: about a second under the highest load.
const maxLacks = 4096

// pushed notes that a revision has come, before which nobody could have been told of it.
func (p *past) pushed(revision uint64, now time.Duration) {
	if n := len(p.lacks); n > 0 && revision <= p.lacks[n-1].revision {
		return
	}
	if len(p.lacks) == maxLacks {
		half := maxLacks / 2
		p.forgotten = p.lacks[half-1].revision
		p.lacks = append(p.lacks[:0:0], p.lacks[half:]...)
	}
	p.lacks = append(p.lacks, lack{revision, min(now, p.known)})
}

// had is until when a state had everything; 0 for unknown.
func (p *past) had(revision uint64) time.Duration {
	if revision < p.forgotten {
		return 0
	}
	if i := sort.Search(len(p.lacks), func(i int) bool { return p.lacks[i].revision > revision }); i < len(p.lacks) {
		return p.lacks[i].until
	}
	return p.known
}

// Age is for how long a state of the store at a revision has not been sure to have everything that anybody was told: since the end of this frontend's
// last lease, or since more was pushed than the state has. Known is false if that cannot be told.
func (f *Frontend) Age(revision uint64) (age time.Duration, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := f.past.had(revision)
	return max(0, f.clock()-until), until != 0
}
