package httpapi

import (
	"cmp"
	"context"
	_ "embed"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"laurel/cache"
	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/httpapi/web"
	"laurel/internal/textfmt"
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

func on(method, pattern string, p admission.Permission, h handler.Func) route {
	return route{method: method, pattern: pattern, permit: p, handle: h}
}

// routes returns the whole interface. The first route that matches answers, so the
// busiest come first.
func (s *server) routes() []route {
	const (
		all, read, watch    = admission.PermitAll, admission.PermitRead, admission.PermitWatch
		post, enroll, leave = admission.PermitPost, admission.PermitEnroll, admission.PermitLeave
		operate, join       = admission.PermitOperate, admission.PermitJoin
		signed              = admission.PermitSigned
	)
	metrics := admission.PermitMetrics
	get := func(pattern string, p admission.Permission, h handler.Func) route {
		return on(http.MethodGet, pattern, p, h)
	}
	atMaster, plain := s.atMaster, handler.WithoutParameters
	page := s.metricsPage.handle
	if s.options.HideMetrics {
		page, metrics = hiddenMetrics, all
	}
	list := []route{{method: http.MethodPost, pattern: "/v1/events", permit: post, handle: plain(s.post), fast: true}}
	for _, r := range question.Routes {
		hit := s.hit
		if r.Board {
			hit = s.boardHit
		}
		list = append(list, route{http.MethodGet, r.Pattern, read, s.read(&r), hit, true})
	}
	return append(list,
		on(http.MethodPost, "/v1/vouch", read, plain(s.vouch)),
		get("/v1/proof/{key:.+}", read, plain(s.proofs.Proof)),
		get("/v1/checkpoint", read, plain(s.proofs.Checkpoint)),
		get("/v1/keys", read, plain(s.admin.Keys)),
		get("/v1/keys/{id}", read, plain(s.admin.Key)),
		get("/v1/watch", watch, s.watch),
		get("/v1/frontends", read, plain(s.admin.Frontends)),
		get("/v1/cluster", read, plain(s.admin.Frontends)),
		on(http.MethodPost, "/v1/cluster/members", join, atMaster(plain(s.admin.Join))),
		on(http.MethodDelete, "/v1/cluster/members/{id}", leave, atMaster(s.admin.Leave)),
		on(http.MethodPost, "/v1/cluster/transfer", operate, atMaster(plain(s.admin.Transfer))),
		get("/v1/cluster/autopilot", read, atMaster(plain(s.admin.Autopilot))),
		on(http.MethodPost, "/v1/cluster/drain", operate, atMaster(plain(s.admin.Drain))),
		get("/v1/cluster/settings", read, plain(s.admin.Settings)),
		on(http.MethodPut, "/v1/cluster/settings/{name}", operate, atMaster(plain(s.admin.ChangeSetting))),
		on(http.MethodPost, "/v1/cluster/tokens", operate, atMaster(plain(s.admin.NewJoinToken))),
		on(http.MethodPost, "/v1/cluster/enroll", enroll, atMaster(plain(s.admin.Enroll))),
		get("/v1/cluster/authority", all, plain(s.admin.Authority)),
		on(http.MethodPost, "/v1/cluster/authority", operate, atMaster(plain(s.admin.ChangeAuthority))),
		get("/v1/roster", all, plain(s.admin.Roster)),
		on(http.MethodPost, "/v1/roster/changes", signed, atMaster(plain(s.admin.SignedChange))),
		get("/v1/access", operate, atMaster(plain(s.admin.Access))),
		on(http.MethodPost, "/v1/access/grants", operate, atMaster(plain(s.admin.NewGrant))),
		on(http.MethodDelete, "/v1/access/grants/{id}", operate, atMaster(plain(s.admin.Revoke))),
		get("/v1/audit", operate, atMaster(s.admin.Audit)),
		get("/v1/snapshot", operate, s.leasedOrMaster(plain(s.snapshots.Get))),
		get("/livez", all, livez),
		get("/readyz", all, s.readyz),
		get("/metrics", metrics, page),
		get("/assets/{file}", all, fromHTTPHandler(web.Assets())),
		get(pagePath, read, s.frontPage),
		on(http.MethodPost, pagePath, all, s.signIn),
	)
}

func fromHTTPHandler(h http.Handler) handler.Func {
	return func(_ context.Context, r *handler.Request) (handler.Response, error) {
		h.ServeHTTP(r.Transport())
		return handler.Written, nil
	}
}

func (s *server) router() http.Handler {
	// Cleaning a path means a redirect, and a redirected POST loses its body.
	router := mux.NewRouter().SkipClean(true)
	byPattern := map[string]path{}
	for _, r := range s.routes() {
		p := byPattern[r.pattern]
		if p == nil {
			p = path{}
			byPattern[r.pattern] = p
			router.Handle(r.pattern, p)
		}
		e := s.endpoint(r)
		p[r.method] = e
		if r.method == http.MethodGet {
			p[http.MethodHead] = e
		}
	}
	for pattern, p := range byPattern {
		p[""] = s.endpoint(on("other", pattern, admission.PermitAll, s.otherMethod(p)))
	}
	notFound := func(_ context.Context, r *handler.Request) (handler.Response, error) {
		return handler.Response{}, question.UnknownPath(r.Path)
	}
	router.NotFoundHandler = s.endpoint(on("any", "unknown", admission.PermitAll, notFound))
	return router
}

// path has what is answered at one pattern, by method, and with "" for other methods.
type path map[string]*endpoint

func (p path) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cmp.Or(p[r.Method], p[""]).ServeHTTP(w, r)
}

func methodNotAllowed(p path) handler.Func {
	allow := strings.Join(slices.Sorted(maps.Keys(p)), ", ")
	return func(_ context.Context, r *handler.Request) (handler.Response, error) {
		problem := score.Problemf(score.InvalidEvent,
			"%s does not support %s; want %s", handler.Quoted(r.Path), handler.Quoted(r.Method), allow)
		problem.Status = http.StatusMethodNotAllowed
		return handler.Response{Allow: allow}, problem
	}
}

const readyTimeout = 2 * time.Second

// livez reports that the process answers, whatever the state of the group.
func livez(context.Context, *handler.Request) (handler.Response, error) { return ok() }

// hiddenMetrics answers for the metrics at a frontend that shows them elsewhere.
func hiddenMetrics(context.Context, *handler.Request) (handler.Response, error) {
	return handler.Response{}, score.Problemf(score.NotFound,
		"this frontend shows its metrics at its debug address only (--metrics=debug)")
}

// scopeReads is the value of readyz's parameter scope for the reads alone.
const scopeReads = "reads"

// readyz reports whether linearizable reads can be answered and, unless the parameter
// scope limits it to the reads, whether a frontend that is to vote has its vote.
func (s *server) readyz(ctx context.Context, r *handler.Request) (handler.Response, error) {
	q, err := handler.Parameters(r.Query, "scope")
	if err != nil {
		return handler.Response{}, err
	}
	ready := s.status.Ready
	switch scope, given := q["scope"]; {
	case given && scope[0] != scopeReads:
		return handler.Response{}, handler.FieldProblem("scope", "got %q; want %q or no scope", scope[0], scopeReads)
	case given:
		ready = s.status.ReadyForReads
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err = ready(ctx)
	switch {
	case err == nil:
		return ok()
	case score.CodeOf(err) == score.NotReady:
		return handler.Response{}, err
	}
	return handler.Response{}, score.Problemf(score.NotReady, "linearizable reads cannot be answered now: %s", err)
}

func ok() (handler.Response, error) {
	return handler.Response{CacheControl: "no-store", Type: handler.TypeText, Body: []byte("ok\n")}, nil
}

// frontPage answers browsers with the live page and other clients with an overview of the
// interface.
func (s *server) frontPage(ctx context.Context, r *handler.Request) (handler.Response, error) {
	if !r.AcceptsHTML() {
		return s.overviewPage(r)
	}
	data, err := s.pageData(ctx)
	if err != nil {
		return handler.Response{VaryAccept: true}, err
	}
	// The group may have become private while the data was awaited.
	if problem := s.gate.Admit(ctx, admission.PermitRead, r); problem != nil {
		return handler.Response{VaryAccept: true}, problem
	}
	data.Frontends, data.Frontend, data.Incarnation = s.status.Frontends(), s.id, s.status.Incarnation()
	data.SignedIn = r.Caller.Session
	w, hr := r.Transport()
	w.Header().Set("Vary", "Accept")
	var written func()
	defer func() {
		if written != nil {
			written()
		}
	}()
	return handler.Written, web.Page(w, hr, data, func(n int) error {
		var refused *score.Problem
		if written, refused = s.holdAnswer(r, n); refused != nil {
			return refused
		}
		return nil
	})
}

// pageData returns what this frontend knows, current or not: the page shows its age.
func (s *server) pageData(ctx context.Context) (web.Data, error) {
	q := question.Now()
	a, err := s.own(ctx, &q)
	var entry *cache.Entry
	switch {
	case err == nil:
		entry = a.entry
	case ctx.Err() != nil:
		return web.Data{}, err
	default:
		entry, _, _, err = s.staleEntry(ctx, &q)
	}
	if err != nil {
		return web.Data{}, err
	}
	data, err := decodeNow(entry).page()
	return *data, err
}

func (s *server) overviewPage(r *handler.Request) (handler.Response, error) {
	_, hr := r.Transport()
	at := "http://"
	if r.Peer().Encrypted() {
		at = "https://"
	}
	at += textfmt.OneLine(hr.Host)
	// Behind a proxy the client's scheme and prefix are those of the public URL.
	if u := s.options.URL; !s.options.Direct && u.Serves(u.Scheme, hr.Host) {
		at = u.String()
	}
	return handler.Response{
		VaryAccept:     true,
		ReferrerPolicy: "no-referrer",
		CacheControl:   "no-cache",
		Type:           handler.TypeText,
		Body:           []byte(strings.ReplaceAll(overview, "{url}", at)),
	}, nil
}

//go:embed overview.txt
var overview string
