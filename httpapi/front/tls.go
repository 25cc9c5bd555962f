package front

import (
	"context"
	"crypto/tls"
	"slices"
	"time"
)

const (
	// HandshakeTimeout bounds a TLS handshake, the time that it waits for its turn included.
	HandshakeTimeout = 5 * time.Second
	// MaxHandshakes is how many are under way at once. One that waits costs little; one under way costs processor time and memory.
	MaxHandshakes = 512
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
	ctx, cancel := context.WithTimeout(c.ctx, HandshakeTimeout)
	defer cancel()
	select {
	case h.places <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-h.places }()
	secure := tls.Server(&unread{Conn: c.Conn, b: slices.Clone(c.buf[c.from:c.to])}, h.config)
	if err := secure.HandshakeContext(ctx); err != nil {
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
