package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"sync/atomic"

	"laurel/cache"
	"laurel/httpapi/fastpath"
	"laurel/score"
	"laurel/score/ranking"
)

// hotBoard appends the answer to a plain question about a leaderboard if that can be made here, and tells its status; 0 if not.
func (p *port) hotBoard(ctx context.Context, dst []byte, r *fastpath.Request) (out []byte, status int) {
	var q board
	if !p.plainRead(r) || !q.parse(r.Path[len("/v1/leaderboard/"):], r.Query) || !p.rates.read(r.Peer) {
		return dst, 0
	}
	page, revision, ok, soon := p.group.BoardNow(q.contest, &q.Query)
	how, answered := cache.Hit, &p.metrics.reads.hit
	switch {
	case ok:
	case soon != nil && p.awaitBoard(ctx, soon):
		how, answered = cache.Wait, &p.metrics.reads.wait
	default:
		if page, revision, how, answered = p.boardSoon(ctx, &q); answered == nil {
			return dst, 0
		}
	}
	answered.Add(1)
	if p.late.Load() {
		r.Pause = restAfterHit
	}
	tag := q.tagOf(p.group.Store(), revision)
	if len(r.IfNoneMatch) > 0 && matches([]string{string(r.IfNoneMatch)}, tag) {
		return r.AppendEnd(p.appendHitHead(dst, http.StatusNotModified, 0, revision, tag, how)), http.StatusNotModified
	}
	b := newBuffer()
	defer b.free()
	b.b = append(page.AppendJSON(b.b[:0]), '\n')
	dst = r.AppendEnd(p.appendHitHead(dst, http.StatusOK, len(b.b), revision, tag, how))
	return append(dst, b.b...), http.StatusOK
}

// awaitBoard waits for a page that is made already: while marks come in, nearly every other has to wait a moment until what it shows is released.
func (p *port) awaitBoard(ctx context.Context, soon func(context.Context) bool) bool {
	if p.strained() || !begin(&p.load.reads, p.limits.MaxReads) {
		return false
	}
	defer p.endRead()
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return soon(ctx)
}

// boardSoon waits for a board that cannot be made at once. No counter: there is no answer here, and whoever asks in the other way is told why.
func (p *port) boardSoon(ctx context.Context, q *board) (page ranking.Page, revision uint64, how string, answered *atomic.Uint64) {
	made := p.group.Leased() && p.awaitBoard(ctx, func(ctx context.Context) bool {
		var err error
		page, revision, how, err = p.group.Board(ctx, q.contest, &q.Query)
		return err == nil
	})
	switch {
	case !made:
		return page, 0, "", nil
	case how == cache.Hit:
		return page, revision, how, &p.metrics.reads.hit
	}
	return page, revision, how, &p.metrics.reads.wait
}

// parse reads a question in its plainest form: no escapes, each parameter once, nothing that would be refused, and no long page. False: it is not plain.
func (b *board) parse(contest, query []byte) bool {
	if bytes.IndexByte(query, '%') >= 0 || bytes.IndexByte(query, '+') >= 0 || bytes.IndexByte(query, ';') >= 0 {
		return false
	}
	b.contest, b.Limit = string(contest), DefaultPage
	seen := 0
	for len(query) > 0 {
		var one []byte
		one, query, _ = bytes.Cut(query, []byte("&"))
		name, value, _ := bytes.Cut(one, []byte("="))
		if len(value) == 0 || len(value) > maxFilter {
			return false
		}
		field := 0
		switch string(name) {
		case "split":
			b.Split, field = string(value), 1
		case "category":
			b.Category, field = string(value), 2
		case "around":
			b.Around, field = string(value), 4
		case "limit":
			n, err := strconv.Atoi(string(value))
			if err != nil || n < 1 || n > DefaultPage {
				return false // a longer page takes a place among the questions that are not answered from memory
			}
			b.Limit, field = n, 8
		case "after":
			c, err := ranking.ParseCursor(string(value))
			if err != nil {
				return false
			}
			b.After, field = c, 16
		}
		if field == 0 || seen&field != 0 {
			return false
		}
		seen |= field
	}
	return seen&(4|16) != 4|16 && score.ValidPath(b.contest)
}
