package status

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// LeaderWatch knows the master and announces changes. Raft reports more than those: a
// member that loses the master becomes candidate and follower again before it knows
// another. Waiters wake only for another master, or for one that begins to serve.
type LeaderWatch struct {
	raft *raft.Raft

	mu      sync.Mutex
	master  raft.ServerAddress
	changed chan struct{}
}

// NewLeaderWatch returns a watch of r.
func NewLeaderWatch(r *raft.Raft) *LeaderWatch {
	w := &LeaderWatch{raft: r, changed: make(chan struct{})}
	// The filter is all of the observer: Raft calls it with each observation.
	r.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		if _, ok := o.Data.(raft.LeaderObservation); ok {
			w.Current()
		}
		return false
	}))
	return w
}

// Current returns the master's peer address, "" if there is none, and a channel that is
// closed when that changes.
func (w *LeaderWatch) Current() (master string, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if addr, _ := w.raft.LeaderWithID(); addr != w.master {
		w.master = addr
		w.wake()
	}
	return string(w.master), w.changed
}

// Other returns the peer address of the master if that is another member than the one at
// own; else "".
func (w *LeaderWatch) Other(own string) string {
	master, _ := w.Current()
	if master == own {
		return ""
	}
	return master
}

// Try calls try until it is done. It waits for another master, or for a random time up to
// maxPause, before it calls try again: requests that lost their master do not come to the
// next one all at once. try gets the address of the master, which is "" if there is none
// and may be this member's, and a channel that is closed when the master changes. The
// error is that of ctx.
func (w *LeaderWatch) Try(
	ctx context.Context, maxPause time.Duration, try func(master string, changed <-chan struct{}) (done bool),
) error {
	for {
		master, changed := w.Current()
		if try(master, changed) {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(rand.N(maxPause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Notify wakes all waiters, because the master is ready now.
func (w *LeaderWatch) Notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake()
}

// wake wakes all waiters. w.mu must be held.
func (w *LeaderWatch) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}
