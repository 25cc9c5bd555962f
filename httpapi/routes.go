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
	methods map[string]handler
}

// routes is the whole interface. The first that matches answers, so the busiest comes first.
//
// A contest's id, a source and an organisation may have slashes in them, so each ends its path.
func (p *port) routes() []route {
	get := func(h handler) map[string]handler { return map[string]handler{http.MethodGet: h} }
	post := func(h handler) map[string]handler { return map[string]handler{http.MethodPost: h} }
	return []route{
		{"/v1/events", post(p.postEvents)},
		{"/v1/scores/{contest:.+}", get(p.read)},
		{"/v1/scores", get(p.read)},
		{"/v1/timeline/{contest:.+}", get(p.read)},
		{"/v1/medals/{competition}", get(p.read)},
		{"/v1/medals/{competition}/{organisation:.+}", get(p.read)},
		{"/v1/bards/{source:.+}", get(p.read)},
		{"/v1/watch", get(p.watchStream)},
		{"/v1/frontends", get(p.frontends)},
		{"/v1/cluster", get(p.frontends)},
		{"/v1/cluster/members", post(p.atMaster(p.join))},
		{"/v1/cluster/members/{id}", map[string]handler{http.MethodDelete: p.atMaster(p.leave)}},
		{"/v1/cluster/transfer", post(p.atMaster(p.transfer))},
		{"/v1/cluster/cache", map[string]handler{http.MethodPut: p.atMaster(p.setCacheMode)}},
		{"/livez", get(livez)},
		{"/readyz", get(p.readyz)},
		{"/metrics", get(metricsPage(promhttp.HandlerFor(p.gatherer, promhttp.HandlerOpts{})))},
		{"/assets/{file}", get(assets())},
		{"/", get(p.frontPage)},
	}
}

func newRouter(p *port) http.Handler {
	// A path is taken as it is: to clean it would mean a redirect, and a redirected POST loses its body.
	router := mux.NewRouter().SkipClean(true)
	for _, rt := range p.routes() {
		router.Handle(rt.path, p.endpoint(rt))
	}
	router.NotFoundHandler = p.method("unknown", "any", func(w http.ResponseWriter, r *http.Request) error {
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
	for name, h := range rt.methods {
		m := p.method(rt.path, name, h)
		e.methods[name] = m
		if name == http.MethodGet {
			e.methods[http.MethodHead] = m
		}
	}
	allow := strings.Join(slices.Sorted(maps.Keys(e.methods)), ", ")
	e.refuse = p.method(rt.path, "other", func(w http.ResponseWriter, r *http.Request) error {
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
