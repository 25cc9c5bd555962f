package httpapi

import (
	"net/http"
	"net/url"
	"strings"
)

// Header values of every answer: what it is it says itself, and is not to be guessed.
var headerNoSniff = []string{"nosniff"}

const noSniffLine = "X-Content-Type-Options: nosniff\r\n"

// anyOrigin lets pages of any origin read: what is read here is public, and asks for no credentials.
var anyOrigin = []string{"*"}

// originsOf are the origins whose pages may read; nil: all.
func originsOf(o Options) map[string]bool {
	if o.Origins == nil && !o.Private {
		return nil
	}
	list := map[string]bool{}
	for _, one := range o.Origins {
		list[strings.ToLower(strings.TrimRight(one, "/"))] = true
	}
	return list
}

// ownOrigins keeps pages of other origins from changing anything by the browser of somebody who may: no page needs to.
func (a *API) ownOrigins() *http.CrossOriginProtection {
	c := http.NewCrossOriginProtection()
	for one := range a.origins {
		_ = c.AddTrustedOrigin(one) // what is no origin is trusted by nobody
	}
	return c
}

// letPagesRead says whether the page that asks may read the answer. The page of any frontend may: it goes to another when its own is gone.
func (p *port) letPagesRead(w *response, r *http.Request) {
	if !p.forwards || r.Method != http.MethodGet {
		return
	}
	if p.origins == nil {
		w.Header()["Access-Control-Allow-Origin"] = anyOrigin
		return
	}
	w.varies = true
	if origin := r.Header.Get("Origin"); origin != "" && (p.origins[strings.ToLower(origin)] || p.isFrontend(origin)) {
		w.Header()["Access-Control-Allow-Origin"] = []string{origin}
	}
}

// isFrontend tells whether an origin is that of a frontend of the group.
func (p *port) isFrontend(origin string) bool {
	for _, f := range p.group.Frontends().Frontends {
		if u, err := url.Parse(f.URL); err == nil && u.Host != "" && strings.EqualFold(u.Scheme+"://"+u.Host, origin) {
			return true
		}
	}
	return false
}
