package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"laurel/score"
)

// statusGone is what is logged and counted for a client that did not wait for its answer.
const statusGone = 499

// method is one method of one path. It is the one place where requests are counted and logged and where errors are written.
type method struct {
	port    *port
	need    need
	handle  handler
	metrics requestMetrics
}

func (p *port) method(path, name string, n need, h handler) *method {
	return &method{port: p, need: n, handle: h, metrics: p.metrics.request(p.name, path, name)}
}

func (m *method) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	res := &response{ResponseWriter: w}
	// Not supported by writers that stand on no connection: then there is nothing to bound.
	_ = http.NewResponseController(w).SetWriteDeadline(start.Add(m.port.limits.AnswerTimeout))
	h := w.Header()
	h["Laurel-Frontend"] = m.port.id
	h["X-Content-Type-Options"] = headerNoSniff
	m.port.letPagesRead(res, r)
	m.port.metrics.inFlight.Inc()
	defer m.port.metrics.inFlight.Dec()

	err := m.admitted(res, r)
	if err != nil {
		m.port.fail(res, r, err)
	}
	took := time.Since(start)
	m.metrics.done(res.code(), took, res.stream)
	if m.port.logs(r.Context()) {
		m.port.logRequest(r.Context(), r.Method, r.URL.Path, res.code(), took, err)
	}
}

// admitted has the request handled if its caller may make it, and there is room for it.
func (m *method) admitted(w http.ResponseWriter, r *http.Request) error {
	p := m.port
	if err := p.sameOrigin.Check(r); err != nil && p.forwards {
		return p.refuse(refusedOrigin, score.Problemf(score.Forbidden, "a page of another origin may not change anything here"))
	}
	who, problem := p.admit(r.Context(), m.need, p.credentials(r), r.URL.RawQuery)
	if problem != nil {
		return problem
	}
	leave, problem := p.enter(m.need, who)
	if problem != nil {
		return problem
	}
	defer leave()
	return m.handle(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
}

// logs tells whether requests are logged, so that those that are not cost nothing for it.
func (p *port) logs(ctx context.Context) bool { return p.log.Enabled(ctx, slog.LevelDebug) }

func (p *port) logRequest(ctx context.Context, method, path string, status int, took time.Duration, err error) {
	p.log.LogAttrs(ctx, slog.LevelDebug, "request", slog.String("port", p.name), slog.String("method", method),
		slog.String("path", path), slog.Int("status", status), slog.Duration("took", took), slog.Any("err", err))
}

// fail writes err as a problem, unless the answer has begun or nobody waits for it.
func (p *port) fail(w *response, r *http.Request, err error) {
	if w.status != 0 {
		return
	}
	problem := p.problem(r.Context(), r.Method, r.URL.Path, err)
	if problem == nil {
		w.status = statusGone
		return
	}
	writeProblem(w, problem)
}

// problem is what to answer err with, and counts it; nil where nobody waits for an answer.
func (p *port) problem(ctx context.Context, method, path string, err error) *score.Problem {
	var problem *score.Problem
	switch {
	case errors.As(err, &problem):
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return nil
	default:
		p.log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("method", method), slog.String("path", path), slog.Any("err", err))
		problem = score.Problemf(score.NotReady, "this frontend could not answer, and has logged why; ask another one, or again later")
	}
	p.metrics.problems.count(problem.Code)
	return problem
}

// response remembers the status. It hides nothing: http.ResponseController finds what is below by Unwrap.
type response struct {
	http.ResponseWriter
	status int
	stream bool // says nothing about how long an answer takes
	varies bool // the answer depends on the origin of the page that asks
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
		if w.varies {
			w.Header().Add("Vary", "Origin")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// code is the status that the client has got: 200 where the handler wrote nothing.
func (w *response) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
