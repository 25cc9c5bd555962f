package peer

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// recheckGrace is how long a connection stays open after its certificate, as it was at
// the handshake, is no longer accepted. The member has another one by now, and requests
// under way on the connection need not be broken off.
const recheckGrace = time.Second

// Reasons of laurel_peer_refused_total, besides those of package trust.
const (
	reasonRemoved   = "removed"   // the peer was a member
	reasonHandshake = "handshake" // the peer does not speak TLS, or went away
	reasonCrowded   = "crowded"   // see MaxHandshakes
)

var (
	errRemoved = errors.New("the member was removed from the group")
	errCrowded = errors.New("too many connections wait for a handshake")
)

// AuthConfig configures an Authenticator. Its functions are called by any goroutine.
type AuthConfig struct {
	Identity *pki.Identity
	Servers  func() []raft.Server // the latest configuration; first called after Open
	Leader   func() raft.ServerID // that Raft follows, or this member if it leads; "" for none
	Access   func() *access.State // the applied access control
	// Witness is this member's own key, with which it says hello; nil for a member without.
	Witness ed25519.PrivateKey
	// Sworn returns the access control of a sworn group, as far as this member has ever known
	// it; nil for another group.
	Sworn func() *access.State
	// Distrusts returns why nothing of Raft and of the push protocol is taken that a member
	// begins, and Shuns why it is not spoken with at all; nil if it is. Both are nil in a
	// group in which nobody is put out.
	Distrusts, Shuns func(name string) error
	Refused          *prometheus.CounterVec
	Logger           *slog.Logger
}

// Authenticator checks the certificates of connections between members, in both
// directions. The dialing member checks that it reached the member that it meant. The
// accepting member takes the certificate of anybody whom the group has given one and who
// was not removed; what it may do is its role, see Role.
//
// All methods may be called on nil, which authenticates nobody, and by any goroutine.
type Authenticator struct {
	AuthConfig
	server   *tls.Config
	opened   chan struct{} // closed by Open
	refusals *Refusals
	trusted  atomic.Pointer[access.State] // the access control whose authorities are trusted
	pending  pendingConns
}

// NewAuthenticator returns an Authenticator that admits nobody before Open.
func NewAuthenticator(c AuthConfig) *Authenticator {
	return &Authenticator{
		AuthConfig: c, server: c.Identity.PeerServerConfig(), opened: make(chan struct{}),
		refusals: NewRefusals(c.Refused, c.Logger,
			pki.NoCertificate, pki.WrongAuthority, pki.Expired, pki.NotMember, pki.WrongMember, pki.WrongRole,
			reasonRemoved, reasonHandshake, reasonCrowded, reasonWitness, reasonPutOut),
	}
}

// Open admits other members. Raft knows the configuration by now.
func (a *Authenticator) Open() {
	if a != nil {
		close(a.opened)
	}
}

// UpdateTrust makes the identity trust the authorities that the store trusts.
func (a *Authenticator) UpdateTrust() {
	if a == nil {
		return
	}
	access := a.Access()
	if a.trusted.Swap(access) == access || len(access.Authorities) == 0 {
		return
	}
	if err := a.Identity.SetTrusted(access.Authorities); err != nil {
		a.Logger.Warn("could not store the authorities that the group trusts", "err", err)
	}
}

// Removed reports whether a server was a member and is not one now, as far as this member
// knows.
func (a *Authenticator) Removed(id raft.ServerID) bool {
	if a == nil {
		return false
	}
	if _, was := a.Access().Removed[string(id)]; !was {
		return false
	}
	_, in := Find(a.Servers(), id)
	return !in
}

// memberAt returns the member at a peer address; "" if none is known.
func (a *Authenticator) memberAt(addr string) raft.ServerID {
	if a != nil {
		for _, s := range a.Servers() {
			if string(s.Address) == addr {
				return s.ID
			}
		}
	}
	return ""
}

// clientHandshake authenticates this member and the member to, or any member if to is "",
// on a dialed connection.
func (a *Authenticator) clientHandshake(ctx context.Context, c *conn, to raft.ServerID) error {
	if a == nil {
		return nil
	}
	a.UpdateTrust()
	ctx, cancel := context.WithTimeout(ctx, HandshakeTimeout)
	defer cancel()
	t := tls.Client(c.raw, a.Identity.PeerClientConfig(string(to)))
	if err := t.HandshakeContext(ctx); err != nil {
		// Network errors are frequent and harmless here, so only refused certificates
		// count.
		if reason := refusalReason(err); reason != reasonHandshake {
			a.refuse(reason, c.raw.RemoteAddr(), err)
		}
		return fmt.Errorf("TLS handshake: %w", err)
	}
	return a.setPeer(c, t)
}

// serverHandshake authenticates this member and the dialing one on an accepted
// connection.
func (a *Authenticator) serverHandshake(ctx context.Context, c *conn, deadline time.Time) error {
	if a == nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	select {
	case <-a.opened:
	case <-ctx.Done():
		return ctx.Err()
	}
	a.UpdateTrust()
	t := tls.Server(c.raw, a.server)
	if err := t.HandshakeContext(ctx); err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) { // else this port is being closed
			a.refuse(refusalReason(err), c.raw.RemoteAddr(), err)
		}
		return err
	}
	if err := a.setPeer(c, t); err != nil {
		return err
	}
	if a.Role(c.peer) > pki.Joiner {
		a.pending.remember(c)
	}
	return nil
}

// setPeer stores the outcome of a handshake.
func (a *Authenticator) setPeer(c *conn, t *tls.Conn) error {
	peer, err := a.Identity.Verify(t.ConnectionState().PeerCertificates)
	if err != nil {
		return err
	}
	c.port.mu.Lock()
	defer c.port.mu.Unlock()
	c.Conn, c.tls, c.peer = t, t, peer
	return nil
}

// refusalReason returns the reason under which an error of a certificate is counted.
func refusalReason(err error) string {
	if r := (*pki.CertificateError)(nil); errors.As(err, &r) {
		return r.Reason
	}
	return reasonHandshake
}

// addPending counts a connection as pending until the returned function is called. It
// closes another one where there are too many.
func (a *Authenticator) addPending(c *conn) (done func()) {
	if a == nil {
		return func() {}
	}
	if closed := a.pending.add(c, a.configured); closed != nil {
		a.refuse(reasonCrowded, closed.raw.RemoteAddr(), errCrowded)
		closed.Close()
	}
	return func() { a.pending.remove(c) }
}

// configured returns the addresses of members that the configuration has as addresses.
// Those of members that it has by name are learned when they connect.
func (a *Authenticator) configured() (list []netip.Addr) {
	select {
	case <-a.opened:
	default:
		return nil // Servers cannot be called yet
	}
	for _, s := range a.Servers() {
		if ap, err := netip.ParseAddrPort(string(s.Address)); err == nil {
			list = append(list, ap.Addr().Unmap())
		}
	}
	return list
}

// refuse counts and logs a refusal. A peer that went away, as a member that stops, is not
// worth a warning.
func (a *Authenticator) refuse(reason string, remote net.Addr, err error) {
	level := slog.LevelWarn
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		level = slog.LevelInfo
	}
	a.refusals.Note(level, reason, "refused a connection between members",
		"remote", remote, "err", err)
}

// Recheck closes the connections of members that were removed or put out, and those whose
// certificates are no longer accepted. It reports whether some of the latter stay open
// for recheckGrace.
func (p *Port) Recheck() (pending bool) {
	auth := p.config.Auth
	if auth == nil {
		return false
	}
	auth.UpdateTrust()
	p.putOutConns()
	p.mu.Lock()
	open := make([]*conn, 0, len(p.open))
	for c := range p.open {
		if c.tls != nil {
			open = append(open, c)
		}
	}
	p.mu.Unlock()
	now := time.Now()
	for _, c := range open {
		reason, err := reasonRemoved, errRemoved
		var strange error
		if h := c.witness.Load(); h != nil { // otherwise admitWitness will look at it
			strange = auth.checkWitness(c.peer, h)
		}
		if strange != nil {
			reason, err = reasonWitness, strange
		} else if !auth.Removed(raft.ServerID(c.peer.Member)) {
			if _, err = auth.Identity.Verify(c.tls.ConnectionState().PeerCertificates); err == nil {
				continue
			}
			c.rejectedSince.CompareAndSwap(0, now.UnixNano())
			if now.UnixNano()-c.rejectedSince.Load() < int64(recheckGrace) {
				pending = true
				continue
			}
			reason = refusalReason(err)
		}
		auth.refuse(reason, c.raw.RemoteAddr(), err)
		c.Close()
	}
	return pending
}

// RequireMember returns a handler that passes on to h the requests of those who have a
// certificate. Requests of members that were removed go to removed.
func (a *Authenticator) RequireMember(h http.Handler, removed http.HandlerFunc) http.Handler {
	if a == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := raft.ServerID(FromContext(r.Context()))
		switch {
		case id == "":
			WriteProblem(w, score.Problemf(score.Unauthorized, "members must present their certificate"))
		case a.Removed(id):
			a.refuse(reasonRemoved, Addr(r.RemoteAddr), errRemoved)
			removed(w, r)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// reverifyEvery is how often RecheckLoop checks the connections in any case: certificates
// expire.
const reverifyEvery = time.Minute

// RecheckLoop rechecks the connections until ctx ends. It looks for changes of the
// configuration and of the access control at each period.
func (p *Port) RecheckLoop(ctx context.Context, period time.Duration) {
	tick := time.Tick(period)
	var servers []raft.Server
	var state *access.State
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		newServers, newState := p.config.Auth.Servers(), p.config.Auth.Access()
		if newState == state && slices.Equal(servers, newServers) && time.Since(last) < reverifyEvery {
			continue
		}
		servers, state, last = newServers, newState, time.Now()
		if p.Recheck() {
			last = time.Time{}
		}
	}
}
