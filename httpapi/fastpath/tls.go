package fastpath

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"slices"
	"time"
)

const (
	// HandshakeTimeout bounds a TLS handshake, including its wait for a slot.
	HandshakeTimeout = 5 * time.Second
	// MaxHandshakes bounds the handshakes that compute at once. It is small, so that
	// other work, such as that for the other members, is not queued behind many of them.
	// A handshake that waits for its client has no slot: otherwise clients that begin and
	// fall silent would lock out all others.
	MaxHandshakes = 8
)

// tlsHandshake is the first byte of a TLS connection. No HTTP method begins with it.
const tlsHandshake = 0x16

// TLS makes the server accept TLS besides HTTP in the clear on the same port: HTTP/2 is
// served by net/http, HTTP/1.1 as without TLS. A configuration that config chooses for a
// client must name both protocols itself. failed is called with the error of a failed
// handshake. TLS must be called before Serve.
func (s *Server) TLS(config *tls.Config, failed func(error)) {
	s.tls, s.handshakeFailed = config.Clone(), failed
	s.tls.NextProtos = []string{"h2", "http/1.1"}
	s.tls.MinVersion = max(s.tls.MinVersion, tls.VersionTLS12)
}

// beginsTLS reports whether the first bytes read begin a handshake.
func (c *conn) beginsTLS() bool {
	return c.server.tls != nil && c.buf[c.from] == tlsHandshake
}

// handshake switches to TLS. It reports false if the connection has ended or was handed
// over.
func (c *conn) handshake() bool {
	timeout := HandshakeTimeout
	if limit := c.server.http.ReadHeaderTimeout; limit > 0 {
		timeout = min(timeout, limit)
	}
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	slot := &handshakeConn{
		Conn:    &unreadConn{Conn: c.Conn, b: slices.Clone(c.buf[c.from:c.to])},
		slots:   c.server.handshakes,
		timeout: ctx.Done(),
	}
	if !slot.acquire() {
		return false
	}
	secure := tls.Server(slot, c.server.tls)
	err := secure.HandshakeContext(ctx)
	slot.release()
	slot.slots = nil // an ordinary connection from now on
	if err != nil {
		c.server.handshakeFailed(err)
		return false
	}
	state := secure.ConnectionState()
	c.stream, c.peer.TLS = secure, &state
	if state.NegotiatedProtocol != "h2" {
		return true
	}
	if secure.SetDeadline(time.Time{}) == nil {
		c.handedOff = true
		c.server.handoff.give(secure)
	}
	return false
}

// handshakeConn is a connection whose handshake holds a slot while it computes, and none
// while it waits for its client.
type handshakeConn struct {
	net.Conn
	slots   chan struct{} // nil after the handshake
	timeout <-chan struct{}
	held    bool
}

// acquire waits for a slot. It reports false after the timeout.
func (c *handshakeConn) acquire() bool {
	select {
	case c.slots <- struct{}{}:
		c.held = true
		// Releasing a slot readies the next waiter, which the scheduler runs in the same
		// time slice. Yield, or a chain of handshakes starves other goroutines such as
		// Raft's heartbeats.
		runtime.Gosched()
	case <-c.timeout:
	}
	return c.held
}

func (c *handshakeConn) release() {
	if c.held {
		c.held = false
		<-c.slots
	}
}

func (c *handshakeConn) Read(p []byte) (int, error) {
	if c.slots == nil {
		return c.Conn.Read(p)
	}
	c.release()
	n, err := c.Conn.Read(p)
	if err == nil && !c.acquire() {
		err = context.DeadlineExceeded
	}
	return n, err
}
