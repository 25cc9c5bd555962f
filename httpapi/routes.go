package httpapi

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/httpapi/web"
	"laurel/score"
)

// route is what one method does at one path. HEAD follows from GET.
type route struct {
	method  string
	pattern string // a template of mux. Ids may contain slashes, so an id ends its path
	permit  admission.Permission
	handle  handler.Func
	// hit answers a read from memory on the fast path; nil for other routes.
	hit hitFunc
	// fast is true for a route that is answered on the fast path, too.
	fast bool
}

// reads are the routes of questions.
var reads = []struct {
	pattern string
	parse   parser
	board   bool
}{
	{pattern: "/v1/scores/{contest:.+}", parse: parseScore},
	{pattern: "/v1/scores", parse: parseScores},
	{pattern: "/v1/timeline/{contest:.+}", parse: parseTimeline},
	{pattern: "/v1/leaderboard/{contest:.+}", parse: parseLeaderboard, board: true},
	{pattern: "/v1/medals/{competition}", parse: parseMedals},
	{pattern: "/v1/medals/{competition}/{organisation:.+}", parse: parseMedalRow},
	{pattern: "/v1/bards/{source:.+}", parse: parseBard},
}

// routes returns the whole interface. The first route that matches answers, so the busiest come first.
func (s *server) routes() []route {
	const (
		all, metrics, read, watch = admission.PermitAll, admission.PermitMetrics, admission.PermitRead, admission.PermitWatch
		post, operate, join       = admission.PermitPost, admission.PermitOperate, admission.PermitJoin
		enroll                    = admission.PermitEnroll
	)
	get := func(pattern string, p admission.Permission, h handler.Func) route {
		return route{method: http.MethodGet, pattern: pattern, permit: p, handle: h}
	}
	on := func(method, pattern string, p admission.Permission, h handler.Func) route {
		return route{method: method, pattern: pattern, permit: p, handle: h}
	}
	atMaster := s.admin.AtMaster
	metricsPage := promhttp.HandlerFor(s.gatherer, promhttp.HandlerOpts{})
	list := []route{{method: http.MethodPost, pattern: "/v1/events", permit: post, handle: s.poster.post, fast: true}}
	for _, r := range reads {
		hit := s.hit
		if r.board {
			hit = s.boardHit
		}
		list = append(list, route{http.MethodGet, r.pattern, read, s.reader.handler(r.parse), hit, true})
	}
	return append(list,
		get("/v1/keys", read, s.admin.Keys),
		get("/v1/keys/{id}", read, s.admin.Key),
		get("/v1/watch", watch, s.watching.stream),
		get("/v1/frontends", read, s.admin.Frontends),
		get("/v1/cluster", read, s.admin.Frontends),
		on(http.MethodPost, "/v1/cluster/members", join, atMaster(s.admin.Join)),
		on(http.MethodDelete, "/v1/cluster/members/{id}", operate, atMaster(s.admin.Leave)),
		on(http.MethodPost, "/v1/cluster/transfer", operate, atMaster(s.admin.Transfer)),
		on(http.MethodPut, "/v1/cluster/cache", operate, atMaster(s.admin.SetCacheMode)),
		on(http.MethodPost, "/v1/cluster/tokens", operate, atMaster(s.admin.NewJoinToken)),
		on(http.MethodPost, "/v1/cluster/enroll", enroll, s.admin.RateLimited(atMaster(s.admin.Enroll))),
		get("/v1/cluster/authority", all, s.admin.Authority),
		on(http.MethodPost, "/v1/cluster/authority", operate, atMaster(s.admin.ChangeAuthority)),
		get("/v1/access", operate, atMaster(s.admin.Access)),
		on(http.MethodPost, "/v1/access/grants", operate, atMaster(s.admin.NewGrant)),
		on(http.MethodDelete, "/v1/access/grants/{id}", operate, atMaster(s.admin.Revoke)),
		get("/v1/audit", operate, atMaster(s.admin.Audit)),
		get("/livez", all, livez),
		get("/readyz", all, s.readyz),
		get("/metrics", metrics, fromHTTPHandler(metricsPage)),
		get("/assets/{file}", all, fromHTTPHandler(web.Assets())),
		get("/", read, s.pages.front),
	)
}

// pattern matches paths. It knows the patterns of the routes that the fast path answers; for net/http, mux
// matches them.
type pattern struct {
	prefix   string // what the pattern begins with literally
	segments int    // how many more segments a path needs: 0, 1 or 2
	open     bool   // the last segment may contain slashes
}

func parsePattern(s string) pattern {
	prefix, rest, found := strings.Cut(s, "{")
	if !found {
		return pattern{prefix: s}
	}
	return pattern{prefix, 1 + strings.Count(rest, "/{"), strings.HasSuffix(rest, ":.+}")}
}

// matches reports whether a path matches. It allocates nothing.
func (p *pattern) matches(path []byte) bool {
	n := len(p.prefix)
	switch {
	case len(path) < n || string(path[:n]) != p.prefix:
		return false
	case p.segments == 0:
		return len(path) == n
	}
	name := path[n:]
	if p.segments == 2 {
		slash := bytes.IndexByte(name, '/')
		if slash <= 0 {
			return false
		}
		name = name[slash+1:]
	}
	return len(name) > 0 && (p.open || bytes.IndexByte(name, '/') < 0)
}

// fromHTTPHandler returns a handler that has h write the answer.
func fromHTTPHandler(h http.Handler) handler.Func {
	return func(_ context.Context, r *handler.Request) (handler.Response, error) {
		h.ServeHTTP(r.Transport())
		return handler.Written, nil
	}
}

// router returns the routes as a handler for net/http.
func (s *server) router() http.Handler {
	// Cleaning a path means a redirect, and a redirected POST loses its body.
	router := mux.NewRouter().SkipClean(true)
	byPattern := map[string]*path{}
	for _, r := range s.routes() {
		p := byPattern[r.pattern]
		if p == nil {
			p = &path{methods: map[string]*endpoint{}}
			byPattern[r.pattern] = p
			router.Handle(r.pattern, p)
		}
		e := s.endpoint(r)
		p.methods[r.method] = e
		if r.method == http.MethodGet {
			p.methods[http.MethodHead] = e
		}
	}
	for pattern, p := range byPattern {
		p.other = s.endpoint(route{method: "other", pattern: pattern, permit: admission.PermitAll, handle: methodNotAllowed(p)})
	}
	router.NotFoundHandler = s.endpoint(route{method: "any", pattern: "unknown", permit: admission.PermitAll, handle: notFound})
	return router
}

// path is what is answered at one pattern.
type path struct {
	methods map[string]*endpoint
	other   *endpoint // for other methods
}

func (p *path) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, ok := p.methods[r.Method]
	if !ok {
		e = p.other
	}
	e.ServeHTTP(w, r)
}

func methodNotAllowed(p *path) handler.Func {
	allow := strings.Join(slices.Sorted(maps.Keys(p.methods)), ", ")
	return func(_ context.Context, r *handler.Request) (handler.Response, error) {
		problem := score.Problemf(score.InvalidEvent, "%s does not support %s; want %s", handler.Quoted(r.Path), handler.Quoted(r.Method), allow)
		problem.Status = http.StatusMethodNotAllowed
		return handler.Response{Allow: allow}, problem
	}
}

func notFound(_ context.Context, r *handler.Request) (handler.Response, error) {
	return handler.Response{}, unknownPath(r.Path)
}

func unknownPath(path string) *score.Problem {
	return score.Problemf(score.NotFound, "no such path: %s; see GET /", handler.Quoted(path))
}
