package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/internal/address"
	"laurel/score"
)

// A page of another origin reads what everybody may read. In a private group, and with a
// list of origins, only those of the list and of the group's own frontends do. None makes
// changes or reads what is for operators.

const (
	// pageMethods and pageFields are what a page of another origin may send. A browser
	// asks before it sends a field that is not among those of every request.
	pageMethods = "GET, HEAD"
	pageFields  = "Authorization, Cache-Control, If-None-Match, Last-Event-ID"
	// preflightAge is how long, in seconds, a browser may remember the answer.
	preflightAge = "7200"
)

// origins decide which web pages may read answers, and keep pages of other origins from
// making changes.
type origins struct {
	status  Status
	allowed map[string]bool // nil permits all to read, unless the group is private
	changes *http.CrossOriginProtection
}

// newOrigins returns the origins that may read. Each of allowed is as ParseOrigin returns
// it.
func newOrigins(status Status, allowed []string) *origins {
	list := &origins{status: status, changes: http.NewCrossOriginProtection()}
	if allowed == nil {
		return list
	}
	list.allowed = map[string]bool{}
	for _, origin := range allowed {
		list.allowed[origin] = true
	}
	return list
}

// ParseOrigin returns the origin in a URL without a path, as browsers send it: in lower
// case and without the usual port.
func ParseOrigin(text string) (string, error) {
	u, err := address.Parse(text)
	if err != nil || u.Path != "" {
		return "", fmt.Errorf("%q is no origin; want a scheme, a host in ASCII, and a port if it is not the usual "+
			"one, such as https://scores.example", text)
	}
	return u.Origin(), nil
}

// all reports whether pages of every origin may read what is public. It needs no
// credentials.
func (o *origins) all() bool { return o.allowed == nil }

// mayRead reports whether a page of origin may read. That of any frontend may: it moves
// to another when its own is gone.
func (o *origins) mayRead(origin string) bool {
	return origin != "" && (o.allowed[origin] ||
		slices.ContainsFunc(o.status.Frontends().Frontends, func(f score.Frontend) bool {
			u, err := address.Parse(f.URL)
			return err == nil && u.Origin() == origin
		}))
}

// checkChange refuses a request of a page of another origin that would change something.
// The browser would send the credentials of its user with it.
func (o *origins) checkChange(r *http.Request, s *server) error {
	if err := o.changes.Check(r); err != nil && s.client {
		return s.refusePage("pages of other origins may not make changes")
	}
	return nil
}

func (s *server) refusePage(format string, args ...any) *score.Problem {
	return s.gate.Refuse(admission.ReasonOrigin, score.Problemf(score.Forbidden, format, args...))
}

// shared returns the header fields that every answer to a request for which a caller
// needs n has. private is the setting of the group.
func (s *server) shared(n admission.Permission, private bool, method, origin string) handler.Shared {
	shared := handler.Shared{Frontend: s.id, Private: private}
	switch {
	case !s.client || !n.Reads() || method != http.MethodGet && method != http.MethodHead:
	case s.origins.all() && !private:
		shared.AllowOrigin = "*"
	default:
		shared.VaryOrigin = true
		if s.origins.mayRead(origin) {
			shared.AllowOrigin = origin
		}
	}
	return shared
}

// otherMethod answers a request with a method that p does not have.
func (s *server) otherMethod(p path) handler.Func {
	refuse := methodNotAllowed(p)
	return func(ctx context.Context, r *handler.Request) (handler.Response, error) {
		if r.Method == http.MethodOptions && s.client {
			w, hr := r.Transport()
			// A browser that asks, before a request, whether a page may make it.
			if method := hr.Header.Get("Access-Control-Request-Method"); method != "" && hr.Header.Get("Origin") != "" {
				return handler.Written, s.preflight(w, hr.Header.Get("Origin"), p[method])
			}
		}
		return refuse(ctx, r)
	}
}

// preflight answers a browser that asks whether a page of origin may make a request to e,
// which is nil if there is no such method. The page has shown no token yet.
func (s *server) preflight(w http.ResponseWriter, origin string, e *endpoint) error {
	if e == nil || e.method != http.MethodGet || !e.permit.Reads() {
		return s.refusePage("pages of other origins may only read, by %s, and not what is for operators", pageMethods)
	}
	shared := s.shared(e.permit, s.gate.Private(), e.method, origin)
	if shared.AllowOrigin == "" {
		return s.refusePage("pages of %s may not read here: --cors-origin does not have it", handler.Quoted(origin))
	}
	h := w.Header()
	shared.SetOn(h)
	h.Set("Access-Control-Allow-Methods", pageMethods)
	h.Set("Access-Control-Allow-Headers", pageFields)
	h.Set("Access-Control-Max-Age", preflightAge)
	h.Set("Vary", "Origin")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
