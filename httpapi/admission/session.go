package admission

import (
	"context"
	"net/http"
	"strings"
	"time"

	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

// SignIn returns the cookie that lets a browser read for access.SessionLife, in exchange
// for the text of a reader's token. The cookie is nil where everybody may read. Others
// than readers' tokens are refused, so that nobody gets used to typing them into a page.
func (g *Gate) SignIn(ctx context.Context, r *handler.Request, text string) (*http.Cookie, *score.Problem) {
	if g.public(PermitRead) {
		return nil, nil
	}
	caller := &handler.Caller{Peer: r.Peer()}
	r.Authorization = []string{"Bearer " + text}
	if problem := g.identify(ctx, r, caller); problem != nil {
		return nil, problem
	}
	token, err := access.ParseBearerToken(text)
	switch grant := caller.Grant; {
	case err != nil || grant == nil: // an open store takes no token
		return nil, nil
	case grant.Role != access.RoleReader:
		return nil, g.Refuse(ReasonRole, score.Problemf(score.Forbidden,
			"the token of %q has the role %s; a browser reads with a reader's token, which can do nothing else",
			grant.Name, grant.Role))
	}
	ends := time.Now().Add(access.SessionLife)
	return g.cookie(token.NewSession(g.Access().Settings.Lineage, ends), int(access.SessionLife.Seconds())), nil
}

// SignedOut returns the cookie with which a browser forgets its session.
func (g *Gate) SignedOut() *http.Cookie { return g.cookie("", -1) }

func (g *Gate) cookie(value string, seconds int) *http.Cookie {
	return &http.Cookie{
		Name:     access.SessionCookie(g.Access().Settings.Lineage),
		Value:    value,
		Path:     "/",
		MaxAge:   seconds,
		Secure:   true,
		HttpOnly: true,
		SameSite: http.SameSiteStrictMode,
	}
}

// HasSession reports whether a request has the cookie of a session, valid or not.
func (g *Gate) HasSession(r *handler.Request) bool { return g.session(r) != "" }

// session returns the session in the cookies of a request, "" for none.
func (g *Gate) session(r *handler.Request) string {
	if len(r.Cookie) == 0 {
		return ""
	}
	cookies := http.Request{Header: http.Header{"Cookie": r.Cookie}}
	c, err := cookies.Cookie(access.SessionCookie(g.Access().Settings.Lineage))
	if err != nil {
		return ""
	}
	return c.Value
}

// Exposed reports whether others may read what comes from a peer, so that a token or a
// session is not accepted from it.
func (g *Gate) Exposed(peer *fastpath.Peer) bool {
	return g.client && !peer.Encrypted() && !peer.Near()
}

// resume gives a caller without a token what the session in its cookies permits: to read.
// A browser sends cookies with requests that its user knows nothing of, so they permit
// nothing else.
func (g *Gate) resume(ctx context.Context, n Permission, r *handler.Request, caller *handler.Caller) *score.Problem {
	switch {
	case n != PermitRead && n != PermitWatch && n != PermitMetrics,
		r.Method != http.MethodGet && r.Method != http.MethodHead,
		len(r.Authorization) > 0, g.Exposed(caller.Peer):
		return nil
	}
	text := g.session(r)
	if text == "" {
		return nil
	}
	id, _, _ := strings.Cut(text, ".")
	grant, err := (*access.Grant)(nil), errNotAwaited
	if g.awaitGrant(ctx, caller.Peer, id) {
		grant, err = g.Access().Session(text, time.Now())
	}
	if err != nil {
		return g.refuseToken(err)
	}
	caller.Grant, caller.Session = grant, true
	return nil
}
