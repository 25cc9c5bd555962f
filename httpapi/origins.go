package httpapi

import (
	"net/http"
	"net/url"
	"strings"

	"laurel/httpapi/admission"
	"laurel/score"
)

// origins decide which web pages may read answers, and keep pages of other origins from
// making changes.
type origins struct {
	status  Status
	allowed map[string]bool // nil permits all to read
	changes *http.CrossOriginProtection
}

func newOrigins(status Status, o Options) *origins {
	list := &origins{status: status, changes: http.NewCrossOriginProtection()}
	if o.Origins == nil && !o.Private {
		return list
	}
	list.allowed = map[string]bool{}
	for _, origin := range o.Origins {
		origin = strings.ToLower(strings.TrimRight(origin, "/"))
		list.allowed[origin] = true
		_ = list.changes.AddTrustedOrigin(origin) // an invalid origin is trusted by nobody
	}
	return list
}

// all reports whether pages of every origin may read. What they read is public and needs no
// credentials.
func (o *origins) all() bool { return o.allowed == nil }

// allow returns the Access-Control-Allow-Origin of an answer to a page of origin, "" for
// none, and whether that depends on the origin. The page of any frontend may read: it moves
// to another when its own is gone.
func (o *origins) allow(origin string) (allowed string, varies bool) {
	switch {
	case o.all():
		return "*", false
	case origin != "" && (o.allowed[strings.ToLower(origin)] || o.isFrontend(origin)):
		return origin, true
	}
	return "", true
}

func (o *origins) isFrontend(origin string) bool {
	for _, f := range o.status.Frontends().Frontends {
		if u, err := url.Parse(f.URL); err == nil && u.Host != "" && strings.EqualFold(u.Scheme+"://"+u.Host, origin) {
			return true
		}
	}
	return false
}

// checkChange refuses a request of a page of another origin that would change something.
// The browser would send the credentials of its user with it.
func (o *origins) checkChange(r *http.Request, s *server) error {
	if err := o.changes.Check(r); err != nil && s.client {
		return s.gate.Refuse(admission.ReasonOrigin, score.Problemf(score.Forbidden,
			"pages of other origins may not make changes"))
	}
	return nil
}
