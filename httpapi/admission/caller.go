package admission

import (
	"context"
	"strings"
	"time"

	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// guarded reports whether callers must authenticate.
func (g *Gate) guarded() bool { return g.secure || g.group.Access().Guarded }

// identify returns the caller with the credentials c.
func (g *Gate) identify(ctx context.Context, c credentials) (handler.Caller, *score.Problem) {
	caller := handler.Caller{Peer: c.peer, Open: !g.guarded(), Member: g.memberOf(c)}
	if len(c.authorization) == 0 {
		return caller, nil
	}
	if g.client && !caller.Open && c.peer.TLS == nil && !c.peer.Near() {
		return caller, g.Refuse(reasonInClear, score.Problemf(score.Unauthorized,
			"the token was sent in the clear, where others may have read it; "+
				"tokens are accepted over TLS only: revoke it and use https"))
	}
	if !caller.Open && g.rates.tooManyWrongTokens(c.peer) {
		return caller, g.Refuse(reasonGuessing, score.Problemf(score.RateLimited,
			"too many invalid tokens from this address; wait a moment"))
	}
	grant, reason := g.grantOf(ctx, c.authorization)
	switch {
	case reason == "":
		caller.Grant = grant
		return caller, nil
	case caller.Open:
		return caller, nil // an open store ignores invalid tokens
	}
	g.rates.countWrongToken(c.peer)
	return caller, g.Refuse(reason, score.Problemf(score.Unauthorized, "%s", tokenProblems[reason]))
}

// tokenProblems are the details of problems with a token. They do not contain the token.
var tokenProblems = map[Reason]string{
	reasonMalformed: "the Authorization is not one bearer token of Laurel; " +
		"want Authorization: Bearer laurel-token-1. and the rest, as it was shown when it was made",
	reasonUnknown: "the token is not known; ask an operator for a new one",
	reasonRevoked: "the token has been revoked; ask an operator for a new one",
	reasonExpired: "the token has expired; ask an operator for a new one",
}

// grantOf returns the grant whose token is in an Authorization, or the reason why there
// is none.
func (g *Gate) grantOf(ctx context.Context, authorization []string) (grant *access.Grant, reason Reason) {
	if len(authorization) != 1 {
		return nil, reasonMalformed
	}
	scheme, text, _ := strings.Cut(authorization[0], " ")
	token, err := pki.ParseBearerToken(text)
	if !strings.EqualFold(scheme, "Bearer") || err != nil {
		return nil, reasonMalformed
	}
	grant = g.awaitGrant(ctx, token.ID)
	switch {
	// The grant of a key has no hash, so no token has its id.
	case grant == nil || !access.SecretMatches(token.Secret, grant.Hash):
		return nil, reasonUnknown
	case grant.Revoked:
		return nil, reasonRevoked
	case Expired(grant):
		return nil, reasonExpired
	}
	return grant, ""
}

// Expired reports whether a grant has expired by this frontend's clock.
func Expired(grant *access.Grant) bool {
	return !grant.Expires.IsZero() && time.Now().After(grant.Expires)
}

const (
	// grantTimeout is how long a request waits for a grant that is not known here. A
	// frontend applies a new grant some 20 to 40 ms after the master.
	grantTimeout = 300 * time.Millisecond
	grantPoll    = 10 * time.Millisecond
	// maxAwaiting is how many requests wait for a grant at once. Others do not wait.
	maxAwaiting = 64
)

// awaitGrant returns the grant with that id, or nil if there is none.
func (g *Gate) awaitGrant(ctx context.Context, id string) *access.Grant {
	grant := g.group.Access().Grants[id]
	if grant != nil || g.group.Master() {
		return grant
	}
	select {
	case g.awaiting <- struct{}{}:
		defer func() { <-g.awaiting }()
	default:
		return nil
	}
	for end := time.Now().Add(grantTimeout); grant == nil && time.Now().Before(end); {
		if sleep(ctx, grantPoll) != nil {
			return nil
		}
		grant = g.group.Access().Grants[id]
	}
	return grant
}

// memberOf returns the name of the member that makes the request, by its certificate or
// as told by the member that forwards.
func (g *Gate) memberOf(c credentials) string {
	switch {
	case !g.client && c.forwardedFor == "":
		return handler.AnyMember
	case !g.client && c.forwardedFor != noMember:
		return c.forwardedFor
	case !g.client || c.peer == nil || c.peer.TLS == nil || len(c.peer.TLS.VerifiedChains) == 0:
		return ""
	}
	name, err := pki.MemberOf(c.peer.TLS.PeerCertificates[0])
	if _, removed := g.group.Access().Removed[name]; err != nil || removed {
		return "" // the certificate of a removed member may be valid for weeks
	}
	return name
}
