package cluster

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// In a secure group members know each other by their certificates. Whoever dials checks that it reached the member that it meant. Whoever is
// dialed takes any member's certificate but that of one who was removed: it may have been asleep while others joined, and could not learn of
// them from anybody else. Only removals are final, and they are in the store; see access.State.

const (
	// maxHandshakes bounds the connections that have not said yet whose they are. The oldest goes when one more comes: a member has said so
	// within milliseconds, a stranger who opens connections to keep others out has not.
	maxHandshakes = 128
	// reviewEvery is how often the open connections are looked at, at a time scale of 1, if something has changed.
	reviewEvery = 100 * time.Millisecond
	// reverifyEvery is how often they are looked at in any case: certificates end.
	reverifyEvery = time.Minute
	// reviewGrace is for how long a connection of a member goes on whose certificate, as it was at the handshake, is accepted no more: the member
	// has another one, and what is under way need not be broken off.
	reviewGrace = time.Second
	// refusalPause is the shortest time between two lines of the log about refusals for the same reason.
	refusalPause = 10 * time.Second
)

// Reasons of laurel_peer_refused_total, besides those of package trust.
const (
	reasonRemoved   = "removed"   // it was a member
	reasonHandshake = "handshake" // it does not speak TLS, or went away
	reasonCrowded   = "crowded"   // see maxHandshakes
)

var errRemovedPeer = errors.New("the member was removed from the group")

// secure guards a port. All methods may be called on nil, where nobody authenticates.
type secure struct {
	identity *pki.Identity
	answers  *tls.Config
	metric   *prometheus.CounterVec
	log      *slog.Logger
	servers  func() []raft.Server
	access   func() *access.State
	ready    chan struct{} // closed when servers may be called

	mu      sync.Mutex
	known   *access.State // whose authorities are trusted
	pending *list.List    // of *conn
	said    map[string]saidRefusal
}

type saidRefusal struct {
	at     time.Time
	unsaid int
}

func (m *Member) newSecure() *secure {
	if m.opts.Identity == nil {
		return nil
	}
	for _, reason := range []string{pki.NoCertificate, pki.WrongAuthority, pki.Expired, pki.NotMember, pki.WrongMember, reasonRemoved, reasonHandshake, reasonCrowded} {
		m.metrics.peerRefused.WithLabelValues(reason) // shown from the beginning
	}
	return &secure{identity: m.opts.Identity, answers: m.opts.Identity.PeerServerConfig(), metric: m.metrics.peerRefused, log: m.log, servers: m.servers,
		access: m.machine.Access, ready: make(chan struct{}), pending: list.New(), said: map[string]saidRefusal{}}
}

// begin lets others in: Raft knows the members now.
func (s *secure) begin() {
	if s != nil {
		close(s.ready)
	}
}

// learn trusts whom the store trusts.
func (s *secure) learn() {
	now := s.access()
	s.mu.Lock()
	known := s.known
	s.known = now
	s.mu.Unlock()
	if known == now || len(now.Authorities) == 0 {
		return
	}
	if err := s.identity.SetTrusted(now.Authorities); err != nil {
		s.log.Warn("could not note whom the group trusts", "error", err)
	}
}

// livesAt is the member at a peer address, as far as is known; "" if nobody is.
func (s *secure) livesAt(addr string) raft.ServerID {
	if s != nil {
		for _, one := range s.servers() {
			if string(one.Address) == addr {
				return one.ID
			}
		}
	}
	return ""
}

// removed tells whether somebody was a member and is none any more.
func (s *secure) removed(id raft.ServerID) bool {
	if s == nil {
		return false
	}
	if _, was := s.access().Removed[string(id)]; !was {
		return false
	}
	return !slices.ContainsFunc(s.servers(), func(one raft.Server) bool { return one.ID == id })
}

// Removed tells whether somebody, id@instance, was a member of a secure group and is none any more, as far as this member knows.
func (m *Member) Removed(member string) bool { return m.port.secure.removed(raft.ServerID(member)) }

// ask shakes hands with the member that to names, or with any if it is "".
func (s *secure) ask(ctx context.Context, c *conn, to raft.ServerID) error {
	if s == nil {
		return nil
	}
	s.learn()
	ctx, cancel := context.WithTimeout(ctx, helloLimit)
	defer cancel()
	t := tls.Client(c.raw, s.identity.PeerClientConfig(string(to)))
	if err := t.HandshakeContext(ctx); err != nil {
		if r := (*pki.CertificateError)(nil); errors.As(err, &r) {
			s.refused(r.Reason, c.raw.RemoteAddr(), err)
		}
		return fmt.Errorf("the handshake failed: %w", err)
	}
	return s.shaken(c, t)
}

// answer shakes hands with whoever has dialed.
func (s *secure) answer(ctx context.Context, c *conn, limit time.Time) error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	select {
	case <-s.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.learn()
	t := tls.Server(c.raw, s.answers)
	if err := t.HandshakeContext(ctx); err != nil {
		reason := reasonHandshake
		if r := (*pki.CertificateError)(nil); errors.As(err, &r) {
			reason = r.Reason
		}
		s.refused(reason, c.raw.RemoteAddr(), err)
		return err
	}
	return s.shaken(c, t)
}

func (s *secure) shaken(c *conn, t *tls.Conn) error {
	peer, err := s.identity.Verify(t.ConnectionState().PeerCertificates)
	if err != nil {
		return err
	}
	c.port.mu.Lock()
	defer c.port.mu.Unlock()
	c.Conn, c.secure, c.peer = t, t, raft.ServerID(peer)
	return nil
}

// enter counts a connection that has not said yet whose it is, until leave is called.
func (s *secure) enter(c *conn) (leave func()) {
	if s == nil {
		return func() {}
	}
	s.mu.Lock()
	e := s.pending.PushBack(c)
	var oldest *conn
	if s.pending.Len() > maxHandshakes {
		oldest = s.pending.Remove(s.pending.Front()).(*conn)
	}
	s.mu.Unlock()
	if oldest != nil {
		s.refused(reasonCrowded, oldest.raw.RemoteAddr(), errors.New("too many connections wait for a handshake"))
		oldest.Close()
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pending.Remove(e)
	}
}

// refused counts a refusal, and logs it if none was logged for the same reason a moment ago.
func (s *secure) refused(reason string, from net.Addr, err error) {
	s.metric.WithLabelValues(reason).Inc()
	now := time.Now()
	s.mu.Lock()
	last := s.said[reason]
	quiet := !last.at.IsZero() && now.Sub(last.at) < refusalPause
	if quiet {
		last.unsaid++
		s.said[reason] = last
	} else {
		s.said[reason] = saidRefusal{at: now}
	}
	s.mu.Unlock()
	if quiet {
		return
	}
	why := err.Error()
	s.log.Warn("a connection between members was refused", "reason", reason, "with", from, "error", why[:min(len(why), 300)], "unsaid", last.unsaid)
}

// review closes the connections of those who are no members any more, and those made with certificates that are accepted no more. More tells
// that it left some open for a moment, for what is under way on them.
func (p *port) review() (more bool) {
	if p.secure == nil {
		return false
	}
	p.secure.learn()
	p.mu.Lock()
	open := make([]*conn, 0, len(p.open))
	for c := range p.open {
		if c.secure != nil {
			open = append(open, c)
		}
	}
	p.mu.Unlock()
	now := time.Now()
	for _, c := range open {
		reason, err := reasonRemoved, errRemovedPeer
		if !p.secure.removed(c.peer) {
			if _, err = p.secure.identity.Verify(c.secure.ConnectionState().PeerCertificates); err == nil {
				continue
			}
			c.condemned.CompareAndSwap(0, now.UnixNano())
			if now.UnixNano()-c.condemned.Load() < int64(reviewGrace) {
				more = true
				continue
			}
			reason = reasonHandshake
			if r := (*pki.CertificateError)(nil); errors.As(err, &r) {
				reason = r.Reason
			}
		}
		p.secure.refused(reason, c.raw.RemoteAddr(), err)
		c.Close()
	}
	return more
}

// keepReviewing looks at the open connections when something has changed.
func (m *Member) keepReviewing() {
	tick := time.NewTicker(m.scaled(reviewEvery))
	defer tick.Stop()
	var servers []raft.Server
	var access *access.State
	last := time.Now()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
		}
		nowServers, nowAccess := m.servers(), m.machine.Access()
		if nowAccess == access && slices.Equal(servers, nowServers) && time.Since(last) < reverifyEvery {
			continue
		}
		servers, access, last = nowServers, nowAccess, time.Now()
		if m.port.review() {
			last = time.Time{}
		}
	}
}

type peerKey struct{}

// keepPeer lets handlers know whose connection a request came by.
func keepPeer(ctx context.Context, c net.Conn) context.Context {
	if k, ok := c.(*conn); ok && k.peer != "" {
		return context.WithValue(ctx, peerKey{}, k.peer)
	}
	return ctx
}

// PeerOf is the server id (id@instance) of the member by whose connection a forwarded request came; "" if its members do not authenticate.
func PeerOf(ctx context.Context) string {
	id, _ := ctx.Value(peerKey{}).(raft.ServerID)
	return string(id)
}

// onlyMembers answers those who were removed with nothing but that.
func (m *Member) onlyMembers(h http.Handler) http.Handler {
	if m.port.secure == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := raft.ServerID(PeerOf(r.Context()))
		switch {
		case peer == "":
			m.writePeerProblem(w, r, score.Problemf(score.Unauthorized, "members show certificates here"))
		case m.port.secure.removed(peer):
			m.port.secure.refused(reasonRemoved, address(r.RemoteAddr), errRemovedPeer)
			m.tellRemoved(w, r, peer)
		default:
			h.ServeHTTP(w, r)
		}
	})
}
