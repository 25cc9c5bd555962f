package httpapi

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"laurel/cache"
	"laurel/httpapi/admin"
	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/httpapi/posts"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/trust/access"
)

// server answers the requests of one port. What the ports share is in the API.
type server struct {
	*API
	port   string // "client" or "peer", in metrics and logs
	client bool
	id     string // of the frontend
	status Status
	gate   *admission.Gate
	posts  *posts.Posts
	admin  *admin.Handlers
}

func (a *API) newServer(port string, gate *admission.Gate) *server {
	status := a.group.Status
	s := &server{API: a, port: port, client: port == "client", id: status.ID(), status: status, gate: gate}
	s.posts = &posts.Posts{
		Poster:       a.group.Poster,
		Gate:         gate,
		Logger:       a.log,
		CountProblem: a.metrics.countProblem,
		CountEvents:  a.metrics.countEvents,
	}
	s.admin = &admin.Handlers{
		Status:     status,
		Control:    a.group.Access,
		Trail:      a.group.Reader,
		Membership: a.group.Membership,
		Trust:      a.group.Trust,
		Gate:       gate,
	}
	return s
}

// statusClientGone is logged and counted if a client does not wait for its answer.
const statusClientGone = 499

type endpoint struct {
	route
	path    question.Pattern
	server  *server
	metrics requestMetrics
}

func (s *server) endpoint(r route) *endpoint {
	return &endpoint{r, question.ParsePattern(r.pattern), s, s.metrics.request(s.port, r.pattern, r.method)}
}

// answer admits a request and has it handled. It is the way of every request but those
// that the fast path answers from memory.
//
// An answer is made after its request was admitted. If the access control has changed by
// then, what is in the answer may be for others: the caller is admitted again.
func (e *endpoint) answer(ctx context.Context, r *handler.Request) (handler.Response, error) {
	gate := e.server.gate
	r.Name = strings.TrimPrefix(r.Path, e.path.Prefix)
	before := gate.Access()
	if problem := gate.Admit(ctx, e.permit, r); problem != nil {
		return handler.Response{}, gate.Refused(r, problem)
	}
	leave, problem := gate.Enter(e.permit, r)
	if problem != nil {
		return handler.Response{}, problem
	}
	defer leave()
	a, err := e.handle(ctx, r)
	if (e.method == http.MethodGet || e.permit == admission.PermitRead) && !a.IsWritten() && gate.Access() != before {
		if problem := gate.Admit(ctx, e.permit, r); problem != nil {
			return handler.Response{}, problem
		}
	}
	return a, err
}

// strictTransport has a browser use https only, for 30 days. Browsers speak HTTP/2 over
// TLS, and load the page, so the fast path does not send it.
const strictTransport = "max-age=2592000"

// ServeHTTP answers a request of net/http. It is the one place where these are counted
// and logged and where their problems are written.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	s := e.server
	start := time.Now()
	out := &statusWriter{ResponseWriter: w}
	// An error means that there is no connection, and so nothing to bound.
	_ = http.NewResponseController(w).SetWriteDeadline(start.Add(admission.AnswerTimeout))
	defer dropDeadlines(w, hr)
	shared := s.shared(e.permit, s.gate.Private(), hr.Method, hr.Header.Get("Origin"))
	if shared.VaryOrigin {
		shared.VaryOrigin = false
		out.begin = func() { w.Header().Add("Vary", "Origin") }
	}
	shared.SetOn(w.Header())
	hr, out.body = s.gate.Bodies.Open(w, hr)
	client := s.clientOf(hr)
	if client.TLS != nil && s.client && s.options.PublicCertificate != nil && s.options.PublicCertificate() {
		w.Header().Set("Strict-Transport-Security", strictTransport)
	}
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()

	r := handler.FromHTTP(out, hr, client, &s.gate.Bodies)
	ctx := hr.Context()
	var a handler.Response
	err := s.origins.checkChange(hr, s)
	if err == nil {
		a, err = e.answer(ctx, r)
	}
	if err == nil && !a.IsWritten() {
		written, refused := s.holdAnswer(r, len(a.Body))
		if refused != nil {
			err = refused
		} else if written != nil {
			defer written()
		}
	}
	if err != nil && out.status == 0 {
		problem := s.problem(ctx, r, err)
		switch {
		case problem == nil:
			out.status, a = statusClientGone, handler.Written
		case e.permit == admission.PermitWatch && isPassing(problem) && wantsEvents(r):
			a = unavailable(a.WithProblem(problem, 0), problem)
		default:
			a = a.WithProblem(problem, 0)
			if e.asksToSignIn(r, problem) && s.signInForm(r, &a, problem) == nil {
				a = handler.Written
			}
		}
	}
	if !a.IsWritten() && out.status == 0 {
		a.WriteTo(out, shared)
	}
	if out.status != 0 { // else the connection was taken over
		out.body.AfterAnswer()
	}
	finish(ctx, e, hr.Method, hr.URL.Path, out.code(), start, r.Stream, err)
}

// dropDeadlines drops those of a stream of HTTP/2 that has ended. net/http starts a timer for
// each that is set after the end, and that keeps the request in memory until it has passed:
// a client that resets its streams at once could fill the memory.
func dropDeadlines(w http.ResponseWriter, hr *http.Request) {
	if hr.ProtoMajor > 1 && hr.Context().Err() != nil {
		control := http.NewResponseController(w)
		_, _ = control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})
	}
}

// isPassing reports whether a problem can pass by itself.
func isPassing(p *score.Problem) bool {
	return p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests
}

// holdAnswer holds an answer of n bytes in the name of the client's address until written,
// which may be nil, is called. What other frontends forward is in no client's name.
func (s *server) holdAnswer(r *handler.Request, n int) (written func(), refused *score.Problem) {
	if !s.client {
		return s.gate.HoldAnswer(nil, n)
	}
	return s.gate.HoldAnswer(r.Peer(), n)
}

// clientOf returns the client of a request: the other end of the connection, or a client
// behind a trusted proxy.
func (s *server) clientOf(hr *http.Request) *fastpath.Peer {
	peer := fastpath.PeerOf(hr)
	if !s.client {
		return peer
	}
	list := func(name string) string { return strings.Join(hr.Header[name], ",") }
	return s.admission.Limits.Client(peer, list("X-Forwarded-For"), list("X-Forwarded-Proto"))
}

// finish counts and logs a request that has been answered. stream is true if the time
// that it took means nothing.
func finish[Path string | []byte](
	ctx context.Context, e *endpoint, method string, path Path, status int, start time.Time, stream bool, err error,
) {
	took := time.Since(start)
	e.metrics.done(status, took, stream)
	if s := e.server; s.log.Enabled(ctx, slog.LevelDebug) {
		s.log.LogAttrs(ctx, slog.LevelDebug, "request", slog.String("port", s.port), slog.String("method", method),
			slog.String("path", access.WithoutToken(string(path))), slog.Int("status", status),
			slog.Duration("took", took), slog.Any("err", err))
	}
}

// problem returns the problem that reports err and counts it, nil if the client is gone.
func (s *server) problem(ctx context.Context, r *handler.Request, err error) *score.Problem {
	var problem *score.Problem
	switch {
	case errors.As(err, &problem):
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return nil
	default:
		s.log.ErrorContext(ctx, "request failed", "method", r.Method, "path", r.Path, "err", err)
		problem = score.Problemf(score.NotReady,
			"internal error, see this frontend's log; try another frontend, or retry later")
	}
	s.metrics.countProblem(problem.Code)
	return problem
}

// statusWriter remembers the status, and calls begin, if that is set, before the answer
// begins. http.ResponseController finds the writer below by Unwrap.
type statusWriter struct {
	http.ResponseWriter
	status int
	begin  func()
	body   *handler.Body // of the request, nil if it has none
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
		if w.begin != nil {
			w.begin()
		}
		w.body.BeforeAnswer(w.Header())
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// code returns the status that the client has got: 200 if the handler wrote nothing.
func (w *statusWriter) code() int { return cmp.Or(w.status, http.StatusOK) }

// forwardWithin has the master answer r, and begin within limit, unless that is 0. With
// an error nothing has been written. At the peer port it fails: a request is forwarded
// once.
func (s *server) forwardWithin(limit time.Duration, r *handler.Request) error {
	if !s.client {
		return s.notMaster()
	}
	member := ""
	if r.Caller != nil {
		member = r.Caller.Member
	}
	w, hr := r.Transport()
	if limit == 0 {
		return s.group.Forwarder.Forward(w, hr, member)
	}
	ctx, cancel := context.WithCancel(hr.Context())
	defer cancel()
	timer := time.AfterFunc(limit, cancel)
	defer timer.Stop()
	out := &statusWriter{ResponseWriter: w, begin: func() { timer.Stop() }}
	return s.group.Forwarder.Forward(out, hr.WithContext(ctx), member)
}

func (s *server) notMaster() error {
	return score.Problemf(score.NoMaster,
		"this request was forwarded to %s, which cannot answer as the master now; retry it", s.id)
}

// atMaster returns a handler that answers by f at the master and forwards to it
// elsewhere.
func (s *server) atMaster(f handler.Func) handler.Func {
	return func(ctx context.Context, r *handler.Request) (handler.Response, error) {
		if !s.status.Master() {
			return handler.Written, s.forwardWithin(0, r)
		}
		return f(ctx, r)
	}
}

// leasedOrMaster returns a handler that answers by f where this frontend may answer, and
// forwards to the master where f returns cache.ErrNotLeased.
func (s *server) leasedOrMaster(f handler.Func) handler.Func {
	return func(ctx context.Context, r *handler.Request) (handler.Response, error) {
		for start := time.Now(); ; {
			a, err := f(ctx, r)
			switch {
			case !errors.Is(err, cache.ErrNotLeased):
				return a, err
			case !s.status.Master():
				return handler.Written, s.forwardWithin(0, r)
			case time.Since(start) > answerTimeout:
				return handler.Response{}, s.notMaster()
			}
			// This frontend has become the master, whose lease follows.
			if err := sleep(ctx, leasePoll); err != nil {
				return handler.Response{}, err
			}
		}
	}
}

// post takes events. Clients may post at any frontend, whose member asks the master.
func (s *server) post(ctx context.Context, r *handler.Request) (handler.Response, error) {
	if !s.client && !s.status.Master() {
		return handler.Response{}, s.notMaster()
	}
	return s.posts.Handle(ctx, r)
}
