package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/peer"
	"laurel/cluster/push"
	"laurel/score"
)

// elections keeps a leadership for each epoch in which Raft elects this member.
type elections struct {
	*replica
	access     *accessControl
	pushConfig push.Config
}

// leadership is the time of this member as master in one epoch. It begins when Raft
// elects the member. It serves from when everything that was committed before is applied
// here and all leases of earlier masters have expired.
type leadership struct {
	of     *elections
	epoch  uint64
	ctx    context.Context // ends with the leadership
	cancel context.CancelFunc
	push   *push.Sender
	// members is the last configuration that is known to be committed; nil before it
	// serves.
	members atomic.Pointer[raft.Configuration]
}

// run begins a leadership when Raft elects this member, and ends it when Raft steps down.
// It never blocks Raft, whose main loop waits for the channel to be read. A value of the
// channel may be old when it is read, so it only wakes run: a leadership lasts for as
// long as Raft leads in its epoch, and each epoch has one.
func (e *elections) run(changed <-chan bool) {
	epoch, end := uint64(0), func() {}
	defer func() { end() }()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-changed:
		}
		now := ledEpoch(e.raft)
		if now == epoch {
			continue
		}
		end()
		epoch, end = now, func() {}
		if now > 0 {
			end = e.begin(now)
		}
	}
}

// ledEpoch returns the term in which r leads; 0 if it does not. A term never comes back,
// so r led in the term that it is in before and after the look at its state.
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

// begin begins the leadership of an epoch. The returned function ends it.
func (e *elections) begin(epoch uint64) (end func()) {
	l := &leadership{of: e, epoch: epoch}
	l.ctx, l.cancel = context.WithCancel(e.ctx)
	l.push = push.NewSender(l.ctx, e.pushConfig, epoch, e.raft.GetConfiguration().Configuration(), l.serve)
	e.access.proposer.beginEpoch()
	e.elected.Store(l)
	e.replica.run(l.run)
	return l.end
}

// leadership returns the leadership that serves; nil if this member is not the master, or
// not yet.
func (r *replica) leadership() *leadership {
	l := r.serving.Load()
	if l == nil || r.raft.State() != raft.Leader || r.raft.CurrentTerm() != l.epoch {
		return nil
	}
	return l
}

// Leadership returns a context that ends when this member is no longer the master; nil if it
// is not the master now.
func (r *replica) Leadership() context.Context {
	if l := r.leadership(); l != nil {
		return l.ctx
	}
	return nil
}

// servingEpoch returns the epoch in which this member serves as the master; 0 if it does
// not.
func (r *replica) servingEpoch() uint64 {
	if l := r.leadership(); l != nil {
		return l.epoch
	}
	return 0
}

// committed looks a server up in the committed configuration that this member knows as
// the master. leads is false if it is not the master.
func (r *replica) committed(id raft.ServerID) (s raft.Server, in, leads bool) {
	l := r.leadership()
	if l == nil {
		return s, false, false
	}
	s, in = peer.Find(l.members.Load().Servers, id)
	return s, in, true
}

// end ends the leadership.
func (l *leadership) end() {
	l.cancel()
	l.of.elected.CompareAndSwap(l, nil)
	l.of.serving.CompareAndSwap(l, nil)
	l.push.Close()
}

// run applies everything that earlier masters committed, with a barrier in the log, and
// then pushes the changes that follow.
func (l *leadership) run() {
	e := l.of
	var ticking sync.WaitGroup
	ticking.Go(l.push.Run)
	defer ticking.Wait()
	for l.ctx.Err() == nil {
		err := e.await(l.ctx, e.raft.Barrier(0))
		if err == nil {
			break
		}
		e.log.Info("leadership cannot begin yet", "epoch", l.epoch, "err", err)
		select {
		case <-l.ctx.Done():
		case <-time.After(retryPause):
		}
	}
	if l.ctx.Err() != nil {
		return
	}
	revision, changed := e.machine.Track()
	e.access.found(l.ctx)
	mode := e.machine.CacheMode()
	l.push.Update(func(m *cache.Master, now time.Duration) {
		m.SetGranting(mode == score.Push, now)
		m.Ready(revision, now)
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

// serve publishes the leadership. What was in the log before this epoch is committed now,
// so the configuration is, too.
func (l *leadership) serve(config raft.Configuration) {
	e := l.of
	l.members.Store(&config)
	e.serving.Store(l)
	e.metrics.Epochs.Inc()
	e.log.Info("this frontend is the master", "epoch", l.epoch, "revision", e.machine.Revision())
	e.leader.Notify()
}
