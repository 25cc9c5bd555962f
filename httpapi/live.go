package httpapi

import (
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/go-json-experiment/json"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/web"
	"laurel/score"
)

// maxPainted is how many contests the live page knows before its stream has begun. It shows the first of each kind.
const maxPainted = 3 * MaxPage

// painted is what the page is painted from: the same for all who ask until something changes.
type painted struct {
	entry *cache.Entry
	data  web.Data
}

// lastPainted keeps what was read of the answer last, so that ten thousand who reload have it read once.
type lastPainted struct{ atomic.Pointer[painted] }

// frontPage answers GET / with the live page to browsers, and to others with what there is.
func (p *port) frontPage(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return frontText(w, r)
	}
	data, err := p.paint(r)
	if err != nil {
		return err
	}
	data.Frontends, data.Frontend, data.Store = p.group.Frontends(), p.group.ID(), p.group.Store()
	return web.Page(w, r, data)
}

// paint is what this frontend knows. The page says itself how old that is, so old state is better than none.
func (p *port) paint(r *http.Request) (web.Data, error) {
	q, err := questionOf("page", "")
	if err != nil {
		return web.Data{}, err
	}
	a, err := p.here(r.Context(), &q)
	entry := new(cache.Entry)
	switch {
	case err == nil:
		entry = a.entry
	case r.Context().Err() != nil:
		return web.Data{}, err
	default:
		_, _, err = p.group.Stale(func(v queries.View) (err error) {
			entry.Body, entry.Revision, err = q.ask(v)
			return err
		})
	}
	if err != nil {
		return web.Data{}, err
	}
	if last := p.painted.Load(); last != nil && last.entry == entry {
		return last.data, nil
	}
	var data web.Data
	if err := json.Unmarshal(entry.Body, &data); err != nil {
		return web.Data{}, err
	}
	p.painted.Store(&painted{entry, data})
	return data, nil
}

// page asks for what the page is painted from. No path of the interface leads here.
func page() question {
	return question{key: "page", tag: cache.AnyTag, ask: askPage, missing: func() *score.Problem {
		return score.Problemf(score.NotFound, "there is no page")
	}}
}

func askPage(v queries.View) ([]byte, uint64, error) {
	data := web.Data{Revision: v.Revision(), Scores: []score.Record{}, Medals: []score.Medals{}}
	for list, err := range contestPages(v, score.Filter{}) {
		if err != nil {
			return nil, 0, err
		}
		if data.Scores = append(data.Scores, list...); len(data.Scores) >= maxPainted {
			break
		}
	}
	seen := map[string]bool{}
	for i := range data.Scores {
		competition := data.Scores[i].Competition
		if seen[competition] {
			continue
		}
		seen[competition] = true
		table, ok, err := v.Medals(competition)
		if err != nil {
			return nil, 0, err
		}
		if ok {
			data.Medals = append(data.Medals, table.Medals())
		}
	}
	body, err := queries.Encode(data)
	return body, v.Revision(), err
}

// assets answers with the page's files.
func assets() handler {
	files := web.Assets()
	return func(w http.ResponseWriter, r *http.Request) error {
		files.ServeHTTP(w, r)
		return nil
	}
}
