package status

import (
	"sync"

	"github.com/hashicorp/raft"
)

// LeaderWatch knows the master and announces changes. Raft reports more than those: a
// member that loses the master becomes candidate and follower again before it knows
// another. Waiters wake only for another master, or for one that begins to serve.
type LeaderWatch struct {
	raft         *raft.Raft
	observer     *raft.Observer
	observations chan raft.Observation
	closed       chan struct{}

	mu      sync.Mutex
	master  raft.ServerAddress
	changed chan struct{}
}

// NewLeaderWatch returns a watch of r. Close must be called.
func NewLeaderWatch(r *raft.Raft) *LeaderWatch {
	w := &LeaderWatch{
		raft: r, observations: make(chan raft.Observation, 16),
		closed: make(chan struct{}), changed: make(chan struct{}),
	}
	w.observer = raft.NewObserver(w.observations, false, func(o *raft.Observation) bool {
		_, leader := o.Data.(raft.LeaderObservation)
		return leader
	})
	r.RegisterObserver(w.observer)
	go w.run()
	return w
}

func (w *LeaderWatch) run() {
	for {
		select {
		case <-w.closed:
			return
		case <-w.observations:
			w.Current()
		}
	}
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

// Close stops the watch.
func (w *LeaderWatch) Close() {
	w.raft.DeregisterObserver(w.observer)
	close(w.closed)
}
