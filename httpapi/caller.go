package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"laurel/httpapi/fastpath"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// anybody is the name of who shows neither a token nor a certificate, in the trail of an open store.
const anybody = "anybody"

// caller is who makes a request, as far as this frontend has found out.
type caller struct {
	peer  *fastpath.Peer // nil at the peer port
	grant *access.Grant  // of the token that came with the request; nil: none
	// member is the name, id@instance, in the certificate of a member; anyMember at the peer port, where only members are; "": none.
	member string
	open   bool // the store is open: everybody may do everything
}

// anyMember is a member whose name is not known here.
const anyMember = "@"

// name is who it was, for the trail.
func (c *caller) name() string {
	switch {
	case c.grant != nil:
		return c.grant.Name
	case c.member != "" && c.member != anyMember:
		id, _, _ := strings.Cut(c.member, "@")
		return id
	}
	return anybody
}

// covers tells whether the caller may do what a role may.
func (c *caller) covers(r access.Role) bool {
	return c.open || c.grant != nil && c.grant.Role.Covers(r) || r == access.RoleReader && c.member != ""
}

// credentials are what a request says of who makes it.
type credentials struct {
	peer *fastpath.Peer
	// authorization is the fields of that name; more than one is refused.
	authorization []string
	// forwardedFor is, at the peer port, what the frontend that forwarded the request found out: the name of a member, or "-" for none. It is "" where
	// a member itself asks.
	forwardedFor string
}

// CallerHeader carries forwardedFor on the peer port, the only one on which it is believed. A
// member whose request arrives without it asks for itself: whoever serves ForwardedHandler then
// sets it to the member of the connection's certificate.
const CallerHeader = "Laurel-Caller"

const noMember = "-"

func (p *port) credentials(r *http.Request) credentials {
	c := credentials{authorization: r.Header["Authorization"]}
	if p.forwards {
		c.peer = fastpath.PeerOf(r)
	} else {
		c.forwardedFor = r.Header.Get(CallerHeader)
	}
	return c
}

// guarded tells whether callers must show who they are. A frontend that is still catching up does not know yet what the store says, so its own setting
// counts too.
func (p *port) guarded() bool { return p.secure || p.group.Access().Guarded }

// identify finds out who calls.
func (p *port) identify(ctx context.Context, c credentials) (caller, *score.Problem) {
	who := caller{peer: c.peer, open: !p.guarded(), member: p.memberOf(c)}
	if len(c.authorization) == 0 {
		return who, nil
	}
	if p.forwards && !who.open && c.peer.TLS == nil && !c.peer.Near() {
		return who, p.refuse(refusedInClear, score.Problemf(score.Unauthorized, "a token is taken over TLS only: this one came in the clear, where anybody on the way can have read it; revoke it, and use https"))
	}
	if !who.open && p.rates.strikes(c.peer) {
		return who, p.refuse(refusedGuessing, score.Problemf(score.RateLimited, "too many tokens from this address were wrong; wait a moment"))
	}
	grant, reason := p.grantOf(ctx, c.authorization)
	switch {
	case reason == "":
		who.grant = grant
		return who, nil
	case who.open:
		return who, nil // as if nothing had been shown: whoever it is may do everything
	}
	p.rates.strike(c.peer)
	return who, p.refuse(reason, score.Problemf(score.Unauthorized, "%s", tokenProblems[reason]))
}

// tokenProblems say what is wrong with a token, and nothing of what it was.
var tokenProblems = map[string]string{
	refusedMalformed: "the Authorization is not one bearer token of Laurel; want Authorization: Bearer laurel-token-1. and the rest, as it was shown when it was made",
	refusedUnknown:   "the token is not known; an operator can make another",
	refusedRevoked:   "the token was revoked; an operator can make another",
	refusedExpired:   "the token has expired; an operator can make another",
}

// grantOf is the grant whose token an Authorization has, or the reason why there is none.
func (p *port) grantOf(ctx context.Context, authorization []string) (g *access.Grant, reason string) {
	if len(authorization) != 1 {
		return nil, refusedMalformed
	}
	scheme, text, _ := strings.Cut(authorization[0], " ")
	token, err := pki.ParseBearerToken(text)
	if !strings.EqualFold(scheme, "Bearer") || err != nil {
		return nil, refusedMalformed
	}
	g = p.awaitGrant(ctx, token.ID)
	switch {
	// A key has no hash, so nobody can show a token with its id.
	case g == nil || !access.SecretMatches(token.Secret, g.Hash):
		return nil, refusedUnknown
	case g.Revoked:
		return nil, refusedRevoked
	case expired(g):
		return nil, refusedExpired
	}
	return g, ""
}

func expired(g *access.Grant) bool { return !g.Expires.IsZero() && time.Now().After(g.Expires) }

const (
	// grantLimit is how long a grant is waited for that is not known here. A frontend hears of a new one some 20 to 40 ms after the master.
	grantLimit = 300 * time.Millisecond
	grantPause = 10 * time.Millisecond
	// maxAwaited is how many requests wait for one at once; others do not wait.
	maxAwaited = 64
)

// awaitGrant is the grant of that id; nil if there is none.
func (p *port) awaitGrant(ctx context.Context, id string) *access.Grant {
	g := p.group.Access().Grants[id]
	if g != nil || p.group.Master() {
		return g
	}
	select {
	case p.awaited <- struct{}{}:
		defer func() { <-p.awaited }()
	default:
		return nil
	}
	for end := time.Now().Add(grantLimit); g == nil && time.Now().Before(end); g = p.group.Access().Grants[id] {
		if rest(ctx, grantPause) != nil {
			return nil
		}
	}
	return g
}

// memberOf is the name of the member that calls, by its certificate or by the word of the member that forwards.
func (p *port) memberOf(c credentials) string {
	switch {
	case !p.forwards && c.forwardedFor == "":
		return anyMember
	case !p.forwards && c.forwardedFor != noMember:
		return c.forwardedFor
	case !p.forwards || c.peer == nil || c.peer.TLS == nil || len(c.peer.TLS.VerifiedChains) == 0:
		return ""
	}
	name, err := pki.MemberOf(c.peer.TLS.PeerCertificates[0])
	if _, removed := p.group.Access().Removed[name]; err != nil || removed {
		return "" // its certificate may have weeks left
	}
	return name
}
