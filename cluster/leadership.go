package cluster

import (
	"context"
	"sync"
	"time"

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

func (l *leadership) member(id raft.ServerID) (raft.Server, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.members.Servers {
		if s.ID == id {
			return s, true
		}
	}
	return raft.Server{}, false
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
	for m.ctx.Err() == nil && m.raft.State() == raft.Leader && m.raft.CurrentTerm() == epoch {
		err := m.await(m.ctx, m.raft.Barrier(0))
		if err == nil {
			m.beginToLead(epoch)
			return
		}
		m.log.Info("the leadership cannot begin yet", "epoch", epoch, "error", err)
		select {
		case <-m.ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

func (m *Member) beginToLead(epoch uint64) {
	config := m.raft.GetConfiguration()
	if config.Error() != nil || m.raft.CurrentTerm() != epoch || m.raft.State() != raft.Leader {
		return
	}
	l := &leadership{epoch: epoch, members: config.Configuration()}
	// One who was slow to take over must not put an earlier epoch in the place of the present one.
	for {
		present := m.lead.Load()
		if present != nil && present.epoch >= epoch {
			return
		}
		if m.lead.CompareAndSwap(present, l) {
			break
		}
	}
	m.log.Info("this frontend is the master", "epoch", epoch, "revision", m.machine.Revision())
	m.masters.tell()
	m.joined()
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

// await waits for what Raft has promised, until ctx ends or the member is closed. When it is shut down Raft forgets the entries that its
// state machine has not taken yet, so their futures are never answered.
func (m *Member) await(ctx context.Context, f raft.Future) error {
	answered := make(chan error, 1)
	go func() { answered <- f.Error() }()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-m.stopped:
		return raft.ErrRaftShutdown
	}
}

// masterWatch knows who Raft says is the master, and tells when that changes. Raft tells more than that: a member that loses the master
// becomes candidate and follower again before it knows another. Who waits on a master is disturbed only when it is another one.
type masterWatch struct {
	raft     *raft.Raft
	observer *raft.Observer
	heard    chan raft.Observation
	done     chan struct{}

	mu     sync.Mutex
	master raft.ServerAddress
	change chan struct{}
}

func watchMaster(r *raft.Raft) *masterWatch {
	w := &masterWatch{raft: r, heard: make(chan raft.Observation, 16), done: make(chan struct{}), change: make(chan struct{})}
	w.observer = raft.NewObserver(w.heard, false, func(o *raft.Observation) bool {
		_, leader := o.Data.(raft.LeaderObservation)
		return leader
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
			w.now()
		}
	}
}

// now is the master's peer address, "" if there is none, and a channel that is closed when it changes.
func (w *masterWatch) now() (string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if addr, _ := w.raft.LeaderWithID(); addr != w.master {
		w.master = addr
		w.wake()
	}
	return string(w.master), w.change
}

// tell wakes those who wait for a master: it is ready now.
func (w *masterWatch) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake()
}

func (w *masterWatch) wake() {
	close(w.change)
	w.change = make(chan struct{})
}

func (w *masterWatch) close() {
	w.raft.DeregisterObserver(w.observer)
	close(w.done)
}
