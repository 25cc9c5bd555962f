package admission

import (
	"context"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

func (g *Gate) guarded() bool { return g.options.Secure || g.options.Access().Guarded }

func (g *Gate) identify(ctx context.Context, r *handler.Request, caller *handler.Caller) *score.Problem {
	caller.Open = !g.guarded()
	caller.Member, caller.Joins = g.memberOf(r)
	authorization, peer := r.Authorization, caller.Peer
	if len(authorization) == 0 {
		return nil
	}
	if g.client && !caller.Open && peer.TLS == nil && !peer.Near() {
		return g.Refuse(reasonInClear, score.Problemf(score.Unauthorized,
			"the token was sent in the clear, where others may have read it; "+
				"tokens are accepted over TLS only: revoke it and use https"))
	}
	ofAddress := g.address(peer)
	if !caller.Open && ofAddress != nil && ofAddress.wrongTokens.Tokens() < 1 {
		return g.Refuse(reasonGuessing, score.Problemf(score.RateLimited,
			"too many invalid tokens from this address; wait a moment"))
	}
	grant, reason := g.grantOf(ctx, authorization)
	switch {
	case reason == "":
		caller.Grant = grant
		return nil
	case caller.Open:
		return nil // an open store ignores invalid tokens
	}
	if ofAddress != nil {
		ofAddress.wrongTokens.Allow()
	}
	return g.Refuse(reason, score.Problemf(score.Unauthorized, "%s", tokenProblems[reason]))
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
	token, err := access.ParseBearerToken(text)
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
	grant := g.options.Access().Grants[id]
	if grant != nil || g.options.Master() {
		return grant
	}
	select {
	case g.awaiting <- struct{}{}:
		defer func() { <-g.awaiting }()
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	for grant == nil && ctx.Err() == nil {
		select {
		case <-time.After(grantPoll):
		case <-ctx.Done():
		}
		grant = g.options.Access().Grants[id]
	}
	return grant
}

// memberOf returns the name of the member that makes the request. It is in the member's
// certificate, or in CallerHeader of a forwarded request. joins is true for a frontend
// that may only join.
func (g *Gate) memberOf(r *handler.Request) (member string, joins bool) {
	if !g.client {
		_, hr := r.Transport()
		switch member := hr.Header.Get(CallerHeader); member {
		case "": // a member makes the request for itself
			return handler.AnyMember, false
		case noMember:
			return "", false
		default:
			return member, false
		}
	}
	peer := r.Peer()
	if peer == nil || peer.TLS == nil || len(peer.TLS.VerifiedChains) == 0 {
		return "", false
	}
	member, joins, err := g.options.CallerOf(peer.TLS.PeerCertificates[0])
	if _, removed := g.options.Access().Removed[member]; err != nil || removed {
		return "", false // the certificate of a removed member may be valid for weeks
	}
	return member, joins
}

// AuthorizeEvents marks unsigned events with the caller's token. It returns how many
// events from the first on may be posted, and why the next one may not. Every state
// machine checks that again; here it keeps unauthorized events out of the log.
func (g *Gate) AuthorizeEvents(
	ctx context.Context, caller *handler.Caller, events []score.Event,
) (n int, refused *score.Problem) {
	state := g.options.Access()
	for i := range events {
		e := &events[i]
		if e.Key == "" && caller.Grant != nil {
			e.Token = caller.Grant.ID
			if e.Source == "" {
				e.Source = caller.Grant.Name
			}
		}
		if e.Key != "" && state.Grants[e.Key] == nil {
			g.awaitGrant(ctx, e.Key)
			state = g.options.Access()
		}
		if reason, problem := g.authorize(state, e); problem != nil {
			return i, g.Refuse(reason, problem)
		}
	}
	return len(events), nil
}

// guardedStore decides about events without a key and without a token.
var guardedStore = &access.State{Guarded: true}

func (g *Gate) authorize(state *access.State, e *score.Event) (reason Reason, refused *score.Problem) {
	grant := state.Grants[grantID(e)]
	switch {
	case grantID(e) == "":
		if g.guarded() {
			state = guardedStore
		}
		return reasonUnsigned, state.Authorize(e, nil)
	case grant != nil && Expired(grant):
		refused = score.Problemf(score.Unauthorized,
			"the grant of %q has expired; ask an operator for a new one", grant.Name)
		refused.ID = e.ID
		return reasonExpired, refused
	}
	reason = reasonEvent
	refused = state.Authorize(e, func(grant *access.Grant) *score.Problem {
		problem := g.options.Verify(grant.Public, e)
		if problem != nil {
			reason = reasonSignature
		}
		return problem
	})
	if refused != nil && reason == reasonEvent && grant == nil {
		reason = reasonUnknown
	}
	if refused != nil && grant != nil && grant.Revoked {
		reason = reasonRevoked
	}
	return reason, refused
}

// grantID returns the id of the grant by which an event is posted, "" for none.
func grantID(e *score.Event) string {
	if e.Key != "" {
		return e.Key
	}
	return e.Token
}

// run returns how many of events, from the first on, are posted by the same grant.
func run(events []score.Event) int {
	n := 1
	for n < len(events) && grantID(&events[n]) == grantID(&events[0]) {
		n++
	}
	return n
}

// Budget returns the budget for the first events, and how many of them to take from it;
// nil if they have none. Streams wait for it.
func (g *Gate) Budget(events []score.Event) (budget *rate.Limiter, n int) {
	n = run(events)
	grant := g.options.Access().Grants[grantID(&events[0])]
	if grant == nil {
		return nil, n
	}
	budget = g.events(grant)
	return budget, min(n, max(1, budget.Burst()))
}

// WithinRate takes a whole post from the budgets of its grants. A post that is larger
// than a budget can ever be is admitted when that is full.
func (g *Gate) WithinRate(events []score.Event) *score.Problem {
	for len(events) > 0 {
		n := run(events)
		if grant := g.options.Access().Grants[grantID(&events[0])]; grant != nil {
			budget := g.events(grant)
			if !budget.AllowN(time.Now(), min(n, budget.Burst())) {
				return g.Refuse(reasonRate, score.Problemf(score.RateLimited,
					"%q posts more than %.4g events a second; this request was not processed; retry it",
					grant.Name, float64(budget.Limit())))
			}
		}
		events = events[n:]
	}
	return nil
}
