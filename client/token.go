package client

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// tokenRule is the rule of where a client sends its token. A frontend that has the token
// can use it as its owner could, and any host can be in the list of a false frontend, or
// in a redirect.
type tokenRule struct {
	needed bool // the client has a token
	// authority is true if only certificates of authorities that the caller named are
	// trusted. They tell the group's frontends from all others.
	authority bool
	given     []string // the origins that the caller named
}

func newTokenRule(o Options) tokenRule {
	return tokenRule{needed: o.Token != "", authority: o.TLS != nil && o.TLS.RootCAs != nil}
}

// give adds the URL of a frontend that the caller named.
func (t *tokenRule) give(base string) {
	if u, err := url.Parse(base); err == nil {
		t.given = append(t.given, origin(u))
	}
}

// admits reports whether a client with the token can use the listed frontend at base.
func (t *tokenRule) admits(base string) bool {
	u, err := url.Parse(base)
	return !t.needed || err == nil && (t.authority && u.Scheme == "https" || slices.Contains(t.given, origin(u)))
}

// maySend reports whether the token may be sent to u: over TLS or to this machine, to a
// frontend that the caller named, or to one of the known ones under the authority.
func (t *tokenRule) maySend(u *url.URL, known []frontend) bool {
	to := origin(u)
	switch {
	case u.Scheme != "https" && !isLoopback(u.Hostname()):
		return false
	case slices.Contains(t.given, to):
		return true
	}
	return t.authority && u.Scheme == "https" && slices.ContainsFunc(known, func(k frontend) bool {
		at, err := url.Parse(k.url)
		return err == nil && origin(at) == to
	})
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// origin returns the scheme, host and port of u, in one form for all ways to write them.
func origin(u *url.URL) string {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// tokenTransport adds a token to each request that may carry it. Requests of a redirect
// come here, too.
type tokenTransport struct {
	authorization string
	frontends     *frontends
	http.RoundTripper
}

func (t *tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.frontends.maySendToken(r.URL) {
		r = r.Clone(r.Context()) // a RoundTripper must not change the request
		r.Header.Set("Authorization", t.authorization)
	}
	return t.RoundTripper.RoundTrip(r)
}
