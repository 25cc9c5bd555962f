package fastpath

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
)

// Peer is who is at the other end of a connection, as far as the connection tells.
type Peer struct {
	Addr netip.Addr           // not valid where it is no IP address
	TLS  *tls.ConnectionState // nil where the connection is in the clear
}

// Near tells whether the peer is on this machine, so that nobody on the way hears what it says.
func (p *Peer) Near() bool { return p.Addr.IsLoopback() }

// addrOf is the IP address in a network address.
func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	if a == nil {
		return netip.Addr{}
	}
	ap, _ := netip.ParseAddrPort(a.String()) // of another kind of network: not valid
	return ap.Addr().Unmap()
}

type peerKey struct{}

// WithPeer has PeerOf find p.
func WithPeer(ctx context.Context, p *Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// PeerOf tells who made a request. It works for those that the Server answers and for those of any http.Server that has ConnContext.
func PeerOf(r *http.Request) *Peer {
	if p, ok := r.Context().Value(peerKey{}).(*Peer); ok {
		if p.TLS == r.TLS || r.TLS == nil {
			return p
		}
		return &Peer{p.Addr, r.TLS} // net/http itself has shaken hands
	}
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // of a request that came by no connection: not valid
	return &Peer{ap.Addr().Unmap(), r.TLS}
}

// ConnContext is for an http.Server: it lets PeerOf find who is at the other end.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if u, ok := c.(*unread); ok {
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
