package admission

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

func (g *Gate) guarded() bool { return g.options.Secure || g.options.Access().Guarded }

func (g *Gate) identify(ctx context.Context, r *handler.Request, caller *handler.Caller) *score.Problem {
	caller.Open = !g.guarded()
	authorization, peer := r.Authorization, caller.Peer
	if g.client {
		caller.Member, caller.Joins = g.memberOf(peer)
	}
	if len(authorization) == 0 {
		return nil
	}
	if !caller.Open && g.Exposed(peer) {
		return g.Refuse(reasonInClear, g.inClear(peer))
	}
	grant, secret, err := g.grantOf(ctx, peer, authorization)
	switch {
	case err == nil:
		caller.Grant, caller.Secret = grant, secret
		return nil
	case caller.Open:
		return nil // an open store ignores invalid tokens
	}
	return g.refuseToken(err)
}

// refuseToken returns the problem of a token or session that is refused for one of the
// errors in tokenReasons.
func (g *Gate) refuseToken(err error) *score.Problem {
	code := score.Unauthorized
	if err == errNotAwaited {
		code = score.RateLimited
	}
	return g.Refuse(tokenReasons[err], score.Problemf(code, "%v", err))
}

// inClear returns the problem of a token that was sent in the clear.
func (g *Gate) inClear(peer *fastpath.Peer) *score.Problem {
	if peer.Proxied() || g.Limits.isProxy(peer.Addr) {
		return score.Problemf(score.Unauthorized, "the proxy does not report in X-Forwarded-Proto that the token was "+
			"sent by https; have the proxy set that header field, and if the client did use http, revoke the token")
	}
	return score.Problemf(score.Unauthorized, "the token was sent in the clear, where others may have read it; "+
		"tokens are accepted over TLS only: revoke it and use https")
}

// errMalformed does not quote the Authorization.
var errMalformed = errors.New("the Authorization is not one bearer token of Laurel; " +
	"want Authorization: Bearer laurel-token-1. and the rest, as it was shown when it was made")

// errNotAwaited is temporary: the grant may have been made a moment ago.
var errNotAwaited = errors.New("this frontend does not know the token or key, and too many others that it " +
	"does not know came from this address; if it was made just now, retry in a moment")

var tokenReasons = map[error]Reason{
	errNotAwaited:          reasonUnknowns,
	errMalformed:           reasonMalformed,
	access.ErrUnknownToken: reasonUnknown,
	access.ErrRevokedToken: reasonRevoked,
	access.ErrExpiredToken: reasonExpired,

	access.ErrUnknownSession: reasonUnknown,
	access.ErrEndedSession:   reasonExpired,
}

// grantOf returns the grant whose token is in an Authorization and the secret of the
// token, or one of the errors in tokenReasons.
func (g *Gate) grantOf(
	ctx context.Context, peer *fastpath.Peer, authorization []string,
) (grant *access.Grant, secret score.Secret, err error) {
	if len(authorization) != 1 {
		return nil, "", errMalformed
	}
	scheme, text, _ := strings.Cut(authorization[0], " ")
	token, err := access.ParseBearerToken(text)
	if !strings.EqualFold(scheme, "Bearer") || err != nil {
		return nil, "", errMalformed
	}
	if !g.awaitGrant(ctx, peer, token.ID) {
		return nil, "", errNotAwaited
	}
	grant, err = g.options.Access().Authenticate(token, time.Now())
	return grant, score.Secret(token.Secret), err
}

const (
	// grantTimeout is how long a request waits for a grant that is not known here. A
	// frontend applies a new grant soon after the master: push.CommitHints names its entry.
	grantTimeout = 300 * time.Millisecond
	grantPoll    = 10 * time.Millisecond
	// maxAwaiting is how many requests wait for a grant at once. Others do not wait.
	maxAwaiting = 64
)

// awaitGrant waits a moment for the grant with that id if there is none. It reports false
// if it did not wait, because too many requests do, or too many of the peer's address did.
// A grant that is known is never waited for, so what others send does not matter to it.
func (g *Gate) awaitGrant(ctx context.Context, peer *fastpath.Peer, id string) bool {
	known := func() bool { return g.options.Access().Grants[id] != nil }
	if known() || g.options.Master() {
		return true
	}
	if b := g.address(peer); b != nil && !b.unknownGrants.Allow() {
		return false
	}
	select {
	case g.awaiting <- struct{}{}:
		defer func() { <-g.awaiting }()
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	for !known() && ctx.Err() == nil {
		select {
		case <-time.After(grantPoll):
		case <-ctx.Done():
		}
	}
	return true
}

// memberOf returns the name of the member whose certificate a connection of the client
// port has; "" for none. joins is true if it permits only to join.
func (g *Gate) memberOf(peer *fastpath.Peer) (member string, joins bool) {
	if peer == nil || peer.TLS == nil || len(peer.TLS.VerifiedChains) == 0 {
		return "", false
	}
	member, joins, err := g.options.CallerOf(peer.TLS.PeerCertificates[0])
	if err != nil {
		return "", false
	}
	return g.unlessRemoved(member), joins
}

// unlessRemoved returns the name of a member, or "" if it was removed. Its certificate may
// be valid for weeks.
func (g *Gate) unlessRemoved(name string) string {
	if _, removed := g.options.Access().Removed[name]; removed {
		return ""
	}
	return name
}

// forwardedFor returns the member for which another one forwards a request to the peer
// port; "" for none. A request that does not say that it is forwarded is that of the
// sending member itself, and only about itself.
func (g *Gate) forwardedFor(ctx context.Context, n Permission, r *handler.Request) (string, *score.Problem) {
	_, hr := r.Transport()
	callers := hr.Header[access.CallerHeader]
	switch {
	case len(callers) == 0 && (n == PermitJoin || n == PermitLeave):
		if g.options.Sender == nil {
			return handler.AnyMember, nil
		}
		return cmp.Or(g.options.Sender(ctx), handler.AnyMember), nil
	case len(callers) == 1 && isMemberName(callers[0]):
		switch n {
		case PermitJoin, PermitRead, PermitMetrics:
			return g.unlessRemoved(callers[0]), nil
		}
		return "", nil // the word of the forwarding member gives no other right
	case len(callers) == 1 && callers[0] == access.NoMember:
		return "", nil
	}
	return "", g.Refuse(ReasonRole, score.Problemf(score.Forbidden,
		"the forwarding member does not say for whom it forwards this request, in one header %s", access.CallerHeader))
}

// isMemberName reports whether a name has the form id@instance.
func isMemberName(name string) bool {
	id, instance, _ := strings.Cut(name, "@")
	return id != "" && instance != ""
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
			if !g.awaitGrant(ctx, caller.Peer, e.Key) {
				problem := score.Problemf(score.RateLimited, "%v", errNotAwaited)
				problem.ID = e.ID
				return i, g.Refuse(reasonUnknowns, problem)
			}
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
	case grant != nil && grant.Expired(time.Now()):
		refused = score.Problemf(score.Unauthorized,
			"the grant of %q has expired; ask an operator for a new one", grant.Name)
		refused.ID = e.ID
		return reasonExpired, refused
	}
	reason = reasonEvent
	refused = state.Authorize(e, func(grant *access.Grant) *score.Problem {
		problem := g.options.Verify(grant.Public, state.Settings.Lineage, e)
		if problem != nil {
			reason = ReasonSignature
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
