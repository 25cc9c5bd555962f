package fastpath

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
)

// Peer is the other end of a connection.
type Peer struct {
	Addr netip.Addr           // invalid if it is not an IP address
	TLS  *tls.ConnectionState // nil for a connection without TLS
}

// Near reports whether the peer is on this machine, so that the connection cannot be
// eavesdropped.
func (p *Peer) Near() bool { return p.Addr.IsLoopback() }

// addrOf returns the IP address of a network address.
func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	if a == nil {
		return netip.Addr{}
	}
	ap, _ := netip.ParseAddrPort(a.String()) // invalid for another kind of network
	return ap.Addr().Unmap()
}

type peerKey struct{}

// WithPeer returns a context in which PeerOf finds p.
func WithPeer(ctx context.Context, p *Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// PeerOf returns the peer of a request of a Server, or of an http.Server with ConnContext.
func PeerOf(r *http.Request) *Peer {
	if p, ok := r.Context().Value(peerKey{}).(*Peer); ok {
		if p.TLS == r.TLS || r.TLS == nil {
			return p
		}
		return &Peer{p.Addr, r.TLS} // net/http did the handshake
	}
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // invalid for a request without a connection
	return &Peer{ap.Addr().Unmap(), r.TLS}
}

// ConnContext is the ConnContext of an http.Server for PeerOf.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if u, ok := c.(*unreadConn); ok {
		return WithPeer(ctx, u.peer)
	}
	p := &Peer{Addr: addrOf(c.RemoteAddr())}
	if secure, ok := c.(*tls.Conn); ok {
		if state := secure.ConnectionState(); state.HandshakeComplete {
			p.TLS = &state
		}
	}
	return WithPeer(ctx, p)
}
