package cluster

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/cluster/certify"
	"laurel/cluster/enroll"
	"laurel/cluster/internal/boottime"
	"laurel/cluster/join"
	"laurel/cluster/metrics"
	"laurel/cluster/peer"
	"laurel/cluster/poll"
	"laurel/cluster/push"
	"laurel/cluster/raftlog"
	"laurel/cluster/readindex"
	"laurel/cluster/status"
	"laurel/cluster/sworn"
	"laurel/fsm"
	"laurel/fsm/database"
	"laurel/score"
	"laurel/trust/pki"
	"laurel/trust/signing"
)

const (
	// answersBytes bounds the memory of the answers that a member holds, approximately.
	answersBytes = 64 << 20
	// drainTimeout and finishTimeout bound, at a time scale of 1, how long Close waits
	// for this member's own posts, and then for requests of other members.
	drainTimeout  = time.Second
	finishTimeout = 250 * time.Millisecond
	// recheckEvery is how often, at a time scale of 1, the member looks for changes that
	// end connections between members.
	recheckEvery = 100 * time.Millisecond
)

// The errors of Start and Ended about the data directory.
type (
	StorageError       = raftlog.StorageError
	ContradictionError = raftlog.ContradictionError
	EmptyError         = raftlog.EmptyError
	GoBackError        = raftlog.GoBackError
)

// ErrRemoved is the error of a member that was removed from its group.
var ErrRemoved = raftlog.ErrRemoved

// ErrHasVote is the error of Start for a member that is to have no vote and has one.
var ErrHasVote = errors.New("this frontend has a vote, which it keeps for as long as it is in its group")

// TwinError is the error of a member whose data another process uses, too: one of the two
// directories is a copy.
type TwinError struct {
	Dir  string
	Addr string // where the other process answers
}

func (e *TwinError) Error() string {
	return fmt.Sprintf("another process with the data of this frontend answers at %s: one of the two directories "+
		"is a copy, and two processes must not vote as one member; if this is the copy, delete %s, "+
		"and let the frontend join with an empty directory and an id of its own", e.Addr, e.Dir)
}

// Member is a member of the group. It is safe for concurrent use. Its exported methods
// are those of its parts, and the few here.
type Member struct {
	*replica
	reader
	*readiness
	*poster
	forwarder
	*certify.Voucher
	*accessControl
	*membership
	*transfers

	rounds     *readindex.Rounds
	polls      *poll.Reader
	transport  *peer.Transport
	auth       *peer.Authenticator // nil in an insecure group
	sworn      *sworn.Knowledge    // as auth
	certifier  *certify.Certifier  // as auth
	putOut     *putOut             // as auth
	pushes     *push.Receiver
	roster     *status.Roster
	source     *status.Source
	poller     *status.Poller
	divergence *status.DivergenceCheck
	elections  *elections
	proposer   *proposer
	issuer     *enroll.Issuer
}

// Start opens the data directory and takes part in the group. It returns before there is
// a master. Close must be called.
func Start(opts Options) (*Member, error) {
	if opts.TimeScale == 0 {
		opts.TimeScale = 1
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	r := &replica{
		opts: opts, log: opts.Logger, clock: opts.hooks.clock, metrics: metrics.New(opts.Metrics),
		stopped: make(chan struct{}), ended: make(chan error, 1),
	}
	if r.clock == nil {
		r.clock = boottime.Now
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	m := &Member{replica: r}
	if err := m.start(); err != nil {
		if _, failed := errors.AsType[*StorageError](err); failed {
			go m.release() // it may hang
			return nil, err
		}
		return nil, errors.Join(err, m.release())
	}
	return m, nil
}

func (m *Member) start() (err error) {
	o := m.storeOptions()
	o.Rewritten = func(err error) error { return m.putOut.rewritten(err) }
	if m.storage, err = raftlog.Open(o); err != nil {
		return err
	}
	m.self = m.storage.ServerID()
	if i := m.opts.Identity; i != nil && i.Member != string(m.self) {
		return fmt.Errorf("the certificate is for %q, but the data in %s is of %q", i.Member, m.opts.Dir, m.self)
	}
	if m.machine, err = m.storage.OpenMachine(); err != nil {
		return err
	}
	if m.opts.Identity != nil {
		if err = m.startAuth(); err != nil {
			return err
		}
	}
	m.port, err = peer.Listen(peer.Config{
		Address: m.opts.Peer, Bind: m.opts.PeerListen, ServerID: m.self, Auth: m.auth, Needs: protocolNeeds,
		Dial: m.opts.hooks.dial, Listen: m.opts.hooks.listen, HandshakeTimeout: m.opts.hooks.handshakeTimeout,
	})
	if err != nil {
		return fmt.Errorf("listen for the other members: %w", err)
	}
	m.opts.Peer = m.port.Addr().String()
	// Before Raft: the frontend counts the time of its leases from the start of the
	// process.
	m.frontend = cache.NewFrontend(answersBytes, m.clock, m.opts.hooks.mutation)
	reports := status.NewReports(m.scaled)
	elected := make(chan bool, 16)
	if err = m.startRaft(m.raftConfig(elected), reports); err != nil {
		return err
	}
	m.auth.Open()
	m.leader = status.NewLeaderWatch(m.raft)
	m.wire(reports)
	m.registerGauges()
	m.runAll(elected)
	return nil
}

// startAuth makes what authenticates the members of a secure group.
func (m *Member) startAuth() (err error) {
	if m.witness, err = sworn.WitnessKey(m.opts.Dir); err != nil {
		return err
	}
	m.sworn, err = sworn.Open(sworn.Config{
		Dir: m.opts.Dir, ID: m.opts.ID, Founder: m.opts.Sworn.Founder, Witness: m.witness, Access: m.machine.Access,
		Revision: m.machine.Revision, Every: m.scaled(recheckEvery), End: m.end, Logger: m.log,
	})
	if err != nil {
		return err
	}
	m.putOut = m.newPutOut()
	m.auth = peer.NewAuthenticator(peer.AuthConfig{
		Identity: m.opts.Identity, Servers: m.servers, Leader: m.followed, Access: m.machine.Access,
		Witness: m.witness, Sworn: m.sworn.State, Distrusts: m.putOut.keeper.Distrusts,
		Shuns: m.putOut.keeper.Shuns, Refused: m.metrics.PeerRefused, Logger: m.log,
	})
	m.certifier, err = m.newCertifier()
	m.putOut.certifier = m.certifier
	return err
}

// wire creates the parts of the member and connects them.
func (m *Member) wire(reports *status.Reports) {
	r := m.replica
	m.proposer = &proposer{replica: r}
	m.accessControl = &accessControl{r, m.proposer}
	m.elections = &elections{r, m.accessControl, m.pushConfig()}
	m.poster.access, m.poster.proposer = m.accessControl, m.proposer
	m.forwarder = forwarder{r}
	m.reader = reader{r}
	m.Voucher = certify.NewVoucher(m.machine, m.opts.ID, m.witness)
	m.rounds = readindex.New(readindex.Config{
		Context: m.ctx, Self: m.self, Raft: m.raft, Port: m.port, Epoch: m.servingEpoch,
		Timeout: cmp.Or(m.opts.hooks.roundTimeout, m.scaled(roundTimeout)), Began: m.metrics.Rounds,
	})
	m.pushes = push.NewReceiver(m.ctx, m.elections.pushConfig)
	m.polls = poll.NewReader(m.pollConfig())

	m.poller = status.NewPoller(&status.Poller{
		Reports: reports, Source: m.source, Port: m.port, Every: m.scaled(status.PollEvery),
		Timeout: m.scaled(forwardTimeout), Foreign: m.metrics.ForeignAnswers, Logger: m.log,
		Twin: func(addr string) { m.end(&TwinError{m.opts.Dir, addr}) },
	})
	m.readiness = &readiness{replica: r, rounds: m.rounds, roster: m.roster, poller: m.poller}
	m.divergence = &status.DivergenceCheck{
		Source: m.source, Reports: reports, Logger: m.log,
		Diverged: func(reason string) { m.end(m.diverged(reason)) },
	}
	m.transfers = &transfers{r, m.poller, m.proposer}
	m.issuer = m.newIssuer(reports)
	m.membership = &membership{
		replica: r, access: m.accessControl, auth: m.auth, poller: m.poller, transfers: m.transfers,
		issuer: m.issuer, changing: make(chanMutex, 1),
	}
}

func (m *Member) newIssuer(reports *status.Reports) *enroll.Issuer {
	return &enroll.Issuer{
		Self: m.self, Auth: m.auth, Port: m.port, ValidID: validID,
		IsMaster:     func() bool { return m.leadership() != nil },
		OtherMaster:  func() string { return m.leader.Other(m.opts.Peer) },
		ChangeAccess: m.ChangeAccess,
		IsVoter: func(id raft.ServerID) (voter, known bool) {
			s, in, leads := m.committed(id)
			return in && s.Suffrage == raft.Voter, leads
		},
		Connected: func(id raft.ServerID) bool {
			l := m.elected.Load()
			return id == m.self || l != nil && l.push.Connected(id)
		},
		Certificates: func(id raft.ServerID) (enroll.Certificates, bool) {
			s, fresh := reports.Last(id)
			return s.Certificates, fresh
		},
	}
}

func (m *Member) pollConfig() poll.Config {
	return poll.Config{
		Context: m.ctx, Machine: m.machine, Frontend: m.frontend, Port: m.port, Leader: m.leader, Rounds: m.rounds,
		Clock: m.clock, Bytes: answersBytes, Timeout: m.scaled(poll.Timeout), MasterTimeout: m.scaled(masterTimeout),
		Leads: m.Master, Mode: m.CacheMode, Polls: m.metrics.Polls, Age: m.metrics.PulledAge,
		Released: func(ctx context.Context, revision uint64) bool {
			l := m.leadership()
			return l != nil && l.push.AwaitReleased(ctx, revision)
		},
	}
}

func (m *Member) pushConfig() push.Config {
	return push.Config{
		Self: m.self, Raft: m.raft, Log: m.storage.Log, Machine: m.machine, Frontend: m.frontend,
		Port: m.port, Transport: m.transport, Clock: m.clock, Timings: m.timings(), Mutation: m.opts.hooks.mutation,
		Scale: m.scaled, Go: m.run, StreamsLost: m.metrics.StreamsLost, LeasesWithheld: m.metrics.LeasesWithheld,
		HellosRefused: m.metrics.HellosRefused, Logger: m.log,
	}
}

// runAll starts the goroutines of the parts.
func (m *Member) runAll(elected <-chan bool) {
	removal := &status.RemovalCheck{
		Source: m.source, Reports: m.poller.Reports, Logger: m.log, Removed: func() { m.end(ErrRemoved) },
	}
	presence := status.NewPresence(status.Presence{
		Source: m.source, Reports: m.poller.Reports, Up: m.metrics.MembersUp, Every: m.scaled(status.PollEvery),
		Master: m.Master, Stopping: m.stopping.Load, Logger: m.log,
	})
	joining := &join.Loop{
		URLs: m.opts.Join, Voter: !m.opts.Nonvoter, Source: m.source, Poller: m.poller, Leader: m.leader,
		Leads: m.Master, Add: m.Join, End: m.end, Scale: m.scaled, Logger: m.log,
	}
	m.port.HandlePush(m.pushes.Serve)
	m.run(func() { m.elections.run(elected) })
	m.run(func() {
		m.poller.Run(m.ctx, func() {
			removal.Run()
			m.divergence.Run()
			m.source.Gate.Run()
			presence.Run()
		})
	})
	m.run(m.polls.Run)
	m.run(func() { m.storage.WatchDisk(m.ctx, m.scaled(diskCheckEvery)) })
	m.run(m.boundLog)
	m.run(func() { m.pushes.Hints.Run(m.ctx) })
	m.run(func() { joining.Run(m.ctx) })
	if m.opts.Identity != nil {
		renewer := &enroll.Renewer{Issuer: m.issuer, Timeout: m.scaled(enroll.RenewTimeout)}
		m.run(func() { m.port.RecheckLoop(m.ctx, m.scaled(recheckEvery)) })
		m.run(func() { m.sworn.Run(m.ctx) })
		m.run(func() { m.certifier.Run(m.ctx) })
		m.run(m.putOut.run)
		m.run(m.putOut.scrub)
		m.run(func() { renewer.Run(m.ctx) })
	}
}

// ID returns the member's id.
func (m *Member) ID() string { return m.opts.ID }

// Peer returns the address on which the other members reach this one.
func (m *Member) Peer() string { return m.opts.Peer }

// Lineage returns the lineage of the store, which signatures name; "" until this member
// knows it.
func (m *Member) Lineage() string { return m.machine.Lineage() }

// Incarnation returns the incarnation of the store; "" until this member knows it.
func (m *Member) Incarnation() string { return m.machine.Incarnation() }

// Epoch returns the Raft term.
func (m *Member) Epoch() uint64 { return m.raft.CurrentTerm() }

// Master reports whether this member believes to be the master. Only a round of package
// readindex proves it.
func (m *Member) Master() bool { return m.leadership() != nil }

// Frontends returns the group as this member sees it.
func (m *Member) Frontends() score.Frontends {
	m.poller.Look()
	f := m.source.Frontends(m.poller.Reports, m.CacheMode())
	f.KeyHolders = m.machine.Access().KeyHolders()
	m.putOut.show(&f)
	return f
}

// Pull returns the answer to key in pull mode; see poll.Reader.Pull.
func (m *Member) Pull(ctx context.Context, key string) (*cache.Entry, string, time.Duration, error) {
	return m.polls.Pull(ctx, key)
}

// Carry sets the function that returns the load of this frontend, which others see.
func (m *Member) Carry(load func() score.Load) { m.source.SetLoad(load) }

// Removed reports whether a server, id@instance, was a member of a secure group and is
// not one now, as far as this member knows.
func (m *Member) Removed(member string) bool { return m.auth.Removed(raft.ServerID(member)) }

// CallerOf returns the name, id@instance, of the member that a verified certificate is for.
// joins is true if it permits only to join. The error says why it permits nothing.
func (m *Member) CallerOf(c *x509.Certificate) (name string, joins bool, err error) {
	h, err := pki.HolderOf(c)
	if err != nil {
		return "", false, err
	}
	switch m.auth.Role(h) {
	case pki.NoRole:
		return "", false, ErrRemoved
	case pki.Joiner:
		joins = true
	}
	return h.Member, joins, nil
}

// Verifier returns the verifier of signatures, for events that are about to be posted.
func (m *Member) Verifier() *signing.Verifier { return m.machine.Verifier() }

// Certifier returns this member's part in certificates; nil in an insecure group.
func (m *Member) Certifier() *certify.Certifier { return m.certifier }

// Issuer returns the issuer of the group's certificates.
func (m *Member) Issuer() *enroll.Issuer { return m.issuer }

// Ended returns a channel that gets one error when the member cannot go on: ErrRemoved, a
// *StorageError, a *ContradictionError, a *GoBackError, or the refusal of the group that it wants to
// join. The program must then end.
func (m *Member) Ended() <-chan error { return m.ended }

// ServeForwarded sets the handler of requests that other members forward to this one, and
// the function that finds the question for a polled key. It must be called once.
func (m *Member) ServeForwarded(h http.Handler, parse queries.Parse) {
	m.polls.Parse = parse
	m.port.HandleHTTP(m.peerHandler(h), m.log)
}

// writePeerError answers a call of another member with an error.
func (r *replica) writePeerError(w http.ResponseWriter, req *http.Request, err error) {
	p, ok := errors.AsType[*score.Problem](err)
	if !ok {
		r.log.Warn("a call of another member failed", "path", req.URL.Path, "err", err)
		p = score.Problemf(score.InvalidEvent, "%s", err)
	}
	peer.WriteProblem(w, p)
}

// Close stops the member, which stays in the group. A master should HandOver first. Posts
// in flight are finished, for at most a second. If the disk hangs, Close waits for it.
func (m *Member) Close() error {
	m.Stopping()
	m.poster.batcher.Close(m.scaled(drainTimeout))
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

// closeMachine closes the state machine. If the disk fails, it returns a *StorageError:
// the database is rebuilt at the next start, but the disk should be checked first.
func (r *replica) closeMachine() error {
	err := r.machine.Close()
	if _, failed := errors.AsType[*database.DiskError](err); failed {
		return &StorageError{Dir: r.opts.Dir, Err: err}
	}
	return err
}

// failApply ends the member because its state machine cannot go on. An entry that cannot
// be read is not the disk's fault, and checking the disk would not help.
func (r *replica) failApply(err error) {
	if _, unreadable := errors.AsType[*fsm.EntryError](err); unreadable {
		r.end(err)
		return
	}
	r.fail(err)
}
