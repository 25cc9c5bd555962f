package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/internal/hclogger"
	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/cluster/snapshots"
	"laurel/cluster/standing"
	"laurel/cluster/status"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/trust/access"
)

// Timings at a time scale of 1. A local network answers in well under a millisecond, but
// a busy machine's scheduler and a slow write to the disk take longer.
const (
	// electionTimeout is the time without a message of the master after which an election
	// begins, at a random time within one to two of it. A master steps down after the
	// same time without a majority. A shorter one gains little, because the next master
	// waits for the leases of the old one, and costs the office of a master that is starved
	// for a moment.
	electionTimeout = 200 * time.Millisecond
	// commitTimeout is half the longest time until followers learn from Raft that an entry
	// is committed. The master's streams tell them at once; see push.CommitHints.
	commitTimeout    = 200 * time.Millisecond
	transportTimeout = 5 * time.Second // for one message of Raft
	// roundPause is for how long Raft sends its own heartbeats after a round of the push
	// protocol was late.
	roundPause = time.Second
	// approachPause is the shortest time between two steps towards a term that is far
	// ahead: each costs an election.
	approachPause = 10 * electionTimeout
	// askTime is how long a member that has just started takes no part in elections while
	// other voters do not answer what they remember of it.
	askTime = time.Second
	// wedgeTimeout is how long, at a time scale of 1, Raft may refuse entries because of
	// a leadership transfer while there is none.
	wedgeTimeout = 2 * time.Second
)

const (
	// enqueueTimeout bounds the wait for Raft's main loop to take an entry.
	enqueueTimeout   = time.Second
	snapshotEntries  = 8192
	snapshotInterval = 20 * time.Second
	// maxLogEntry bounds a log entry, in bytes. raft-wal v0.4.1 writes an entry of more
	// than 64 MiB and then cannot read its file. An entry is one post of at most
	// entry.MaxPost, or several small ones.
	maxLogEntry = 2 * entry.MaxPost
	// maxAppendEntries bounds the entries of one message to a follower, whose bytes
	// peer.maxMessage bounds, and those that are applied together.
	maxAppendEntries = 32
)

func (r *replica) storeOptions() raftlog.Options {
	return raftlog.Options{
		Dir:          r.opts.Dir,
		ID:           r.opts.ID,
		Bootstrap:    r.opts.Bootstrap,
		Join:         len(r.opts.Join) > 0,
		StallTimeout: r.scaled(raftlog.DefaultStallTimeout),
		Bounds:       r.logBounds(),
		Logger:       r.log,
		Fatal:        r.fail,
		ObserveWrite: func(d time.Duration) { r.metrics.DiskWrite.Observe(d.Seconds()) },
		Wrap:         r.opts.hooks.wrapBackend,
	}
}

func (r *replica) logBounds() raftlog.Bounds {
	b := raftlog.DefaultBounds
	if n := r.opts.SnapshotEntries; n > 0 {
		b.TrailingEntries = n
	}
	if f := r.opts.hooks.logBounds; f != nil {
		f(&b)
	}
	return b
}

func (r *replica) raftConfig(elected chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = r.self
	timeout := r.scaled(electionTimeout)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = timeout, timeout, timeout
	c.CommitTimeout = r.scaled(commitTimeout)
	c.SnapshotInterval = snapshotInterval
	c.SnapshotThreshold = snapshotEntries
	if n := r.opts.SnapshotEntries; n > 0 {
		c.SnapshotThreshold, c.SnapshotInterval = n, time.Second
	}
	c.TrailingLogs = math.MaxUint64 // raftlog.Log removes entries, by bytes
	c.MaxAppendEntries = maxAppendEntries
	// The state machine's database knows its revision, and was restored from the newest
	// snapshot if it was behind.
	c.NoSnapshotRestoreOnStart = true
	c.NotifyCh = elected
	c.Logger = hclogger.New(r.log, r.stopping.Load)
	if r.opts.hooks.raftConfig != nil {
		r.opts.hooks.raftConfig(c)
	}
	return c
}

// startRaft starts Raft, which writes to the disk. If the disk hangs Raft does not
// return, but the member ends.
func (m *Member) startRaft(config *raft.Config, reports *status.Reports) error {
	c := peer.TransportConfig{
		Port:            m.port,
		Timeout:         m.scaled(transportTimeout),
		ApproachPause:   m.scaled(approachPause),
		Round:           m.timings().Beat * 3 / 2,
		RoundPause:      m.scaled(roundPause),
		ElectionTimeout: config.HeartbeatTimeout,
		MaxEntry:        maxLogEntry,
		Full:            func() bool { return m.storage.Log.FollowerFull(m.raft.AppliedIndex()) },
		CheckCommand:    entry.Check,
		TermReported:    func(term uint64) bool { return reports.TermReported(m.raft, term) },
		MayVote:         func() error { return m.source.Gate.Check() },
		FirstTerm:       func() uint64 { return m.source.Gate.FirstTerm() },
		Holds:           reports.Hold,
		Go:              m.run,
		Stopping:        m.stopping.Load,
		Stopped:         m.stopped,
		Refused:         m.metrics.RaftRefused,
		Logger:          m.log,
	}
	if m.sworn != nil {
		c.Signed, c.Unreadable = m.sworn.Signed, m.enforcer.Unreadable
	}
	m.transport = peer.NewTransport(m.ctx, c)
	opened := make(chan error, 1)
	go func() { opened <- m.openRaft(config, reports) }()
	select {
	case err := <-opened:
		return err
	case err := <-m.ended:
		return err
	}
}

func (m *Member) openRaft(config *raft.Config, reports *status.Reports) (err error) {
	s := m.storage
	receiver := &snapshots.Receiver{
		Store:     s.Snapshots,
		Machine:   m.machine,
		Transport: m.transport,
		Fail:      m.fail,
		Received:  m.metrics.SnapshotsReceived,
		Logger:    m.log,
	}
	if m.sworn != nil {
		receiver.Check = func(s *access.State, c raft.Configuration) error {
			if err := m.sworn.CheckSnapshot(s); err != nil {
				return err
			}
			signed := func(name string) bool { return !s.Settings.Sworn || s.KeyOf(name) != nil }
			return peer.CheckServers(c, m.servers(), signed)
		}
	}
	m.run(func() { m.transport.Serve(receiver.Receive) })
	if m.opts.Bootstrap && !s.Existing {
		first := raft.Server{Suffrage: raft.Voter, ID: config.LocalID, Address: m.transport.LocalAddr()}
		if err := s.Bootstrap(raft.Configuration{Servers: []raft.Server{first}}); err != nil {
			return fmt.Errorf("bootstrap the group: %w", err)
		}
		m.log.Info("made a new group", "member", m.opts.ID)
	}
	m.roster = status.NewRoster(config.LocalID, func(index uint64) {
		if err := s.MarkJoined(index); err != nil {
			m.fail(err)
		}
	})
	if err := m.roster.UpdateFromSnapshots(s.Snapshots); err != nil {
		return fmt.Errorf("list the snapshots in %s: %w", m.opts.Dir, err)
	}
	m.poster = newPoster(m.replica)
	machine := status.FSM{
		Raft: fsm.NewRaft(m.machine, m.failApply), Roster: m.roster, Snapshots: s.Snapshots,
		Committed: m.poster.batcher.Written,
	}
	origins := &standing.Origins{Log: s.Log}
	m.raft, err = raft.NewRaft(config, machine, origins, s.Stable, s.Snapshots, m.transport)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	if origins.Open(m.raft); m.enforcer != nil {
		m.enforcer.Origins = origins
	}
	if s, in := peer.Find(m.servers(), m.self); in && s.Suffrage == raft.Voter && m.opts.Nonvoter {
		return errors.Join(ErrHasVote, m.raft.Shutdown().Error())
	}
	m.source = &status.Source{
		Self: m.self, Process: rand.Text(), Peer: m.opts.Peer, URL: m.opts.URL, Version: m.opts.Version,
		Newest: m.opts.maxFormat(), Raft: m.raft, Machine: m.machine,
		Frontend: m.frontend, Store: s, Identity: m.opts.Identity, Roster: m.roster, Reports: reports, Moved: m.moved,
		Committed: m.committed, Certified: func() (uint64, time.Time) { return m.certifier.Newest() },
		False: func() []string { return m.checker.Accused() }, Draining: m.draining.Load, Disk: m.disk.Look,
		Whole: func() int { last, _ := m.membership.health.Last(); return last.Whole },
	}
	m.source.Gate = status.NewVoteGate(m.source, m.log, m.scaled(askTime))
	m.transport.Open(m.raft)
	return nil
}

// boundLog takes a snapshot whenever the log has grown too large. A master that can take
// none and has no room for posts makes another member the master.
func (m *Member) boundLog() {
	snapshot := func() error {
		err := m.await(m.ctx, m.raft.Snapshot())
		if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) &&
			m.storage.Log.Full() && m.leadership() != nil {
			m.log.Warn("the log of this master is full, and no snapshot could be taken; transferring leadership",
				"err", err)
			ctx, cancel := context.WithTimeout(m.ctx, m.scaled(transferTimeout))
			defer cancel()
			m.HandOver(ctx)
		}
		return err
	}
	if err := m.storage.Bound(m.ctx, m.scaled, snapshot); err != nil {
		m.fail(err)
	}
}

// proposer appends entries to the log and detects a wedged Raft.
type proposer struct {
	*replica
	transfers    atomic.Int32 // leadership transfers in progress
	refusedSince atomic.Int64 // when Raft began to refuse entries without a transfer, in ns; 0 if it does not
}

// propose appends an entry in the format of the group and waits until it is committed and
// applied. It returns the response of the state machine. The entry has change, or none if
// that is nil. No follower takes an entry that cannot be parsed, so with one in its log a
// master could commit nothing more.
func (p *proposer) propose(ctx context.Context, data []byte, change *access.Change) (response any, err error) {
	if err := entry.Check(data); err != nil {
		return nil, err
	}
	data = entry.InFormat(data, p.machine.Access().FormatOf(change))
	future := p.raft.Apply(data, enqueueTimeout)
	err = p.await(ctx, future)
	p.checkWedged(err)
	if err != nil {
		return nil, err
	}
	return future.Response(), nil
}

// notAppended reports whether an error of propose means that the entry was not appended.
func notAppended(err error) bool {
	return errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) ||
		errors.Is(err, raft.ErrLeadershipTransferInProgress)
}

var errWedged = errors.New("raft refuses all entries because of a leadership transfer that has ended " +
	"(hashicorp/raft#696); start this frontend again")

// beginEpoch forgets what was refused in an earlier leadership of this member.
func (p *proposer) beginEpoch() { p.refusedSince.Store(0) }

// checkWedged ends a member whose Raft has not noticed that a leadership transfer has
// ended. That can happen if it loses leadership meanwhile. If it became the master again,
// it would accept no posts. Without this member another one is elected.
func (p *proposer) checkWedged(err error) {
	if !errors.Is(err, raft.ErrLeadershipTransferInProgress) || p.transfers.Load() > 0 {
		p.refusedSince.Store(0)
		return
	}
	now := int64(p.clock())
	if !p.refusedSince.CompareAndSwap(0, now) && time.Duration(now-p.refusedSince.Load()) > p.scaled(wedgeTimeout) {
		p.end(errWedged)
	}
}
