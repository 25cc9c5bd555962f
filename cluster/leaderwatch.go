package cluster

import (
	"sync"

	"github.com/hashicorp/raft"
)

// leaderWatch knows the master and announces changes. Raft reports more than those: a member that
// loses the master becomes candidate and follower again before it knows another. Waiters wake only
// for another master, or for one that begins to serve.
type leaderWatch struct {
	raft         *raft.Raft
	observer     *raft.Observer
	observations chan raft.Observation
	closed       chan struct{}

	mu      sync.Mutex
	master  raft.ServerAddress
	changed chan struct{}
}

func newLeaderWatch(r *raft.Raft) *leaderWatch {
	w := &leaderWatch{
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

func (w *leaderWatch) run() {
	for {
		select {
		case <-w.closed:
			return
		case <-w.observations:
			w.current()
		}
	}
}

// current returns the master's peer address, "" if there is none, and a channel that is closed when
// that changes.
func (w *leaderWatch) current() (master string, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if addr, _ := w.raft.LeaderWithID(); addr != w.master {
		w.master = addr
		w.wake()
	}
	return string(w.master), w.changed
}

// notify wakes all waiters, because the master is ready now.
func (w *leaderWatch) notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake()
}

// wake wakes all waiters. w.mu must be held.
func (w *leaderWatch) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *leaderWatch) close() {
	w.raft.DeregisterObserver(w.observer)
	close(w.closed)
}
