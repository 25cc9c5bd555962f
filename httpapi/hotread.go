package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"laurel/cache"
	"laurel/httpapi/fastpath"
	"laurel/score"
)

// hotRead appends the answer to a question if that is in memory and may be given now, and tells its status; 0 if not. It takes no lock and
// allocates nothing, and asks for one thing only that may change: the answer itself.
func (p *port) hotRead(_ context.Context, dst []byte, r *fastpath.Request) (out []byte, status int) {
	if len(r.Query) > 0 || !p.plainRead(r) || !p.rates.read(r.Peer) {
		return dst, 0
	}
	e := p.group.Hit(r.Path[len("/v1/"):])
	if e == nil || e.Body == nil {
		return dst, 0
	}
	p.metrics.reads.hit.Add(1)
	if p.late.Load() {
		r.Pause = restAfterHit
	}
	m := memoOf(e)
	if m == nil || m.head == nil {
		m = p.newMemo(e)
	}
	if len(r.IfNoneMatch) > 0 && (string(r.IfNoneMatch) == m.etag || matches([]string{string(r.IfNoneMatch)}, m.etag)) {
		return r.AppendEnd(p.appendHitHead(dst, http.StatusNotModified, 0, e.Revision, m.etag, cache.Hit)), http.StatusNotModified
	}
	dst = r.AppendEnd(append(dst, m.head...))
	return append(dst, e.Body...), http.StatusOK
}

// plainRead tells whether a question is answered in JSON to whoever asks.
func (p *port) plainRead(r *fastpath.Request) bool {
	return (len(r.Accept) == 0 || plainAccept(r.Accept)) && !p.private && (p.origins == nil || len(r.Origin) == 0)
}

// plainAccept tells whether an Accept asks for JSON, or for anything. What takes longer to find out is not plain.
func plainAccept(accept []byte) bool {
	switch string(accept) {
	case "*/*", typeJSON:
		return true
	}
	return false
}

// newMemo stores and returns what all hits of an answer have in common.
func (p *port) newMemo(e *cache.Entry) *memo {
	tag := tagOf(e)
	m := &memo{etag: tag, head: p.appendHitHead(nil, http.StatusOK, len(e.Body), e.Revision, tag, cache.Hit)}
	e.Memo.Store(m)
	return m
}

// appendHitHead appends the head that sendReply gives an answer from memory, but for what AppendEnd adds. Fields come in the order of their names, as net/http
// writes them.
func (p *port) appendHitHead(dst []byte, status, length int, revision uint64, tag, how string) []byte {
	dst = fastpath.AppendStatus(dst, status)
	if p.origins == nil {
		dst = append(dst, "Access-Control-Allow-Origin: *\r\n"...)
	}
	dst = append(dst, "Cache-Control: no-cache\r\n"...)
	if status == http.StatusOK {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(length), 10)
		dst = append(dst, "\r\nContent-Type: "+typeJSON+"\r\n"...)
	}
	dst = append(dst, "Etag: "...)
	dst = append(dst, tag...)
	dst = append(dst, "\r\nLaurel-Cache: "...)
	dst = append(append(dst, how...), "\r\nLaurel-Frontend: "...)
	dst = append(dst, p.id[0]...)
	dst = append(dst, "\r\nLaurel-Mode: "+string(score.Push)+"\r\nLaurel-Revision: "...)
	dst = strconv.AppendUint(dst, revision, 10)
	dst = append(dst, "\r\nVary: Accept\r\n"...)
	if p.origins != nil {
		dst = append(dst, "Vary: Origin\r\n"...)
	}
	return append(dst, noSniffLine...)
}

// hotReads are the routes of questions.
func (p *port) hotReads() []hotRoute {
	var all []hotRoute
	for _, one := range [...]struct{ path, route string }{
		{"/v1/scores/", "/v1/scores/{contest:.+}"},
		{"/v1/medals/", "/v1/medals/{competition}"},
		{"/v1/medals/", "/v1/medals/{competition}/{organisation:.+}"},
		{"/v1/timeline/", "/v1/timeline/{contest:.+}"},
		{"/v1/scores", "/v1/scores"},
		{"/v1/bards/", "/v1/bards/{source:.+}"},
	} {
		all = append(all, hotRoute{name: http.MethodGet, path: one.path, single: strings.HasSuffix(one.route, "/{competition}"), read: p.hotRead,
			metrics: p.metrics.request(p.name, one.route, http.MethodGet)})
	}
	return append(all, hotRoute{name: http.MethodGet, path: "/v1/leaderboard/", read: p.hotBoard, metrics: p.metrics.request(p.name, "/v1/leaderboard/{contest:.+}", http.MethodGet)})
}
