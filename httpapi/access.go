package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"laurel/score"
	"laurel/trust/access"
)

// need is what a caller must be for one method of one path. Each route names it (routes.go); without one it answers nobody.
type need int

const (
	_ need = iota
	// forAll is for everybody: whether the process lives, and the page's files.
	forAll
	// toMeasure is toRead for what must be seen also while there is too much to do.
	toMeasure
	// toRead is for everybody, or for readers where the group is private.
	toRead
	// toWatch is toRead for what does not end.
	toWatch
	// toPost is for whoever can vouch for the events, which is found out event by event.
	toPost
	// toOperate is for operators.
	toOperate
	// toJoin is for operators, and for a member about itself.
	toJoin
	// toEnroll is for who has a join token, which is in the body.
	toEnroll
)

// Reasons of laurel_http_refused_total.
const (
	refusedMissing   = "no_token"
	refusedMalformed = "malformed_token"
	refusedUnknown   = "unknown_token"
	refusedRevoked   = "revoked"
	refusedExpired   = "expired"
	refusedInClear   = "token_in_clear"
	refusedInURL     = "token_in_url"
	refusedGuessing  = "guessing"
	refusedRole      = "role"
	refusedEvent     = "event_forbidden"
	refusedSignature = "signature"
	refusedUnvouched = "unsigned"
	refusedOrigin    = "cross_origin"
	refusedRate      = "caller_rate"
	refusedAddress   = "address_rate"
	refusedEnrolment = "enrolment"
	refusedFull      = "overload"
	refusedStreams   = "streams"
	refusedHandshake = "tls_handshake"
	refusedCrowded   = "address_connections"
)

// reasons are all of them, so that each is shown from the beginning.
var reasons = []string{refusedMissing, refusedMalformed, refusedUnknown, refusedRevoked, refusedExpired, refusedInClear, refusedInURL, refusedGuessing, refusedRole,
	refusedEvent, refusedSignature, refusedUnvouched, refusedOrigin, refusedRate, refusedAddress, refusedEnrolment, refusedFull, refusedStreams, refusedHandshake, refusedCrowded}

// refuse counts p under the reason.
func (a *API) refuse(reason string, p *score.Problem) *score.Problem {
	a.metrics.refused.WithLabelValues(reason).Inc()
	return p
}

type callerKey struct{}

// callerOf is who makes a request that was admitted.
func callerOf(r *http.Request) *caller {
	who, _ := r.Context().Value(callerKey{}).(*caller)
	return who
}

// admit finds out who calls, and whether that is enough.
func (p *port) admit(ctx context.Context, n need, c credentials, query string) (*caller, *score.Problem) {
	if carriesToken(query) {
		return nil, p.refuse(refusedInURL, score.Problemf(score.InvalidEvent, "a token in a URL ends up in logs and histories, so it is not taken there: revoke it, and send another as Authorization: Bearer"))
	}
	if p.public(n) {
		return &caller{peer: c.peer}, nil
	}
	who, problem := p.identify(ctx, c)
	if problem != nil {
		return nil, problem
	}
	return &who, p.suffices(n, &who)
}

// public tells whether it makes no difference who calls.
func (p *port) public(n need) bool {
	switch n {
	case forAll, toEnroll:
		return true
	case toMeasure, toRead, toWatch:
		// What comes by the peer port was asked of the frontend that forwards, which has looked.
		return !p.private || !p.forwards
	}
	return false
}

// suffices says why the caller may not do what needs n.
func (p *port) suffices(n need, who *caller) *score.Problem {
	role := access.RoleOperator
	switch n {
	case toMeasure, toRead, toWatch:
		role = access.RoleReader
	case toPost:
		return nil
	case toJoin:
		if who.member != "" {
			return nil
		}
	}
	switch {
	case who.covers(role):
		return nil
	case who.grant == nil:
		return p.refuse(refusedMissing, score.Problemf(score.Unauthorized, "this needs the role %s; send a token as Authorization: Bearer, over TLS", role))
	}
	return p.refuse(refusedRole, score.Problemf(score.Forbidden, "%q has the role %s; this needs the role %s", who.grant.Name, who.grant.Role, role))
}

// carriesToken tells whether a URL has a parameter by which people pass secrets.
func carriesToken(query string) bool {
	for query != "" {
		var one string
		one, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(one, "=")
		if n, err := url.QueryUnescape(name); err == nil {
			name = n
		}
		switch strings.ToLower(name) {
		case "token", "access_token", "authorization", "secret":
			return true
		}
		if strings.Contains(value, "laurel-token-1.") || strings.Contains(value, "laurel-join-1.") {
			return true
		}
	}
	return false
}
