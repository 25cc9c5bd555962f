package address

import (
	"bytes"
	"net/http"
)

// A server that authenticates nobody listens on the loopback interface only, but the
// browsers of this machine reach it for every web page. A page whose name its owner lets
// resolve to 127.0.0.1 (DNS rebinding) is of the server's own origin to them: it may send
// what it likes and read the answers. What gives it away is the Host.

// NamesThisMachine reports whether a server that authenticates nobody answers a request
// with the header field Host: host. It does if that is localhost or an address of the
// loopback interface, or name unless that is "", with any port or none. It allocates
// nothing for the usual hosts.
func NamesThisMachine(host []byte, name string) bool {
	usual := host
	// A colon within brackets is part of an IPv6 address.
	if i := bytes.LastIndexByte(host, ':'); i > bytes.LastIndexByte(host, ']') {
		usual = host[:i]
	}
	switch string(usual) {
	case "":
		return false
	case "localhost", "127.0.0.1", "[::1]", name:
		return true
	}
	at := Hostname(string(host))
	return IsLoopback(at) || name != "" && at == normalHost(name)
}

// OnlyThisMachine returns a handler that passes on to h the requests whose Host
// NamesThisMachine accepts, and refuses all others.
func OnlyThisMachine(h http.Handler, name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !NamesThisMachine([]byte(r.Host), name) {
			http.Error(w, "this server answers requests for loopback addresses only", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
