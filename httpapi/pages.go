package httpapi

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json"

	"laurel/cache"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/httpapi/web"
	"laurel/internal/textfmt"
)

// decodedPage is the data of the page from an entry. It is kept, so that an answer is
// decoded once for all who load the page.
type decodedPage struct {
	entry *cache.Entry
	data  web.Data
}

// frontPage answers browsers with the live page and other clients with an overview of the
// interface.
func (s *server) frontPage(ctx context.Context, r *handler.Request) (handler.Response, error) {
	vary := handler.Response{VaryAccept: true}
	if !r.AcceptsHTML() {
		return overviewPage(r)
	}
	data, err := s.pageData(ctx)
	if err != nil {
		return vary, err
	}
	data.Frontends, data.Frontend, data.Store = s.status.Frontends(), s.id, s.status.Store()
	w, hr := r.Transport()
	w.Header().Set("Vary", "Accept")
	return handler.Written, web.Page(w, hr, data)
}

// pageData returns what this frontend knows, current or not: the page shows its age.
func (s *server) pageData(ctx context.Context) (web.Data, error) {
	q := question.Page()
	a, err := s.reader.own(ctx, &q)
	var entry *cache.Entry
	switch {
	case err == nil:
		entry = a.entry
	case ctx.Err() != nil:
		return web.Data{}, err
	default:
		entry, _, _, err = s.reader.staleEntry(ctx, &q)
	}
	if err != nil {
		return web.Data{}, err
	}
	if last := s.page.Load(); last != nil && last.entry == entry {
		return last.data, nil
	}
	var data web.Data
	if err := json.Unmarshal(entry.Body, &data); err != nil {
		return web.Data{}, err
	}
	s.page.Store(&decodedPage{entry, data})
	return data, nil
}

func overviewPage(r *handler.Request) (handler.Response, error) {
	scheme := "http://"
	if r.Peer().TLS != nil {
		scheme = "https://"
	}
	_, hr := r.Transport()
	return handler.Response{
		VaryAccept:     true,
		ReferrerPolicy: "no-referrer",
		CacheControl:   "no-cache",
		Type:           handler.TypeText,
		Body:           []byte(strings.ReplaceAll(overview, "{url}", scheme+textfmt.OneLine(hr.Host))),
	}, nil
}

const overview = `Laurel: live scores from a group of frontends. Ask any of them.

Scores
  curl {url}/v1/scores
  curl '{url}/v1/scores?competition=OG50BC&status=RUNNING&limit=20'
  curl {url}/v1/scores/OG50BC/CUR-M-GPA-01
  curl {url}/v1/timeline/OG50BC/CUR-M-GPA-01
  curl {url}/v1/medals/OG50BC
  curl {url}/v1/medals/OG50BC/GAU
  curl '{url}/v1/leaderboard/OG50BC/ATH-M-MAR?split=finish&limit=20'
  curl '{url}/v1/leaderboard/OG50BC/ATH-M-MAR?around=2888&limit=5'
If no current answer can be given, accept one that is up to a minute old:
  curl '{url}/v1/medals/OG50BC?max_stale=60s'
As aligned tables:
  curl -H 'Accept: text/plain' {url}/v1/medals/OG50BC

Posting: one event, an array of events (all or none), or a stream that stops at the first refused event
  curl -H 'Content-Type: application/json' {url}/v1/events \
    -d '{"type":"alert","contest_id":"OG50BC/CUR-M-GPA-01","data":{"text":"The stone has left the sheet."}}'
  curl -H 'Content-Type: application/x-ndjson' {url}/v1/events -T events.ndjson -X POST
The last seq of a source:
  curl {url}/v1/bards/bard/cacofonix

The group
  curl -H 'Accept: text/plain' {url}/v1/frontends
  curl {url}/v1/cluster
  curl -H 'Content-Type: application/json' {url}/v1/cluster/members -d '{"id":"f4","peer":"127.0.0.1:9004","url":"http://127.0.0.1:8004"}'
  curl -X DELETE {url}/v1/cluster/members/f4
  curl -X POST {url}/v1/cluster/transfer
  curl -X PUT -H 'Content-Type: application/json' {url}/v1/cluster/cache -d '{"mode":"push"}'
Access control. An operator makes tokens with laurel access grant. A group that was started with --insecure needs none.
  curl -H "Authorization: Bearer $LAUREL_TOKEN" {url}/v1/access
  curl -H "Authorization: Bearer $LAUREL_TOKEN" {url}/v1/audit
  curl {url}/v1/keys
Health and metrics
  curl {url}/livez {url}/readyz
  curl {url}/metrics

Errors are application/problem+json. Their detail names the mistake and what is expected.
`
