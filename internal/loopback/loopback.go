// Package loopback recognizes requests that name this machine.
//
// A server that authenticates nobody listens on the loopback interface only, but the
// browsers of this machine reach it for every web page. A page whose name its owner
// lets resolve to 127.0.0.1 (DNS rebinding) is of the server's own origin to them: it may
// send what it likes and read the answers. What gives it away is the Host.
package loopback

import (
	"bytes"
	"net/http"
	"net/netip"
	"strings"
)

// Allows reports whether a server that authenticates nobody answers a request with the
// header field Host: host. It does if that is localhost or an address of the loopback
// interface, or name unless that is "", with any port or none. It allocates nothing for
// the usual hosts.
func Allows(host []byte, name string) bool {
	// A colon within brackets is part of an IPv6 address.
	if i := bytes.LastIndexByte(host, ':'); i > bytes.LastIndexByte(host, ']') {
		host = host[:i]
	}
	host = bytes.TrimPrefix(bytes.TrimSuffix(host, []byte("]")), []byte("["))
	switch string(host) {
	case "":
		return false
	case "localhost", "127.0.0.1", "::1":
		return true
	}
	if len(host) == len(name) && strings.EqualFold(string(host), name) {
		return true
	}
	addr, err := netip.ParseAddr(string(host))
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(string(host), "localhost")
}

// Handler returns a handler that passes on to h the requests that Allows permits, and
// refuses all others.
func Handler(h http.Handler, name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !Allows([]byte(r.Host), name) {
			http.Error(w, "this server answers requests for loopback addresses only", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
