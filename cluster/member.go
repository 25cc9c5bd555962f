package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/cluster/enroll"
	"laurel/cluster/internal/hclogger"
	"laurel/cluster/peer"
	"laurel/cluster/push"
	"laurel/cluster/raftlog"
	"laurel/cluster/snapshots"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/pki"
)

// Options say who a member is and where it lives.
type Options struct {
	ID   string // unique in the group; letters, digits and ._~-
	Dir  string // its data directory, made if it is missing
	Peer string // host:port on which the other members reach it, and on which it listens
	URL  string // where clients reach it; told to the other members
	// Bootstrap makes a new group of this member alone, if the directory holds no member yet.
	Bootstrap bool
	// Join are URLs of members of the group to join, if this one is not in it.
	Join []string
	// Nonvoter joins without a vote.
	Nonvoter bool
	// Guarded: the group is a secure one, in whose store every event is signed, or came with a token.
	Guarded bool
	// TimeScale stretches all timings of failover; 1 is for a local network. 0 means 1.
	TimeScale float64
	// SnapshotEntries is the number of log entries between snapshots, and of those kept behind one. 0 means the default.
	SnapshotEntries uint64
	// Identity is the member's certificate; its name must be that of ServerID. nil: the members do not authenticate each other.
	Identity *pki.Identity

	Logger  *slog.Logger
	Metrics prometheus.Registerer

	// What tests put between this member and the others, and between Raft and the disk.
	dial        peer.Dialer
	listen      peer.Listener
	wrap        func(raftlog.Backend) raftlog.Backend
	segmentSize int
	clock       func() time.Duration
	tune        func(*raft.Config)
	round       time.Duration // instead of roundLimit
	rules       cache.Mutation
}

// Timings at a time scale of 1. A local network answers in well under a millisecond; what they must outlast is a busy machine's
// scheduler and a slow write to the disk.
const (
	// electionTimeout is after how long without a word from the master an election begins, at a random time within one to two of it; also
	// after how long without a word from a majority a master steps down.
	electionTimeout = 150 * time.Millisecond
	commitTimeout   = 20 * time.Millisecond // followers learn that an entry is committed within one to two of these
	transportLimit  = 5 * time.Second       // one message of Raft
	// approachPause is the shortest time between two steps towards a term that is far ahead: each costs an election.
	approachPause = 10 * electionTimeout
)

// maxLogEntry bounds an entry of the log, in bytes. raft-wal v0.4.1 writes an entry of more than 64 MiB and then cannot read its file any more. An
// entry is one post of at most entry.MaxPost, or several small ones.
const maxLogEntry = 2 * entry.MaxPost

// answersBytes bounds the memory of the answers that a member holds, about.
const answersBytes = 64 << 20

const (
	snapshotEntries  = 8192
	snapshotInterval = 20 * time.Second
)

// How long Close waits at a time scale of 1 for what is under way: its own posts, and then the calls of others.
const (
	drainLimit  = time.Second
	finishLimit = 250 * time.Millisecond
)

// Member is a member of the group. Its methods may be called by any goroutine.
type Member struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics

	self      raft.ServerID
	storage   *raftlog.Store
	machine   *fsm.Machine
	raft      *raft.Raft
	transport *peer.Transport
	port      *peer.Port
	auth      *peer.Authenticator
	issuer    *enroll.Issuer
	gatherer  *gatherer
	confirm   confirmer

	frontend  *cache.Frontend
	pushes    *push.Receiver
	puller    *puller
	questions queries.Parse
	load      atomic.Pointer[func() score.Load]
	handing   atomic.Int32 // calls of handOver under way
	refused   atomic.Int64 // since when Raft has refused entries for a handing over that there is not; see wedged
	clock     func() time.Duration
	reign     atomic.Pointer[leadership] // since Raft elected this member
	lead      atomic.Pointer[leadership] // since that serves
	masters   *masterWatch
	neighbour *neighbours
	roster    *roster
	changing  turn // one change of the membership at a time

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	stopped chan struct{} // closed when Raft has stopped
	running sync.WaitGroup
	ended   chan error
	once    sync.Once
}

// Start opens the data directory and takes part in the group. It returns before there is a master. Close must be called.
func Start(opts Options) (*Member, error) {
	if opts.TimeScale == 0 {
		opts.TimeScale = 1
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if opts.clock == nil {
		opts.clock = clock
	}
	m := &Member{opts: opts, log: opts.Logger, clock: opts.clock, changing: make(turn, 1), ctx: ctx, cancel: cancel, stopped: make(chan struct{}), ended: make(chan error, 1), metrics: newMetrics(opts.Metrics)}
	if err := m.start(); err != nil {
		var storage *StorageError
		if errors.As(err, &storage) {
			go m.release() // it may hang
			return nil, err
		}
		return nil, errors.Join(err, m.release())
	}
	return m, nil
}

func (o *Options) check() error {
	if !validID(o.ID) {
		return fmt.Errorf("the id %q of the frontend is not valid: want at most %d letters, digits and ._~-", o.ID, maxID)
	}
	host, _, err := net.SplitHostPort(o.Peer)
	if err != nil {
		return fmt.Errorf("the peer address %q is not valid: %w", o.Peer, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("the peer address %q names no host; give the one on which the other members reach this frontend", o.Peer)
	}
	return nil
}

func (m *Member) start() (err error) {
	if m.storage, err = raftlog.Open(m.storeOptions()); err != nil {
		return err
	}
	m.self = m.storage.ServerID()
	if i := m.opts.Identity; i != nil && i.Member() != string(m.self) {
		return fmt.Errorf("the certificate is for %q, but the data in %s are of %q", i.Member(), m.opts.Dir, m.self)
	}
	if m.machine, err = m.storage.OpenMachine(); err != nil {
		return err
	}
	if m.opts.Identity != nil {
		m.auth = peer.NewAuthenticator(peer.AuthConfig{Identity: m.opts.Identity, Servers: m.servers, Access: m.machine.Access,
			Refused: m.metrics.peerRefused, Logger: m.log})
	}
	m.port, err = peer.Listen(peer.Config{Address: m.opts.Peer, ServerID: m.self, Auth: m.auth, Dial: m.opts.dial, Listen: m.opts.listen})
	if err != nil {
		return fmt.Errorf("listen for the other members: %w", err)
	}
	m.opts.Peer = m.port.Addr().String()
	m.run(m.storage.Watch)
	// It must be there before Raft is: its acks count from the start of the process.
	m.frontend = cache.NewFrontend(answersBytes, m.clock, m.opts.rules)
	m.neighbour = newNeighbours(m)
	elected := make(chan bool, 16)
	if m.raft, err = m.startRaft(m.raftConfig(elected)); err != nil {
		return err
	}
	m.auth.Open()
	m.masters = watchMaster(m.raft)
	m.gatherer = newGatherer(m.send, m.metrics)
	m.confirm.round = m.confirmRound
	m.puller = newPuller(m)
	m.issuer = enroll.NewIssuer(m.enrollConfig())
	m.metrics.observe(m)
	m.pushes = push.NewReceiver(m.ctx, m.pushConfig())
	m.port.HandlePush(m.pushes.Serve)
	m.run(func() { m.leadAsElected(elected) })
	m.run(m.neighbour.run)
	m.run(m.puller.run)
	m.run(func() { m.pushes.Hints.Run(m.ctx) })
	m.run(m.announce)
	if m.opts.Identity != nil {
		m.run(m.recheckLoop)
		renewer := enroll.NewRenewer(m.enrollConfig(), m.issuer, m.scaled(enroll.RenewTimeout))
		m.run(func() { renewer.Run(m.ctx) })
	}
	return nil
}

func (m *Member) storeOptions() raftlog.Options {
	return raftlog.Options{
		Dir:          m.opts.Dir,
		ID:           m.opts.ID,
		Bootstrap:    m.opts.Bootstrap,
		Join:         len(m.opts.Join) > 0,
		StallTimeout: m.scaled(raftlog.DefaultStallTimeout),
		SegmentSize:  m.opts.segmentSize,
		Logger:       m.log,
		Fatal:        m.fail,
		ObserveWrite: func(d time.Duration) { m.metrics.diskWrite.Observe(d.Seconds()) },
		Wrap:         m.opts.wrap,
	}
}

// startRaft opens Raft, which writes to the disk. If that fails or hangs Raft does not come back, but the member has ended.
func (m *Member) startRaft(config *raft.Config) (*raft.Raft, error) {
	type opened struct {
		*raft.Raft
		error
	}
	done := make(chan opened, 1)
	m.transport = peer.NewTransport(m.ctx, peer.TransportConfig{Port: m.port, ServerID: m.self, Timeout: m.scaled(transportLimit),
		ApproachPause: m.scaled(approachPause), MaxEntry: maxLogEntry, TermReported: m.neighbour.reported, Go: m.run,
		Refused: m.metrics.raftRefused, Logger: m.log, RaftLogger: hclogger.New(m.log)})
	go func() {
		r, err := m.openRaft(config)
		done <- opened{r, err}
	}()
	select {
	case o := <-done:
		return o.Raft, o.error
	case err := <-m.ended:
		return nil, err
	}
}

func (m *Member) openRaft(config *raft.Config) (*raft.Raft, error) {
	s := m.storage
	var r *raft.Raft // before a snapshot is received
	receiver := snapshots.NewReceiver(snapshots.ReceiverOptions{
		Store:   m.storage.Snapshots(),
		Machine: m.machine,
		Header:  m.transport.Header(),
		Term:    func() uint64 { return r.CurrentTerm() },
		Pass:    m.transport.Deliver,
		Stopped: m.stopped,
		Fail:    m.fail,
		Count:   func(outcome string) { m.metrics.snapshotsReceived.WithLabelValues(outcome).Inc() },
		Logger:  m.log,
	})
	m.run(func() { m.transport.Serve(receiver.Receive) })
	if m.opts.Bootstrap && !s.Existing() {
		first := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: config.LocalID, Address: m.transport.LocalAddr()}}}
		if err := s.Bootstrap(first); err != nil {
			return nil, fmt.Errorf("bootstrap the group: %w", err)
		}
		m.log.Info("made a new group", "id", m.opts.ID)
	}
	m.roster = &roster{self: config.LocalID, note: m.joined}
	if err := m.roster.takeNewest(s.Snapshots()); err != nil {
		return nil, fmt.Errorf("list the snapshots in %s: %w", m.opts.Dir, err)
	}
	machine := rosterFSM{fsm.NewRaft(m.machine, m.failApply), m.roster, s.Snapshots()}
	r, err := raft.NewRaft(config, machine, s.Log(), s.Stable(), s.Snapshots(), m.transport)
	if err != nil {
		return nil, fmt.Errorf("start raft: %w", err)
	}
	m.transport.Open(r)
	return r, nil
}

func (m *Member) run(f func()) {
	m.running.Add(1)
	go func() {
		defer m.running.Done()
		f()
	}()
}

func (m *Member) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * m.opts.TimeScale)
}

func (m *Member) timings() cache.Timings { return cache.DefaultTimings.Scaled(m.opts.TimeScale) }

func (m *Member) pushConfig() push.Config {
	return push.Config{Self: m.self, Raft: m.raft, Log: m.storage.Log(), Machine: m.machine, Frontend: m.frontend, Port: m.port, Transport: m.transport,
		Clock: m.clock, Timings: m.timings(), Mutation: m.opts.rules, Scale: m.scaled, Go: m.run, Stopped: m.stopped, Metrics: m.metrics.push, Logger: m.log}
}

func (m *Member) raftConfig(elected chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = m.self
	timeout := m.scaled(electionTimeout)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = timeout, timeout, timeout
	c.CommitTimeout = m.scaled(commitTimeout)
	c.SnapshotInterval = snapshotInterval
	c.SnapshotThreshold, c.TrailingLogs = snapshotEntries, snapshotEntries
	if n := m.opts.SnapshotEntries; n > 0 {
		c.SnapshotThreshold, c.TrailingLogs, c.SnapshotInterval = n, n, time.Second
	}
	// The machine's own database says how far it has come; it has restored the newest snapshot itself if it was behind.
	c.NoSnapshotRestoreOnStart = true
	c.NotifyCh = elected
	c.Logger = hclogger.New(m.log)
	if m.opts.tune != nil {
		m.opts.tune(c)
	}
	return c
}

// ID is the member's id.
func (m *Member) ID() string { return m.opts.ID }

// Peer is the address on which the other members reach this one.
func (m *Member) Peer() string { return m.opts.Peer }

// Ended tells once why the member cannot go on: ErrRemoved, a *StorageError, a *ContradictionError, or that the group does not take it in.
// The program must then end.
func (m *Member) Ended() <-chan error { return m.ended }

func (m *Member) end(err error) { m.once.Do(func() { m.ended <- err }) }

// fail ends the member: what it learns can no longer be made durable, or contradicts what it has told others.
func (m *Member) fail(err error) { m.end(raftlog.Failure(m.opts.Dir, err)) }

// joined notes that this member is in the committed configuration of the entry at index.
func (m *Member) joined(index uint64) {
	if err := m.storage.MarkJoined(index); err != nil {
		m.fail(err)
	}
}

// ServeForwarded is what answers requests that other members forward to this one, and what finds the question for a key. It must be called once,
// before anybody asks.
func (m *Member) ServeForwarded(h http.Handler, q queries.Parse) {
	m.questions = q
	m.port.HandleHTTP(m.peerHandler(h), m.log)
}

// Close takes leave of the others and closes the data directory. It is no leave: the member stays in the group. A master should HandOver
// first. Posts that are under way are brought to an end, for at most a second. Where the disk hangs, Close waits for it.
func (m *Member) Close() error {
	m.gatherer.close()
	m.gatherer.drain(m.scaled(drainLimit))
	m.port.Shutdown(m.scaled(finishLimit))
	m.cancel()
	stopping := m.raft.Shutdown()
	m.storage.Release()
	errs := []error{m.port.Close(), stopping.Error()}
	close(m.stopped)
	m.masters.close()
	return errors.Join(append(errs, m.release())...)
}

// release closes what start opened.
func (m *Member) release() error {
	m.cancel()
	var errs []error
	if m.port != nil {
		errs = append(errs, m.port.Close())
	}
	if m.transport != nil {
		errs = append(errs, m.transport.Close())
		m.transport.CloseStreams()
	}
	if m.storage != nil {
		m.storage.Release()
	}
	m.running.Wait()
	if m.machine != nil {
		errs = append(errs, m.closeMachine())
	}
	if m.storage != nil {
		errs = append(errs, m.storage.Close())
	}
	return errors.Join(errs...)
}
