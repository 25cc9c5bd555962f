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
	"laurel/cluster/disk"
	"laurel/cluster/enroll"
	"laurel/cluster/forward"
	"laurel/cluster/internal/boottime"
	"laurel/cluster/join"
	"laurel/cluster/metrics"
	"laurel/cluster/peer"
	"laurel/cluster/poll"
	"laurel/cluster/push"
	"laurel/cluster/raftlog"
	"laurel/cluster/readindex"
	"laurel/cluster/spotcheck"
	"laurel/cluster/standing"
	"laurel/cluster/status"
	"laurel/cluster/sworn"
	"laurel/cluster/upgrade"
	"laurel/internal/address"
	"laurel/score"
	"laurel/trust/access"
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

// FormatError is the error of Start and Ended about data, or a group, in a format that this
// version does not read.
type FormatError = access.FormatError

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
	*archivist
	*readiness
	*poster
	*forward.Forwarder
	*certify.Voucher
	*accessControl
	*membership
	*transfers
	*drains

	rounds     *readindex.Rounds
	polls      *poll.Reader
	transport  *peer.Transport
	auth       *peer.Authenticator // nil in an insecure group
	sworn      *sworn.Knowledge    // as auth
	certifier  *certify.Certifier  // as auth
	enforcer   *standing.Enforcer  // as auth
	checker    *spotcheck.Checker  // as auth
	pushes     *push.Receiver
	roster     *status.Roster
	moved      *status.Moved
	source     *status.Source
	poller     *status.Poller
	removal    *status.RemovalCheck
	divergence *status.DivergenceCheck
	elections  *elections
	proposer   *proposer
	issuer     *enroll.Issuer
	raiser     *upgrade.Raiser
	disk       *disk.Watch
	refuses    bool // whether posts were refused for lack of room after the last poll
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
	places, err := address.ParsePlaces(opts.Join)
	if err != nil {
		return nil, err
	}
	r := &replica{
		opts: opts, places: places, log: opts.Logger, clock: opts.hooks.clock, metrics: metrics.New(opts.Metrics),
		stopped: make(chan struct{}), ended: make(chan error, 1), drained: make(chan struct{}, 1),
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
	o.Rewritten = func(err error) error { return m.enforcer.Unproven(err.Error()) }
	o.Cosigned = func() uint64 { return m.enforcer.CosignedIndex() }
	if m.storage, err = raftlog.Open(o); err != nil {
		return err
	}
	m.self, m.disk = m.storage.ServerID(), m.newDiskWatch()
	if i := m.opts.Identity; i != nil && i.Member != string(m.self) {
		return fmt.Errorf("the certificate is for %q, but the data in %s is of %q", i.Member, m.opts.Dir, m.self)
	}
	if m.machine, err = m.storage.OpenMachine(); err != nil {
		return err
	}
	if err = m.checkLineage(); err != nil {
		return err
	}
	if format := m.machine.Access().Settings.Format(); format > m.opts.maxFormat() {
		return &FormatError{What: "the group of the data in " + m.opts.Dir, Format: format, Newest: m.opts.maxFormat()}
	}
	if m.opts.Identity != nil {
		if err = m.startAuth(); err != nil {
			return err
		}
	}
	m.moved = &status.Moved{Servers: m.servers, Master: func() bool { return m.followed() != "" }}
	m.port, err = peer.Listen(peer.Config{
		Address: m.opts.Peer, Bind: m.opts.PeerListen, ServerID: m.self, Auth: m.auth, Needs: protocolNeeds,
		Moved: m.moved.Of, Dial: m.opts.hooks.dial, Listen: m.opts.hooks.listen,
		HandshakeTimeout: m.opts.hooks.handshakeTimeout,
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
	m.membership.health.Register(m.opts.Metrics)
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
	m.enforcer, m.checker = m.newEnforcer(), m.newChecker()
	m.auth = peer.NewAuthenticator(peer.AuthConfig{
		Identity: m.opts.Identity, Servers: m.servers, Leader: m.followed, Access: m.machine.Access,
		Witness: m.witness, Sworn: m.sworn.State, Distrusts: m.enforcer.Keeper.Distrusts,
		Shuns: m.enforcer.Keeper.Shuns, Refused: m.metrics.PeerRefused, Logger: m.log,
	})
	if m.certifier, err = m.newCertifier(); err != nil {
		return err
	}
	m.enforcer.Certifier = m.certifier
	m.machine.AtRounds(cmp.Or(m.opts.hooks.digestEvery, certify.DigestEvery), m.certifier.Digest)
	return nil
}

// runAll starts the goroutines of the parts.
func (m *Member) runAll(elected <-chan bool) {
	presence := status.NewPresence(status.Presence{
		Source: m.source, Reports: m.poller.Reports, Up: m.metrics.MembersUp, Every: m.scaled(status.PollEvery),
		Master: m.Master, Stopping: m.stopping.Load, Logger: m.log,
	})
	joining := &join.Loop{
		Places: m.places, Voter: !m.opts.Nonvoter, Replace: m.opts.Replace, Source: m.source, Poller: m.poller,
		Leader: m.leader, Leads: m.Master, Add: m.Join, End: m.end, Scale: m.scaled, Logger: m.log,
	}
	m.port.HandlePush(m.pushes.Serve)
	m.run(func() { m.elections.run(elected) })
	m.run(func() {
		m.poller.Run(m.ctx, func() {
			m.removal.Run()
			m.divergence.Run()
			m.source.Gate.Run()
			presence.Run()
			m.membership.health.Run()
			m.raiser.Run()
			m.watchRoom()
		})
	})
	m.run(m.polls.Run)
	m.run(func() { m.keepFollowing(m.ctx) })
	m.run(func() { m.disk.Run(m.ctx, m.scaled) })
	m.run(m.boundLog)
	m.run(func() { m.pushes.Hints.Run(m.ctx) })
	m.run(func() { joining.Run(m.ctx) })
	if m.opts.Identity != nil {
		renewer := &enroll.Renewer{Issuer: m.issuer, Timeout: m.scaled(enroll.RenewTimeout)}
		m.run(func() { m.port.RecheckLoop(m.ctx, m.scaled(recheckEvery)) })
		m.run(func() { m.sworn.Run(m.ctx) })
		m.run(func() { m.certifier.Run(m.ctx) })
		m.run(func() { m.enforcer.Run(m.ctx) })
		m.run(func() { m.checker.Run(m.ctx) })
		m.run(func() { m.enforcer.Scrub(m.ctx) })
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

// Revision returns the revision of the last event that this member has applied, which readers
// may not see yet.
func (m *Member) Revision() uint64 { return m.machine.Revision() }

// Incarnation returns the incarnation of the store; "" until this member knows it.
func (m *Member) Incarnation() string { return m.machine.Incarnation() }

// Former returns the incarnations that the store had before, as far as they are remembered.
func (m *Member) Former() []string { return m.machine.Access().Former }

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
	m.enforcer.Show(&f)
	m.membership.health.Show(&f)
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
// *StorageError, a *ContradictionError, a *GoBackError, or the refusal of the group that
// it wants to join. The program must then end.
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
