package httpapi

import (
	"context"
	_ "embed"
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

//go:embed overview.txt
var overview string
