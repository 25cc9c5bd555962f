package peer

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/hashicorp/raft"

	"laurel/score"
	"laurel/trust/pki"
)

// Role returns what the holder of a certificate may do here. A role counts only if the
// certificate and the latest configuration that this member knows agree:
//
//   - A certificate that says voter is that of a non-voter if the configuration has its
//     holder as one.
//   - A certificate of a member permits only to join if the configuration does not have its
//     holder, and nothing if the holder was removed.
//   - A role that the certificate does not have is never given by the configuration.
//
// A member that was down may know an old configuration, in which a voter of today has no
// vote or is not in it, and it can learn of the new one only from that voter. So a
// configuration contradicts a certificate only while this member is the leader of Raft or
// follows one, and never the certificate of the leader that it follows.
func (a *Authenticator) Role(h pki.Holder) pki.Role {
	id := raft.ServerID(h.Member)
	if a.Removed(id) {
		return pki.NoRole
	}
	if leader := a.Leader(); leader == "" || leader == id {
		return h.Role
	}
	switch s, in := Find(a.Servers(), id); {
	case !in:
		return min(h.Role, pki.Joiner)
	case s.Suffrage != raft.Voter:
		return min(h.Role, pki.Nonvoter)
	}
	return h.Role
}

// MayRecover reports whether the holder of a certificate is believed that it has made a new
// group of what this one had, without this member. A recovered voter keeps its id and gets
// another instance, which is in no configuration here. Nobody else's word counts against a
// leader that this member follows: a removed voter may still hold the authority's key, and
// makes certificates with it.
func (a *Authenticator) MayRecover(h pki.Holder) bool {
	if h.Role < pki.Voter {
		return false
	}
	if role := a.Role(h); role != pki.Joiner {
		return role >= pki.Voter
	}
	return slices.ContainsFunc(a.Servers(), func(s raft.Server) bool {
		return s.Suffrage == raft.Voter && MemberID(s.ID) == MemberID(raft.ServerID(h.Member))
	})
}

// checkSender returns an error unless the peer of an accepted connection may use it for a
// protocol.
func (p *Port) checkSender(c *conn, protocol byte) error {
	if p.config.Auth == nil || protocol == ProtocolHTTP { // there each request is checked
		return nil
	}
	return requireRole(p.config.Auth.Role(c.peer), p.config.Needs[protocol], c.peer)
}

// checkReceiver returns an error unless the peer of a dialed connection may be sent the
// messages of a protocol. A voter's answers count, so its certificate must say that it is
// one: the holder of a join token may be at its address.
func (p *Port) checkReceiver(ctx context.Context, c *conn, protocol byte) error {
	auth := p.config.Auth
	if auth == nil || protocol == ProtocolHTTP {
		return nil
	}
	select {
	case <-auth.opened:
	case <-ctx.Done():
		return ctx.Err()
	}
	need := pki.Nonvoter
	if s, in := Find(auth.Servers(), raft.ServerID(c.peer.Member)); in && s.Suffrage == raft.Voter {
		need = pki.Voter
	}
	err := requireRole(c.peer.Role, need, c.peer)
	if err != nil {
		auth.refuse(pki.WrongRole, c.raw.RemoteAddr(), err)
	}
	return err
}

func requireRole(has, need pki.Role, h pki.Holder) error {
	if has >= need {
		return nil
	}
	return &pki.CertificateError{Reason: pki.WrongRole, Err: fmt.Errorf(
		"%q has the role %s here, and %s in its certificate; want %s", h.Member, has, h.Role, need)}
}

// Require returns a handler that passes on to h the requests of members that have a role.
// A refused member connects again for its next request: it may have a new certificate.
func (a *Authenticator) Require(need pki.Role, h http.Handler) http.Handler {
	if a == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		holder := HolderFrom(r.Context())
		if err := requireRole(a.Role(holder), need, holder); err != nil {
			a.refuse(pki.WrongRole, Addr(r.RemoteAddr), err)
			w.Header().Set("Connection", "close")
			WriteProblem(w, score.Problemf(score.Forbidden, "%v", err))
			return
		}
		h.ServeHTTP(w, r)
	})
}

type peerKey struct{}

// withPeer returns ctx with the authenticated peer of a connection.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*conn); ok && c.tls != nil {
		return context.WithValue(ctx, peerKey{}, c)
	}
	return ctx
}

// HolderFrom returns the holder of the certificate with which a request came to the peer
// port; empty if the members do not authenticate each other.
func HolderFrom(ctx context.Context) pki.Holder {
	if c, ok := ctx.Value(peerKey{}).(*conn); ok {
		return c.peer
	}
	return pki.Holder{}
}

// FromContext returns the server id (id@instance) of the member that sent a request on
// the peer port; "" if the members do not authenticate each other.
func FromContext(ctx context.Context) string { return HolderFrom(ctx).Member }

// FromConn returns the member that the certificate of the other end names; "" if there is
// none.
func FromConn(c net.Conn) raft.ServerID {
	if c, ok := c.(*conn); ok {
		return raft.ServerID(c.peer.Member)
	}
	return ""
}

// CertificateOf returns the certificate of the other end; nil if there is none.
func CertificateOf(c net.Conn) *x509.Certificate {
	if c, ok := c.(*conn); ok && c.tls != nil {
		return c.tls.ConnectionState().PeerCertificates[0]
	}
	return nil
}
