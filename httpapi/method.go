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
	handle  handler
	metrics requestMetrics
}

func (p *port) method(path, name string, h handler) *method {
	return &method{port: p, handle: h, metrics: p.metrics.request(p.name, path, name)}
}

func (m *method) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	res := &response{ResponseWriter: w}
	// Not supported by writers that stand on no connection: then there is nothing to bound.
	_ = http.NewResponseController(w).SetWriteDeadline(start.Add(m.port.limits.AnswerTimeout))
	w.Header()["Laurel-Frontend"] = m.port.id
	m.port.metrics.inFlight.Inc()
	defer m.port.metrics.inFlight.Dec()

	err := m.handle(res, r)
	if err != nil {
		m.port.fail(res, r, err)
	}
	took := time.Since(start)
	m.metrics.done(res, took)
	if log := m.port.log; log.Enabled(r.Context(), slog.LevelDebug) {
		log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("port", m.port.name), slog.String("method", r.Method),
			slog.String("path", r.URL.Path), slog.Int("status", res.code()), slog.Duration("took", took), slog.Any("err", err))
	}
}

// fail writes err as a problem, unless the answer has begun or nobody waits for it.
func (p *port) fail(w *response, r *http.Request, err error) {
	var problem *score.Problem
	switch {
	case w.status != 0:
		return
	case errors.As(err, &problem):
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		w.status = statusGone
		return
	default:
		p.log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("err", err))
		problem = score.Problemf(score.NotReady, "this frontend could not answer, and has logged why; ask another one, or again later")
	}
	p.metrics.problems.count(problem.Code)
	writeProblem(w, problem)
}

// response remembers the status. It hides nothing: http.ResponseController finds what is below by Unwrap.
type response struct {
	http.ResponseWriter
	status int
	stream bool // says nothing about how long an answer takes
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
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
