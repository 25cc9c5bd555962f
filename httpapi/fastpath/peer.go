package fastpath

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"laurel/internal/address"
)

// Peer is the client of a request: the other end of its connection, or a client behind a
// trusted proxy.
type Peer struct {
	Addr netip.Addr           // invalid if it is not known, or no IP address
	TLS  *tls.ConnectionState // nil for a connection without TLS, and behind a proxy
	// proxied is true behind a proxy; https is then what the proxy reports.
	proxied, https bool

	long   atomic.Int64 // see TakeLong
	linger atomic.Int64 // see Linger
}

// BehindProxy returns a client behind a trusted proxy. https is true if the client uses
// https to the proxy.
func BehindProxy(addr netip.Addr, https bool) *Peer {
	return &Peer{Addr: addr, proxied: true, https: https}
}

// TakeLong takes a place for an answer that does not end, of which the connection may have
// limit at once. It reports false if there is none. GiveLong gives it back.
func (p *Peer) TakeLong(limit int) bool {
	if p.long.Add(1) <= int64(limit) {
		return true
	}
	p.long.Add(-1)
	return false
}

// GiveLong gives a place of TakeLong back.
func (p *Peer) GiveLong() { p.long.Add(-1) }

// Linger has the end of the connection wait for that long, and read what the client still
// sends: a system that closes a connection with unread bytes breaks it off, and the client
// may lose the answer.
func (p *Peer) Linger(d time.Duration) { p.linger.Store(int64(d)) }

// Near reports whether the client is on this machine, so that its connection cannot be
// eavesdropped.
func (p *Peer) Near() bool { return p.Addr.IsLoopback() && !p.proxied }

// Encrypted reports whether the client's own connection is encrypted.
func (p *Peer) Encrypted() bool { return p.TLS != nil || p.https }

// Proxied reports whether the client is behind a trusted proxy.
func (p *Peer) Proxied() bool { return p.proxied }

type peerKey struct{}

// WithPeer returns a context in which PeerOf finds p.
func WithPeer(ctx context.Context, p *Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// PeerOf returns the peer of a request of a Server, or of an http.Server with
// ConnContext.
func PeerOf(r *http.Request) *Peer {
	if p, ok := r.Context().Value(peerKey{}).(*Peer); ok {
		if p.TLS != nil || r.TLS == nil {
			return p
		}
		return &Peer{Addr: p.Addr, TLS: r.TLS} // net/http did the handshake
	}
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // invalid for a request without a connection
	return &Peer{Addr: ap.Addr().Unmap(), TLS: r.TLS}
}

// ConnContext is the ConnContext of an http.Server for PeerOf.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if u, ok := c.(*unreadConn); ok {
		return WithPeer(ctx, u.peer)
	}
	p := &Peer{Addr: address.IP(c.RemoteAddr())}
	if secure, ok := c.(*tls.Conn); ok {
		if state := secure.ConnectionState(); state.HandshakeComplete {
			p.TLS = &state
		}
	}
	return WithPeer(ctx, p)
}
