package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"laurel/httpapi/fastpath"
	"laurel/score"
)

// errNotHot is what a hotHandler says of a request that is for net/http. It has done nothing then.
var errNotHot = errors.New("not hot")

// hotHandler appends a whole answer to dst and tells its status; or says why not, and has appended nothing.
type hotHandler func(ctx context.Context, dst []byte, r *fastpath.Request) (out []byte, status int, err error)

// hotRoute is a route that has a way past net/http. A request on that way, or not, gets the same answer. It has one of handle and read.
type hotRoute struct {
	name, path string // a path that ends with a slash is the beginning of paths
	single     bool   // one segment follows the path
	handle     hotHandler
	// read answers from memory, at once or after a moment, or not at all: then the handler for net/http does. Its status is 0 for not.
	read    func(ctx context.Context, dst []byte, r *fastpath.Request) (out []byte, status int)
	metrics requestMetrics
}

// hot is the routes that are asked most.
type hot struct {
	port    *port
	routes  []hotRoute
	adapter adapter
}

// hot is the way past s, whose handler answers as p does.
func (p *port) hot(s *http.Server) *hot {
	return &hot{p, append(p.hotReads(),
		hotRoute{name: http.MethodPost, path: "/v1/events", handle: p.hotEvents, metrics: p.metrics.request(p.name, "/v1/events", http.MethodPost)},
	), adapter{s.Handler, s}}
}

// Answer does for the front what method.ServeHTTP does for net/http.
func (h *hot) Answer(ctx context.Context, dst []byte, r *fastpath.Request) ([]byte, bool) {
	route := h.find(r)
	if route == nil {
		return dst, false
	}
	start := time.Now()
	if route.read != nil {
		out, status := route.read(ctx, dst, r)
		if status == 0 {
			return h.adapter.answer(ctx, dst, r)
		}
		h.done(ctx, route, r, status, time.Since(start), nil)
		return out, true
	}
	h.port.metrics.inFlight.Inc()
	defer h.port.metrics.inFlight.Dec()
	out, status, err := route.handle(ctx, dst, r)
	switch {
	case err == errNotHot:
		return dst, false
	case err != nil:
		out, status = h.fail(ctx, dst, r, err)
	}
	h.done(ctx, route, r, status, time.Since(start), err)
	return out, true
}

// done counts and logs a request.
func (h *hot) done(ctx context.Context, route *hotRoute, r *fastpath.Request, status int, took time.Duration, err error) {
	route.metrics.done(status, took, false)
	if h.port.logs(ctx) {
		h.port.logRequest(ctx, r.Method, string(r.Path), status, took, err)
	}
}

func (h *hot) find(r *fastpath.Request) *hotRoute {
	for i := range h.routes {
		if route := &h.routes[i]; r.Method == route.name && route.leads(r.Path) {
			return route
		}
	}
	return nil
}

// leads tells whether a path is of the route.
func (route *hotRoute) leads(path []byte) bool {
	n := len(route.path)
	if route.path[n-1] != '/' {
		return string(path) == route.path
	}
	return len(path) > n && string(path[:n]) == route.path && !(route.single && bytes.IndexByte(path[n:], '/') >= 0)
}

// fail appends err as a problem. Nothing is appended where nobody waits for it.
func (h *hot) fail(ctx context.Context, dst []byte, r *fastpath.Request, err error) ([]byte, int) {
	problem := h.port.problem(ctx, r.Method, string(r.Path), err)
	if problem == nil {
		return dst, statusGone
	}
	return h.port.appendHotProblem(dst, r, problem), problem.Status
}

// appendHotProblem is writeProblem for the front. Fields come in the order of their names, as net/http writes them.
func (p *port) appendHotProblem(dst []byte, r *fastpath.Request, problem *score.Problem) []byte {
	body := append(appendProblem(nil, problem), '\n')
	dst = fastpath.AppendStatus(dst, problem.Status)
	dst = append(dst, "Cache-Control: no-store\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\nContent-Type: "+typeProblem+"\r\nLaurel-Frontend: "...)
	dst = append(dst, p.id[0]...)
	dst = append(dst, "\r\n"...)
	if passes(problem.Status) {
		dst = append(dst, "Retry-After: "...)
		dst = append(dst, retryAfter(r.Wait)...)
		dst = append(dst, "\r\n"...)
	}
	if problem.Status == http.StatusUnauthorized {
		dst = append(dst, "Www-Authenticate: "+authenticate+"\r\n"...)
	}
	dst = append(dst, noSniffLine...)
	return append(r.AppendEnd(dst), body...)
}

// hotEvents is postEvents for one event or an array, in a body that is there already.
func (p *port) hotEvents(ctx context.Context, dst []byte, r *fastpath.Request) ([]byte, int, error) {
	switch string(r.ContentType) {
	case typeJSON, typeJSON + "; charset=utf-8":
	default:
		return dst, 0, errNotHot
	}
	if len(r.Body) > p.limits.MaxBodyBytes || len(r.Origin) > 0 {
		return dst, 0, errNotHot
	}
	c := credentials{peer: r.Peer}
	if len(r.Authorization) > 0 {
		c.authorization = []string{string(r.Authorization)}
	}
	if problem := p.beginHotPost(r); problem != nil {
		return dst, 0, problem
	}
	defer p.endPost()
	who, problem := p.admit(ctx, toPost, c, string(r.Query))
	if problem != nil {
		return dst, 0, problem
	}
	if problem := p.allowPost(who); problem != nil {
		r.Pause = restAfterRefusal
		return dst, 0, problem
	}
	b := newBuffer()
	defer b.free()
	var err error
	if b.b, err = p.postJSON(ctx, who, b.b[:0], r.Body); err != nil {
		return dst, 0, err
	}
	dst = fastpath.AppendStatus(dst, http.StatusOK)
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(b.b)), 10)
	dst = append(dst, "\r\nContent-Type: "+typeJSON+"\r\nLaurel-Frontend: "...)
	dst = append(dst, p.id[0]...)
	dst = append(dst, "\r\n"+noSniffLine...)
	return append(r.AppendEnd(dst), b.b...), http.StatusOK, nil
}
