package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"laurel/cache"
	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/score/ranking"
)

// hitFunc answers a read on the fast path from memory. The status is 0 if it cannot: then
// it has done nothing, and the route's handler answers.
type hitFunc func(ctx context.Context, dst []byte, r *fastpath.Request) (out []byte, status int)

// fastHandler answers the requests of the fast path. The answers are those of the router.
type fastHandler struct {
	server    *server
	endpoints []*endpoint
	fallback  *http.Server // answers what the fast path does not
}

func (s *server) fastHandler(fallback *http.Server) *fastHandler {
	f := &fastHandler{server: s, fallback: fallback}
	for _, r := range s.routes() {
		if r.fast {
			f.endpoints = append(f.endpoints, s.endpoint(r))
		}
	}
	return f
}

// Answer answers a request of the fast path, or returns false for one that net/http is to
// answer.
func (f *fastHandler) Answer(ctx context.Context, dst []byte, r *fastpath.Request) ([]byte, bool) {
	e := f.find(r)
	if e == nil || r.Method == http.MethodPost && !f.server.takesPost(r) {
		return dst, false
	}
	if r.ForwardedFor != nil || r.ForwardedProto != nil {
		r.Peer = f.server.admission.Limits.Client(r.Peer, string(r.ForwardedFor), string(r.ForwardedProto))
	}
	start := time.Now()
	if e.hit != nil {
		if out, status := e.hit(ctx, dst, r); status != 0 {
			finish(ctx, e, r.Method, r.Path, status, start, false, nil)
			return out, true
		}
	}
	return f.answer(ctx, dst, e, r, start)
}

func (f *fastHandler) find(r *fastpath.Request) *endpoint {
	for _, e := range f.endpoints {
		if r.Method == e.method && e.path.Matches(r.Path) {
			return e
		}
	}
	return nil
}

func (f *fastHandler) answer(
	ctx context.Context, dst []byte, e *endpoint, r *fastpath.Request, start time.Time,
) ([]byte, bool) {
	s := f.server
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	req := handler.FromFastPath(ctx, r, f.fallback)
	req.Shared = s.shared(e.permit, s.gate.Private(), r.Method, string(r.Origin))
	a, err := f.admitted(ctx, e, req, r)
	n := len(a.Body)
	if a.IsWritten() {
		n = req.WrittenLength()
	}
	if err == nil {
		var refused *score.Problem
		if r.Written, refused = s.gate.HoldAnswer(r.Peer, n); refused != nil {
			err = refused
		}
	}
	if err == nil && a.IsWritten() {
		out, status, ok := req.AppendWritten(dst)
		if status == 0 {
			status = statusClientGone
		}
		finish(ctx, e, r.Method, r.Path, status, start, false, nil)
		return out, ok
	}
	if err != nil {
		problem := s.problem(ctx, req, err)
		if problem == nil {
			finish(ctx, e, r.Method, r.Path, statusClientGone, start, false, err)
			return dst, true // without an answer the connection ends
		}
		a = a.WithProblem(problem, r.Wait)
	}
	out := a.AppendTo(dst, r, req.Shared)
	finish(ctx, e, r.Method, r.Path, a.StatusCode(), start, false, err)
	return out, true
}

// admitted takes a place for a post before anything else is done for it.
func (f *fastHandler) admitted(
	ctx context.Context, e *endpoint, r *handler.Request, fast *fastpath.Request,
) (handler.Response, error) {
	if r.Method == http.MethodPost {
		if problem := f.server.gate.BeginFastPost(fast); problem != nil {
			return handler.Response{}, problem
		}
		defer f.server.gate.EndPost()
		r.Admitted = true
	}
	return e.answer(ctx, r)
}

// takesPost reports whether the fast path answers a post: one with a JSON body that does
// not come from a web page.
func (s *server) takesPost(r *fastpath.Request) bool {
	switch string(r.ContentType) {
	case handler.TypeJSON, handler.TypeJSON + "; charset=utf-8":
		return len(r.Body) <= s.admission.Limits.MaxBodyBytes && len(r.Origin) == 0
	}
	return false
}

// hit answers a question from memory. Unless the answer has to wait for its release, it
// takes no lock and allocates nothing.
func (s *server) hit(_ context.Context, dst []byte, r *fastpath.Request) (out []byte, status int) {
	if len(r.Query) > 0 || !s.isPlainRead(r) || !s.gate.AllowRead(r.Peer) {
		return dst, 0
	}
	e, lease := s.group.Reader.Find(r.Path[len("/v1/"):])
	if e == nil || e.Body == nil || len(e.Body) > admission.FreeAnswer {
		return dst, 0
	}
	how, count := cache.Hit, s.metrics.hits
	if !lease.Visible(e.Revision) {
		if !s.awaitRelease(r, lease, e.Revision) {
			return dst, 0
		}
		how, count = cache.Wait, s.metrics.waits
	}
	if s.gate.Private() { // since the look at it above
		return dst, 0
	}
	count.Add(1)
	r.Pause = s.gate.PauseAfterHit()
	m := memoOf(e)
	if m == nil || m.head.after == nil {
		m = s.completeMemo(e)
	}
	if matchesETag(r.IfNoneMatch, m.etag) {
		return r.AppendEnd(m.notModified.append(dst, how)), http.StatusNotModified
	}
	dst = r.AppendEnd(m.head.append(dst, how))
	return append(dst, e.Body...), http.StatusOK
}

// releaseTimeout is how long the fast path waits for the release of an answer. That comes
// sooner even if a frontend hangs: its lease is over by then. Otherwise the route's handler
// waits on.
const releaseTimeout = 300 * time.Millisecond

// awaitRelease waits until an answer that is not released yet may be given. It reports
// false if that is not so after releaseTimeout, or if the frontend is overloaded, or if the
// client may accept an old answer: the route's handler knows how long that one waits. While
// an answer changes all the time, every third reader waits, so this is made to cost little:
// the connection's context is not among what it waits for.
func (s *server) awaitRelease(r *fastpath.Request, lease cache.LeaseCheck, revision uint64) bool {
	if len(r.CacheControl) > 0 || !s.gate.TryBeginRead() {
		return false
	}
	defer s.gate.EndRead()
	limit := time.NewTimer(s.releaseTimeout)
	defer limit.Stop()
	select {
	case <-lease.Released(revision):
	case <-limit.C:
	}
	return lease.Visible(revision)
}

func matchesETag(ifNoneMatch []byte, tag string) bool {
	return len(ifNoneMatch) > 0 &&
		(string(ifNoneMatch) == tag || handler.MatchesETag([]string{string(ifNoneMatch)}, tag))
}

// isPlainRead reports whether a read is answered, in JSON for every caller.
func (s *server) isPlainRead(r *fastpath.Request) bool {
	switch string(r.Accept) {
	case "", "*/*", handler.TypeJSON:
		return !s.gate.Private() && s.gate.TakesHost(r.Host) && (s.origins.all() || len(r.Origin) == 0)
	}
	return false // the other forms that mean JSON are rare
}

// completeMemo makes the heads that all answers from memory have.
func (s *server) completeMemo(e *cache.Entry) *memo {
	a := handler.Response{
		Type:         handler.TypeJSON,
		Body:         e.Body,
		CacheControl: "no-cache",
		ETag:         etagOf(e),
		VaryAccept:   true,
		Cache:        cache.Hit,
		Mode:         string(score.Push),
		Revision:     e.Revision,
	}
	shared := s.shared(admission.PermitRead, false, http.MethodGet, "") // isPlainRead has found the group public
	m := &memo{etag: a.ETag, head: prepareHead(a.AppendHead(nil, shared))}
	a.Status = http.StatusNotModified
	m.notModified = prepareHead(a.AppendHead(nil, shared))
	e.Memo.Store(m)
	return m
}

// memo is the Memo of a cache entry: what follows from the entry and is made once for all
// readers.
type memo struct {
	etag string
	// head and notModified are the heads of the fast path's answers, empty until there was
	// one.
	head, notModified preparedHead
}

// preparedHead is a head without the value of Laurel-Cache, which comes between its parts.
type preparedHead struct{ before, after []byte }

// prepareHead cuts the value out of a head that says cache.Hit.
func prepareHead(head []byte) preparedHead {
	const name = "Laurel-Cache: "
	before, after, _ := bytes.Cut(head, []byte(name+cache.Hit))
	return preparedHead{before[:len(before)+len(name)], after}
}

func (h preparedHead) append(dst []byte, how string) []byte {
	return append(append(append(dst, h.before...), how...), h.after...)
}

func memoOf(e *cache.Entry) *memo {
	m, _ := e.Memo.Load().(*memo)
	return m
}

// etagOf returns the tag of an answer in JSON.
func etagOf(e *cache.Entry) string {
	m := memoOf(e)
	if m == nil {
		m = &memo{etag: handler.ETag(e.Body)}
		e.Memo.Store(m)
	}
	return m.etag
}

// board answers a question about a leaderboard from this frontend's state, linearizably.
func (a *API) board(ctx context.Context, b *question.BoardQuery) (*cache.Entry, string, error) {
	page, revision, how, err := a.group.Reader.Board(ctx, b.Contest, &b.Query)
	e := new(cache.Entry)
	if e.Body, e.Revision, err = b.Body(&page, revision, err); err != nil {
		return nil, "", err
	}
	return e, how, nil
}

// boardHit answers a plain question about a leaderboard if this frontend can, now or
// after a moment.
func (s *server) boardHit(ctx context.Context, dst []byte, r *fastpath.Request) (out []byte, status int) {
	var q question.BoardQuery
	if !s.isPlainRead(r) || !q.ParsePlain(r.Path[len("/v1/leaderboard/"):], r.Query) || !s.gate.AllowRead(r.Peer) {
		return dst, 0
	}
	page, revision, lease, ok := s.group.Reader.BoardNow(q.Contest, &q.Query)
	how := cache.Hit
	switch {
	case ok && lease.Visible(revision):
	case ok && s.awaitRelease(r, lease, revision):
		how = cache.Wait
	default:
		if page, revision, how, ok = s.makeBoard(ctx, r, &q); !ok {
			return dst, 0
		}
	}
	if s.gate.Private() { // since the page was asked for
		return dst, 0
	}
	s.metrics.reads.count(&answer{how: how, mode: score.Push})
	r.Pause = s.gate.PauseAfterHit()
	a := handler.Response{
		CacheControl: "no-cache",
		ETag:         q.ETag(s.status.Incarnation(), revision),
		VaryAccept:   true,
		Cache:        how,
		Mode:         string(score.Push),
		Revision:     revision,
	}
	if matchesETag(r.IfNoneMatch, a.ETag) {
		a.Status = http.StatusNotModified
	} else {
		a.Type, a.Buffer = handler.TypeJSON, handler.NewBuffer()
		a.Buffer.B = append(page.AppendJSON(a.Buffer.B[:0]), '\n')
		a.Body = a.Buffer.B
	}
	written, refused := s.gate.HoldAnswer(r.Peer, len(a.Body))
	if r.Written = written; refused != nil {
		a = a.WithProblem(refused, 0)
	}
	return a.AppendTo(dst, r, s.shared(admission.PermitRead, false, r.Method, "")), a.StatusCode()
}

// makeBoard waits for a page that cannot be made at once. If that fails, or the client may
// accept an old page, the route's handler asks again and reports why.
func (s *server) makeBoard(
	ctx context.Context, r *fastpath.Request, q *question.BoardQuery,
) (page ranking.Leaderboard, revision uint64, how string, ok bool) {
	if len(r.CacheControl) > 0 || !s.status.Leased() || !s.gate.TryBeginRead() {
		return page, 0, "", false
	}
	defer s.gate.EndRead()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	page, revision, how, err := s.group.Reader.Board(ctx, q.Contest, &q.Query)
	return page, revision, how, err == nil
}
