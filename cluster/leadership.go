package cluster

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/push"
	"laurel/fsm/entry"
	"laurel/score"
)

// leadership is the time of this member as master in one epoch. It begins when Raft elects the member. It serves from when
// everything that was committed before is applied here and all leases of earlier masters have expired.
type leadership struct {
	of     *Member
	epoch  uint64
	ctx    context.Context // ends with the leadership
	cancel context.CancelFunc
	push   *push.Sender

	mu      sync.Mutex
	members raft.Configuration // the last that is known to be committed
}

// leadAsElected begins a leadership when Raft elects this member and ends it when Raft says so. It never blocks Raft, whose main loop
// waits for the channel to be read. What Raft says may be old when it is read, so it is only the reason to look: a leadership lasts for as long as
// Raft leads in its epoch, and there is one in each epoch.
func (m *Member) leadAsElected(elected <-chan bool) {
	epoch, end := uint64(0), func() {}
	defer func() { end() }()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-elected:
		}
		now := ledEpoch(m.raft)
		if now == epoch {
			continue
		}
		end()
		epoch, end = now, func() {}
		if now > 0 {
			end = m.takeOver(now)
		}
	}
}

// ledEpoch returns the term in which r leads, 0 if it does not. A term never comes back, so r was leader in the term that it is in before
// and after.
func ledEpoch(r interface {
	CurrentTerm() uint64
	State() raft.RaftState
}) uint64 {
	for {
		before := r.CurrentTerm()
		if r.State() != raft.Leader {
			return 0
		}
		if r.CurrentTerm() == before {
			return before
		}
	}
}

// takeOver begins the leadership of an epoch; end ends it.
func (m *Member) takeOver(epoch uint64) (end func()) {
	config := m.raft.GetConfiguration()
	if config.Error() != nil {
		m.log.Error("the leadership cannot begin: the configuration of the group cannot be read", "epoch", epoch, "error", config.Error())
		return func() {}
	}
	l := &leadership{of: m, epoch: epoch}
	l.ctx, l.cancel = context.WithCancel(m.ctx)
	l.push = push.NewSender(l.ctx, m.pushConfig(), epoch, config.Configuration(), l.serve)
	m.reign.Store(l)
	m.run(l.run)
	return l.end
}

// end ends the leadership. It may be called again.
func (l *leadership) end() {
	m := l.of
	l.cancel()
	m.reign.CompareAndSwap(l, nil)
	m.lead.CompareAndSwap(l, nil)
	l.push.Close()
}

// run brings everything that earlier masters committed into this member's state machine, by a barrier through the log, and then carries the
// changes that follow into the caches.
func (l *leadership) run() {
	m := l.of
	ticking := make(chan struct{})
	m.run(func() { defer close(ticking); l.push.Run() })
	defer func() { <-ticking }()
	for l.ctx.Err() == nil {
		err := m.await(l.ctx, m.raft.Barrier(0))
		if err == nil {
			break
		}
		m.log.Info("the leadership cannot begin yet", "epoch", l.epoch, "error", err)
		select {
		case <-l.ctx.Done():
		case <-time.After(retryPause):
		}
	}
	if l.ctx.Err() != nil {
		return
	}
	revision, changed := m.machine.Track()
	if m.machine.Store() == "" {
		m.raft.Apply(entry.EncodeStore(strings.ToLower(rand.Text()[:10])), enqueue) // if it fails the next master does it
	}
	l.guard()
	mode := m.machine.CacheMode()
	l.push.Update(func(master *cache.Master, now time.Duration) {
		master.SetGranting(mode == score.Push, now)
		master.Ready(revision, now)
	})
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-changed:
			l.push.Push()
		}
	}
}

// serve publishes the leadership. What was in the log before this epoch is committed now, so the configuration is, too.
func (l *leadership) serve(config raft.Configuration) {
	m := l.of
	l.mu.Lock()
	l.members = config
	l.mu.Unlock()
	m.lead.Store(l)
	m.metrics.epochs.Inc()
	m.log.Info("this frontend is the master", "epoch", l.epoch, "revision", m.machine.Revision())
	m.masters.tell()
}

// committed notes that the latest configuration is committed.
func (l *leadership) committed() {
	config := l.push.UpdateConfiguration()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.members = config
}

// member returns a member of the committed configuration.
func (l *leadership) member(id raft.ServerID) (raft.Server, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return find(l.members, id)
}

func find(c raft.Configuration, id raft.ServerID) (raft.Server, bool) {
	for _, s := range c.Servers {
		if s.ID == id {
			return s, true
		}
	}
	return raft.Server{}, false
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
