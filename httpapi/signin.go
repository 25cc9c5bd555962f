package httpapi

import (
	"context"
	"net/http"

	"laurel/httpapi/handler"
	"laurel/httpapi/web"
	"laurel/score"
)

const (
	pagePath = "/"
	typeForm = "application/x-www-form-urlencoded"
	maxForm  = 1 << 10 // bytes
)

// signIn exchanges a reader's token for the cookie of a session, or ends the session. The
// forms of the page ask for it. The answer leads back to the page, by a relative URL:
// only the browser knows by which way it has come.
func (s *server) signIn(ctx context.Context, r *handler.Request) (handler.Response, error) {
	if _, err := r.MediaType(typeForm); err != nil {
		return handler.Response{}, err
	}
	b := handler.NewBuffer()
	defer b.Free()
	body, err := r.ReadBody(b)
	switch {
	case err != nil:
		return handler.Response{}, err
	case len(body) > maxForm:
		return handler.Response{}, score.Problemf(score.TooLarge, "the form has more than %d bytes", maxForm)
	}
	form, err := handler.Parameters(string(body), "token", "sign_out")
	if err != nil {
		return handler.Response{}, err
	}
	if s.gate.Access().Settings.Lineage == "" { // after which the cookie is named
		return handler.Response{}, score.Problemf(score.NotReady,
			"this frontend does not know its group yet; try again in a moment")
	}
	w, _ := r.Transport()
	if form.Has("sign_out") {
		http.SetCookie(w, s.gate.SignedOut())
		w.Header().Set("Clear-Site-Data", `"cache"`)
	} else {
		cookie, problem := s.gate.SignIn(ctx, r, form.Get("token"))
		if problem != nil {
			return handler.Response{}, problem
		}
		if cookie != nil {
			http.SetCookie(w, cookie)
		}
	}
	return handler.Response{Status: http.StatusSeeOther, Location: "./", CacheControl: "no-store"}, nil
}

// asksToSignIn reports whether a problem is shown as the form to sign in: to a browser
// that asked for the page of a private group, or whose form was refused.
func (e *endpoint) asksToSignIn(r *handler.Request, p *score.Problem) bool {
	return e.pattern == pagePath && r.AcceptsHTML() && e.server.gate.Access().Settings.Private &&
		(p.Status == http.StatusUnauthorized || r.Method == http.MethodPost)
}

// signInForm writes the form. The answer a has the header fields of the problem.
func (s *server) signInForm(r *handler.Request, a *handler.Response, p *score.Problem) error {
	w, hr := r.Transport()
	d := web.SignInData{Exposed: s.gate.Exposed(r.Peer())}
	switch {
	case r.Method == http.MethodPost:
		d.Problem = p.Detail
	case s.gate.HasSession(r):
		d.Problem = "Your session has ended."
	default:
		d.Reload = hr.Header.Get("Sec-Fetch-Site") == "cross-site"
	}
	for name, value := range map[string]string{
		"Www-Authenticate": a.Authenticate, "Retry-After": a.RetryAfter, "Vary": "Accept",
	} {
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	return web.SignIn(w, p.Status, d)
}
