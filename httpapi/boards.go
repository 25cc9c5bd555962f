package httpapi

import (
	"context"
	"net/http"

	"laurel/cache"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/score/ranking"
)

// board answers a question about a leaderboard from this frontend's state, linearizably.
func (d *reader) board(ctx context.Context, b *question.BoardQuery) (*cache.Entry, string, error) {
	page, revision, how, err := d.source.Board(ctx, b.Contest, &b.Query)
	e := new(cache.Entry)
	if e.Body, e.Revision, err = b.Body(&page, revision, err); err != nil {
		return nil, "", err
	}
	return e, how, nil
}

// boardHit answers a plain question about a leaderboard if this frontend can, now or after
// a moment.
func (s *server) boardHit(ctx context.Context, dst []byte, r *fastpath.Request) (out []byte, status int) {
	var q question.BoardQuery
	if !s.isPlainRead(r) || !q.ParsePlain(r.Path[len("/v1/leaderboard/"):], r.Query) || !s.gate.AllowRead(r.Peer) {
		return dst, 0
	}
	page, revision, ok, release := s.reader.source.BoardNow(q.Contest, &q.Query)
	how := cache.Hit
	switch {
	case ok:
	case release != nil && s.awaitBoard(ctx, release):
		how = cache.Wait
	default:
		if page, revision, how, ok = s.makeBoard(ctx, &q); !ok {
			return dst, 0
		}
	}
	s.metrics.reads.count(&answer{how: how, mode: score.Push})
	r.Pause = s.gate.PauseAfterHit()
	a := handler.Response{
		CacheControl: "no-cache",
		ETag:         q.ETag(s.status.Store(), revision),
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
	return a.AppendTo(dst, r, s.shared(r.Method, "")), a.StatusCode()
}

// awaitBoard waits for a page that is made but not released. While marks come in, nearly
// every second question has to wait a moment.
func (s *server) awaitBoard(ctx context.Context, release func(context.Context) bool) bool {
	if !s.gate.TryBeginRead() {
		return false
	}
	defer s.gate.EndRead()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return release(ctx)
}

// makeBoard waits for a page that cannot be made at once. If that fails, the route's
// handler asks again and reports why.
func (s *server) makeBoard(
	ctx context.Context, q *question.BoardQuery,
) (page ranking.Page, revision uint64, how string, ok bool) {
	ok = s.status.Leased() && s.awaitBoard(ctx, func(ctx context.Context) bool {
		var err error
		page, revision, how, err = s.reader.source.Board(ctx, q.Contest, &q.Query)
		return err == nil
	})
	return page, revision, how, ok
}
