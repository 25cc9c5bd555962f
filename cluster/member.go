package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/cluster/batch"
	"laurel/cluster/enroll"
	"laurel/cluster/peer"
	"laurel/cluster/polling"
	"laurel/cluster/push"
	"laurel/cluster/raftlog"
	"laurel/cluster/status"
)

const (
	// answersBytes bounds the memory of the answers that a member holds, approximately.
	answersBytes = 64 << 20
	// drainTimeout and finishTimeout bound, at a time scale of 1, how long Close waits for this
	// member's own posts, and then for requests of other members.
	drainTimeout  = time.Second
	finishTimeout = 250 * time.Millisecond
	// recheckEvery is how often, at a time scale of 1, the member looks for changes that end
	// connections between members.
	recheckEvery = 100 * time.Millisecond
)

// Member is a member of the group. It is safe for concurrent use.
type Member struct {
	*replica
	transport *peer.Transport
	auth      *peer.Authenticator // nil in an insecure group
	frontend  *cache.Frontend
	pushes    *push.Receiver
	roster    *status.Roster
	source    *status.Source
	poller    *status.Poller

	elections  *elections
	proposer   *proposer
	posts      *poster
	forwarder  *forwarder
	reader     *reader
	readIndex  *readIndex
	readiness  *readiness
	mode       *cacheMode
	puller     *polling.Puller
	polls      *polling.Server
	access     *accessControl
	membership *membership
	transfers  *transfers
	issuer     *enroll.Issuer
}

// Start opens the data directory and takes part in the group. It returns before there is a master.
// Close must be called.
func Start(opts Options) (*Member, error) {
	if opts.TimeScale == 0 {
		opts.TimeScale = 1
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	r := &replica{
		opts: opts, log: opts.Logger, clock: opts.hooks.clock, metrics: newMetrics(opts.Metrics),
		stopped: make(chan struct{}), ended: make(chan error, 1),
	}
	if r.clock == nil {
		r.clock = clock
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	m := &Member{replica: r}
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

func (m *Member) start() (err error) {
	if m.storage, err = raftlog.Open(m.storeOptions()); err != nil {
		return err
	}
	m.self = m.storage.ServerID()
	if i := m.opts.Identity; i != nil && i.Member() != string(m.self) {
		return fmt.Errorf("the certificate is for %q, but the data in %s is of %q", i.Member(), m.opts.Dir, m.self)
	}
	if m.machine, err = m.storage.OpenMachine(); err != nil {
		return err
	}
	if m.opts.Identity != nil {
		m.auth = peer.NewAuthenticator(peer.AuthConfig{
			Identity: m.opts.Identity, Servers: m.servers, Access: m.machine.Access,
			Refused: m.metrics.peerRefused, Logger: m.log,
		})
	}
	m.port, err = peer.Listen(peer.Config{
		Address: m.opts.Peer, ServerID: m.self, Auth: m.auth, Dial: m.opts.hooks.dial, Listen: m.opts.hooks.listen,
	})
	if err != nil {
		return fmt.Errorf("listen for the other members: %w", err)
	}
	m.opts.Peer = m.port.Addr().String()
	// Before Raft: the frontend counts the time of its leases from the start of the process.
	m.frontend = cache.NewFrontend(answersBytes, m.clock, m.opts.hooks.mutation)
	reports := status.NewReports(m.scaled)
	elected := make(chan bool, 16)
	if err = m.startRaft(m.raftConfig(elected), reports); err != nil {
		return err
	}
	if m.auth != nil {
		m.auth.Open()
	}
	m.leader = status.NewLeaderWatch(m.raft)
	m.wire(reports)
	m.metrics.observe(m)
	m.runAll(elected)
	return nil
}

// wire creates the parts of the member and connects them.
func (m *Member) wire(reports *status.Reports) {
	r := m.replica
	m.proposer = &proposer{replica: r}
	m.elections = &elections{replica: r, pushConfig: m.pushConfig()}
	m.access = &accessControl{replica: r, elections: m.elections, proposer: m.proposer}
	m.elections.access = m.access
	m.posts = &poster{replica: r, elections: m.elections, access: m.access, proposer: m.proposer}
	m.posts.batcher = batch.New(m.posts.send, func(events int) { m.metrics.entryEvents.Observe(float64(events)) })
	m.forwarder = &forwarder{replica: r, elections: m.elections, frontend: m.frontend}
	m.reader = &reader{replica: r, frontend: m.frontend}
	m.mode = &cacheMode{replica: r, elections: m.elections, frontend: m.frontend}
	m.readIndex = &readIndex{replica: r, elections: m.elections, turn: make(chanMutex, 1)}
	m.readIndex.round = m.readIndex.askVoters
	m.readiness = &readiness{
		replica: r, elections: m.elections, frontend: m.frontend, readIndex: m.readIndex, mode: m.mode,
	}
	m.pushes = push.NewReceiver(m.ctx, m.elections.pushConfig)
	m.puller, m.polls = newPolling(m.elections, m.readIndex, m.mode)

	m.source = &status.Source{
		Self: m.self, URL: m.opts.URL, Raft: m.raft, Machine: m.machine, Frontend: m.frontend, Store: m.storage,
		Identity: m.opts.Identity, Roster: m.roster, Committed: m.elections.committed,
	}
	m.poller = status.NewPoller(status.Poller{
		Reports: reports, Source: m.source, Port: m.port, Secure: m.opts.Identity != nil,
		Every: m.scaled(status.PollEvery), Timeout: m.scaled(forwardTimeout),
	})
	m.transfers = &transfers{replica: r, elections: m.elections, poller: m.poller, proposer: m.proposer}
	m.membership = &membership{
		replica: r, elections: m.elections, access: m.access, auth: m.auth, poller: m.poller, transfers: m.transfers,
		changing: make(chanMutex, 1),
	}
	m.issuer = enroll.NewIssuer(enroll.Config{
		Group: enrollGroup{r, m.elections, m.access, reports}, Self: m.self, Identity: m.opts.Identity,
		Auth: m.auth, Port: m.port, ValidID: validID, Logger: m.log,
	})
}

func (m *Member) pushConfig() push.Config {
	return push.Config{
		Self: m.self, Raft: m.raft, Log: m.storage.Log, Machine: m.machine, Frontend: m.frontend,
		Port: m.port, Transport: m.transport, Clock: m.clock, Timings: m.timings(), Mutation: m.opts.hooks.mutation,
		Scale: m.scaled, Go: m.run, StreamsLost: m.metrics.streamsLost, LeasesWithheld: m.metrics.leasesWithheld,
		HellosRefused: m.metrics.hellosRefused, Logger: m.log,
	}
}

// runAll starts the goroutines of the parts.
func (m *Member) runAll(elected <-chan bool) {
	removal := &status.RemovalCheck{
		Source: m.source, Reports: m.poller.Reports, Logger: m.log, Removed: func() { m.end(ErrRemoved) },
	}
	join := &joinLoop{replica: m.replica, elections: m.elections, membership: m.membership, poller: m.poller}
	m.port.HandlePush(m.pushes.Serve)
	m.run(func() { m.elections.run(elected) })
	m.run(func() { m.poller.Run(m.ctx, removal.Run) })
	m.run(m.puller.Run)
	m.run(func() { m.pushes.Hints.Run(m.ctx) })
	m.run(join.run)
	if m.opts.Identity != nil {
		renewer := enroll.NewRenewer(m.issuer.Config, m.issuer, m.scaled(enroll.RenewTimeout))
		m.run(func() { m.port.RecheckLoop(m.ctx, m.scaled(recheckEvery)) })
		m.run(func() { renewer.Run(m.ctx) })
	}
}

// Peer returns the address on which the other members reach this one.
func (m *Member) Peer() string { return m.opts.Peer }

// Ended returns a channel that gets one error when the member cannot go on: ErrRemoved, a
// *StorageError, a *ContradictionError, or the refusal of the group that it wants to join. The
// program must then end.
func (m *Member) Ended() <-chan error { return m.ended }

// ServeForwarded sets the handler of requests that other members forward to this one, and what
// finds the question for a key. It must be called once.
func (m *Member) ServeForwarded(h http.Handler, parse queries.Parse) {
	m.polls.Parse = parse
	m.port.HandleHTTP(m.peerHandler(h), m.log)
}

// HandOver makes another voter the master, if this member is the master and another voter answers.
// ctx bounds the wait.
func (m *Member) HandOver(ctx context.Context) { m.transfers.handOver(ctx) }

// Close stops the member, which stays in the group. A master should HandOver first. Posts in flight
// are finished, for at most a second. If the disk hangs, Close waits for it.
func (m *Member) Close() error {
	m.posts.batcher.Close()
	m.posts.batcher.Drain(m.scaled(drainTimeout))
	m.port.Shutdown(m.scaled(finishTimeout))
	m.cancel()
	stopping := m.raft.Shutdown()
	m.storage.Release()
	errs := []error{m.port.Close(), stopping.Error()}
	close(m.stopped)
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
