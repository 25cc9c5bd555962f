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
	given     []address.URL // that the caller named
}

func newTokenRule(o Options) tokenRule {
	return tokenRule{needed: o.Token != "", authority: o.TLS != nil && o.TLS.RootCAs != nil}
}

// admits reports whether a client with the token can use a listed frontend.
func (t *tokenRule) admits(at address.URL) bool {
	return !t.needed || t.authority && at.Scheme == "https" || t.isGiven(at.Scheme, at.Host)
}

func (t *tokenRule) isGiven(scheme, host string) bool {
	return slices.ContainsFunc(t.given, func(g address.URL) bool { return g.Serves(scheme, host) })
}

// maySend reports whether the token may be sent to u: over TLS or to this machine, to a
// frontend that the caller named, or to one of the known ones under the authority.
func (t *tokenRule) maySend(u *url.URL, known []frontend) bool {
	switch {
	case u.Scheme != "https" && !address.IsLoopback(u.Hostname()):
		return false
	case t.isGiven(u.Scheme, u.Host):
		return true
	}
	return t.authority && u.Scheme == "https" && slices.ContainsFunc(known, func(k frontend) bool {
		at, err := address.Parse(k.url)
		return err == nil && at.Serves(u.Scheme, u.Host)
	})
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
