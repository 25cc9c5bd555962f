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
	// HandshakeTimeout bounds a TLS handshake, the time that it waits for its turn included.
	HandshakeTimeout = 5 * time.Second
	// MaxHandshakes is how many are worked at at once. It is small, so that what else there is to do, for the other members above all, need not stand behind
	// many of them. One that waits for its client is not among them: else those who begin and fall silent would keep everybody out.
	MaxHandshakes = 8
)

// tlsHandshake is the first byte that a client sends who wants TLS. No method of HTTP begins with it.
const tlsHandshake = 0x16

// handshakes are what a Server needs for TLS.
type handshakes struct {
	config *tls.Config
	places chan struct{}
	failed func(error)
}

// TLS has the server speak TLS with those who begin so, beside HTTP in the clear on the same port: HTTP/2 by net/http, and HTTP/1.1 as without TLS. Failed is
// told why a handshake came to nothing; nil for nobody. It must be called before Serve.
func (s *Server) TLS(config *tls.Config, failed func(error)) {
	if failed == nil {
		failed = func(error) {}
	}
	s.secure = &handshakes{config: offering(config), places: make(chan struct{}, MaxHandshakes), failed: failed}
}

// protocols are what is offered to speak over TLS.
var protocols = []string{"h2", "http/1.1"}

// offering is c with what this package needs of it, whatever it may choose for each client.
func offering(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = protocols
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	if choose := c.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen == nil || err != nil || slices.Equal(chosen.NextProtos, protocols) && chosen.MinVersion >= tls.VersionTLS12 {
				return chosen, err
			}
			chosen = chosen.Clone()
			chosen.NextProtos, chosen.MinVersion = protocols, max(chosen.MinVersion, tls.VersionTLS12)
			return chosen, nil
		}
	}
	return c
}

// beginsTLS tells whether what has been read first is the beginning of a handshake.
func (c *conn) beginsTLS() bool {
	return c.server.secure != nil && c.buf[c.from] == tlsHandshake
}

// shakeHands goes on over TLS. False: this connection is over, or not ours any more.
func (c *conn) shakeHands() bool {
	h := c.server.secure
	timeout := HandshakeTimeout
	if limit := c.server.http.ReadHeaderTimeout; limit > 0 {
		timeout = min(timeout, limit)
	}
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	turn := &turn{Conn: &unread{Conn: c.Conn, b: slices.Clone(c.buf[c.from:c.to])}, places: h.places, over: ctx.Done()}
	if !turn.take() {
		return false
	}
	secure := tls.Server(turn, h.config)
	err := secure.HandshakeContext(ctx)
	turn.end()
	if err != nil {
		h.failed(err)
		return false
	}
	state := secure.ConnectionState()
	c.stream, c.peer.TLS = secure, &state
	if state.NegotiatedProtocol != "h2" {
		return true
	}
	if secure.SetDeadline(time.Time{}) == nil {
		c.handed = true
		c.server.handed.give(secure)
	}
	return false
}

// turn is a connection whose handshake has one of the places while it is worked at, and none while it waits for its client.
type turn struct {
	net.Conn
	places chan struct{} // nil after the handshake
	over   <-chan struct{}
	has    bool
}

// take waits for a place. False: the time for the handshake is over.
func (t *turn) take() bool {
	select {
	case t.places <- struct{}{}:
		t.has = true
		// Who leaves a place wakes the next, which Go runs at once in what is left of the same time slice, and so on: without this a row of handshakes
		// goes before all else that is ready to run, and Raft's heartbeats, which need several turns, come too late.
		runtime.Gosched()
	case <-t.over:
	}
	return t.has
}

func (t *turn) leave() {
	if t.has {
		t.has = false
		<-t.places
	}
}

// end makes it a connection like others.
func (t *turn) end() {
	t.leave()
	t.places = nil
}

func (t *turn) Read(p []byte) (int, error) {
	if t.places == nil {
		return t.Conn.Read(p)
	}
	t.leave()
	n, err := t.Conn.Read(p)
	if err == nil && !t.take() {
		err = context.DeadlineExceeded
	}
	return n, err
}
