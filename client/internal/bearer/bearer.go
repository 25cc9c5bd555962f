// Package bearer sends a token only where nobody else can read it.
package bearer

import (
	"net"
	"net/http"
)

// Transport adds a token to each request that goes over TLS or to this machine.
type Transport struct {
	Authorization string
	http.RoundTripper
}

func (b *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !isLoopback(r.URL.Hostname()) {
		return b.RoundTripper.RoundTrip(r)
	}
	// A RoundTripper must not change the request.
	own := r.Clone(r.Context())
	own.Header.Set("Authorization", b.Authorization)
	return b.RoundTripper.RoundTrip(own)
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// CloseIdleConnections implements what http.Client looks for in its transport.
func (b *Transport) CloseIdleConnections() {
	if c, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
