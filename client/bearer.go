package client

import (
	"net"
	"net/http"
)

// bearer adds a token to each request that goes over TLS or to this machine.
type bearer struct {
	authorization string
	http.RoundTripper
}

func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !isLoopback(r.URL.Hostname()) {
		return b.RoundTripper.RoundTrip(r)
	}
	// A RoundTripper must not change the request.
	own := r.Clone(r.Context())
	own.Header.Set("Authorization", b.authorization)
	return b.RoundTripper.RoundTrip(own)
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// CloseIdleConnections implements what http.Client looks for in its transport.
func (b *bearer) CloseIdleConnections() {
	if c, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
