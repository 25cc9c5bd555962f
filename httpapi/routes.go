package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"laurel/score"
)

// handler answers a request, or says why not and has written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is one path of the interface, as a template of mux, and what each method does there. HEAD follows from GET.
type route struct {
	path    string
	methods map[string]does
}

// does is what a method does, and what its caller must be.
type does struct {
	need need
	handler
}

// routes is the whole interface. The first that matches answers, so the busiest comes first.
//
// A contest's id, a source and an organisation may have slashes in them, so each ends its path.
func (p *port) routes() []route {
	on := func(method string) func(need, handler) map[string]does {
		return func(n need, h handler) map[string]does { return map[string]does{method: {n, h}} }
	}
	get, post, put, remove := on(http.MethodGet), on(http.MethodPost), on(http.MethodPut), on(http.MethodDelete)
	return []route{
		{"/v1/events", post(toPost, p.postEvents)},
		{"/v1/scores/{contest:.+}", get(toRead, p.read)},
		{"/v1/scores", get(toRead, p.read)},
		{"/v1/timeline/{contest:.+}", get(toRead, p.read)},
		{"/v1/leaderboard/{contest:.+}", get(toRead, p.read)},
		{"/v1/medals/{competition}", get(toRead, p.read)},
		{"/v1/medals/{competition}/{organisation:.+}", get(toRead, p.read)},
		{"/v1/bards/{source:.+}", get(toRead, p.read)},
		{"/v1/keys", get(toRead, p.keyList)},
		{"/v1/keys/{id}", get(toRead, p.oneKey)},
		{"/v1/watch", get(toWatch, p.watchStream)},
		{"/v1/frontends", get(toRead, p.frontends)},
		{"/v1/cluster", get(toRead, p.frontends)},
		{"/v1/cluster/members", post(toJoin, p.atMaster(p.join))},
		{"/v1/cluster/members/{id}", remove(toOperate, p.atMaster(p.leave))},
		{"/v1/cluster/transfer", post(toOperate, p.atMaster(p.transfer))},
		{"/v1/cluster/cache", put(toOperate, p.atMaster(p.setCacheMode))},
		{"/v1/cluster/tokens", post(toOperate, p.atMaster(p.newJoinToken))},
		{"/v1/cluster/enroll", post(toEnroll, p.seldom(p.atMaster(p.enroll)))},
		{"/v1/cluster/authority", map[string]does{http.MethodGet: {forAll, p.authority}, http.MethodPost: {toOperate, p.atMaster(p.changeAuthority)}}},
		{"/v1/access", get(toOperate, p.atMaster(p.access))},
		{"/v1/access/grants", post(toOperate, p.atMaster(p.newGrant))},
		{"/v1/access/grants/{id}", remove(toOperate, p.atMaster(p.revoke))},
		{"/v1/audit", get(toOperate, p.atMaster(p.audit))},
		{"/livez", get(forAll, livez)},
		{"/readyz", get(forAll, p.readyz)},
		{"/metrics", get(toMeasure, metricsPage(promhttp.HandlerFor(p.gatherer, promhttp.HandlerOpts{})))},
		{"/assets/{file}", get(forAll, assets())},
		{"/", get(toRead, p.frontPage)},
	}
}

func newRouter(p *port) http.Handler {
	// A path is taken as it is: to clean it would mean a redirect, and a redirected POST loses its body.
	router := mux.NewRouter().SkipClean(true)
	for _, rt := range p.routes() {
		router.Handle(rt.path, p.endpoint(rt))
	}
	router.NotFoundHandler = p.method("unknown", "any", forAll, func(w http.ResponseWriter, r *http.Request) error {
		return score.Problemf(score.NotFound, "there is no %s; GET / names what there is", quoted(r.URL.Path))
	})
	return router
}

// endpoint answers on one path, whatever the method.
type endpoint struct {
	methods map[string]*method
	refuse  *method
}

func (p *port) endpoint(rt route) *endpoint {
	e := &endpoint{methods: make(map[string]*method, 2)}
	for name, does := range rt.methods {
		m := p.method(rt.path, name, does.need, does.handler)
		e.methods[name] = m
		if name == http.MethodGet {
			e.methods[http.MethodHead] = m
		}
	}
	allow := strings.Join(slices.Sorted(maps.Keys(e.methods)), ", ")
	e.refuse = p.method(rt.path, "other", forAll, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", allow)
		problem := score.Problemf(score.InvalidEvent, "%s is not for %s; want %s", quoted(r.Method), quoted(r.URL.Path), allow)
		problem.Status = http.StatusMethodNotAllowed
		return problem
	})
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m, ok := e.methods[r.Method]; ok {
		m.ServeHTTP(w, r)
		return
	}
	e.refuse.ServeHTTP(w, r)
}
