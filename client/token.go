package client

import (
	"net/http"
	"net/url"
	"slices"

	"laurel/internal/address"
)

// tokenRule is the rule of where a client sends its token. A frontend that has the token
// can use it as its owner could, and any host can be in the list of a false frontend, or
// in a redirect.
type tokenRule struct {
	needed bool // the client has a token
	// authority is true if only certificates of authorities that the caller named are
	// trusted. They tell the group's frontends from all others.
	authority bool
}

func newTokenRule(o Options) tokenRule {
	return tokenRule{needed: o.Token != "", authority: o.TLS != nil && o.TLS.RootCAs != nil}
}

// admits reports whether the client uses a frontend that the group lists. With a token it
// uses only those that may get that: one that the caller named, or under the authority.
func (f *frontends) admits(at address.URL) bool {
	return !f.token.needed || f.token.authority && at.Scheme == "https" ||
		slices.ContainsFunc(f.given, func(g address.URL) bool { return g.Serves(at.Scheme, at.Host) })
}

// maySendToken reports whether a request to u may carry the client's token: over TLS or to
// this machine, to a frontend that the client uses.
func (f *frontends) maySendToken(u *url.URL) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return (u.Scheme == "https" || address.IsLoopback(u.Hostname())) &&
		slices.ContainsFunc(f.known, func(k frontend) bool { return k.at.Serves(u.Scheme, u.Host) })
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
