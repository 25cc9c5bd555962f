package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// below serves sites below the paths of one host, as a proxy that removes them does.
func below(t testing.TB, sites map[string]*site) (base string) {
	t.Helper()
	mux := http.NewServeMux()
	for path, s := range sites {
		to, err := url.Parse(s.URL(0))
		if err != nil {
			t.Fatal(err)
		}
		proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		}}
		mux.Handle(path+"/", http.StripPrefix(path, proxy))
	}
	server := httptest.NewServer(mux)
	endWithTest(t, server)
	return server.URL
}

func TestThePageWorksBelowAPath(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil).open(below(t, map[string]*site{"/live": s}) + "/live" + matchView).live()
	if color := eval[string](b, `getComputedStyle(document.querySelector('.strip')).display`); color == "inline" {
		t.Error("the page has no style")
	}
	s.Post(play(match, "GAU", 3))
	b.until("a change", `document.querySelector('.board-score').textContent === '3'`)
	b.until("the timeline", `document.querySelectorAll('.timeline tbody tr').length > 1`)
}

// Tabs of one origin share a stream, but not with those of another group.
func TestPagesOfTwoGroupsBelowOneHostShareNothing(t *testing.T) {
	t.Parallel()
	summer, winter := newSite(t, 1), newSite(t, 1)
	for i, s := range []*site{summer, winter} {
		s.Post(defineMatch(match)...)
		s.Post(play(match, "GAU", i+1))
	}
	base := below(t, map[string]*site{"/summer": summer, "/winter": winter})
	first := newTab(t, desktop, nil).open(base + "/summer/").live()
	second := newTab(t, desktop, first).open(base + "/winter/").live()
	summer.Post(play(match, "GAU", 10))
	winter.Post(play(match, "GAU", 20))
	first.until("the summer's score", inList(match, 1)+` === '11'`)
	second.until("the winter's score", inList(match, 1)+` === '22'`)
	eventually(t, "one stream at each group", func() bool { return summer.Watchers(0) == 1 && winter.Watchers(0) == 1 })
}
