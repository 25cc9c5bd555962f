package cluster

import (
	"sync"

	"github.com/hashicorp/raft"

	"laurel/score"
)

// leadership is the time of this member as master in one epoch.
type leadership struct {
	epoch uint64
	mu    sync.Mutex
	// members is the last configuration known to be committed in this epoch.
	members raft.Configuration
}

func (l *leadership) setMembers(c raft.Configuration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.members = c
}

func (l *leadership) hasMember(id raft.ServerID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.members.Servers {
		if s.ID == id {
			return true
		}
	}
	return false
}

// leadAsElected begins a leadership when Raft elects this member and ends it when Raft says so. It never blocks Raft, whose main loop
// waits for the channel to be read.
func (m *Member) leadAsElected(elected <-chan bool) {
	for {
		select {
		case <-m.ctx.Done():
			return
		case leads := <-elected:
			m.lead.Store(nil)
			if leads {
				m.run(m.takeOver)
			}
		}
	}
}

// takeOver makes the leadership complete: a barrier through the log applies everything that earlier masters committed.
func (m *Member) takeOver() {
	epoch := m.raft.CurrentTerm()
	if err := m.raft.Barrier(0).Error(); err != nil {
		m.log.Warn("elected, but leadership was lost before it began", "epoch", epoch, "error", err)
		return
	}
	config := m.raft.GetConfiguration()
	if config.Error() != nil || m.raft.CurrentTerm() != epoch || m.raft.State() != raft.Leader {
		return
	}
	m.lead.Store(&leadership{epoch: epoch, members: config.Configuration()})
	m.log.Info("this frontend is the master", "epoch", epoch, "revision", m.machine.Revision())
}

// leads is the present leadership; nil if this member is not the master, or not yet.
func (m *Member) leads() *leadership {
	l := m.lead.Load()
	if l == nil || m.raft.State() != raft.Leader || m.raft.CurrentTerm() != l.epoch {
		return nil
	}
	return l
}

// Master tells whether this member believes to be the master. Only Read proves it.
func (m *Member) Master() bool { return m.leads() != nil }

func noMaster() *score.Problem {
	return score.Problemf(score.NoMaster, "the group has no master that this frontend can reach; ask again in a second, or another frontend")
}

func notMaster() *score.Problem {
	return score.Problemf(score.NoMaster, "this frontend is not the master any more; ask again")
}

// masterWatch knows who Raft says is the master, and tells when that changes.
type masterWatch struct {
	raft     *raft.Raft
	observer *raft.Observer
	heard    chan raft.Observation
	done     chan struct{}
	mu       sync.Mutex
	change   chan struct{}
}

func watchMaster(r *raft.Raft) *masterWatch {
	w := &masterWatch{raft: r, heard: make(chan raft.Observation, 16), done: make(chan struct{}), change: make(chan struct{})}
	w.observer = raft.NewObserver(w.heard, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	r.RegisterObserver(w.observer)
	go w.run()
	return w
}

func (w *masterWatch) run() {
	for {
		select {
		case <-w.done:
			return
		case <-w.heard:
			w.mu.Lock()
			close(w.change)
			w.change = make(chan struct{})
			w.mu.Unlock()
		}
	}
}

// changed is closed at the next change of the master.
func (w *masterWatch) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.change
}

// now is the master's peer address, "" if there is none, and a channel that is closed when it changes.
func (w *masterWatch) now() (string, <-chan struct{}) {
	changed := w.changed()
	addr, _ := w.raft.LeaderWithID()
	return string(addr), changed
}

func (w *masterWatch) close() {
	w.raft.DeregisterObserver(w.observer)
	close(w.done)
}
