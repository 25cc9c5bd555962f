package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestThePageNamesFrontendsThatItCannotTrustAndReturnsToItsOwn(t *testing.T) {
	t.Parallel()
	s := newSecureSite(t, 3, false, "")
	s.Post(defineMatch(match)...)
	// A browser whose user has accepted the certificate of one frontend.
	ctx, end, err := startBrowser(chromedp.Flag("ignore-certificate-errors-spki-list", s.spki(0)))
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	b := newTab(t, desktop, &tab{ctx: ctx}).open(s.URL(0)).live()
	if eval[bool](b, `document.querySelector('.notices, .warning') !== null`) {
		t.Error("a page with a stream warns its reader")
	}
	b.do(`location.hash = '#/cluster'`)
	b.until("the frontends that cannot be used", `/f2 and f3.*--tls-cert/.test(document.querySelector('.warning')?.textContent)`)
	b.do(`location.hash = '#/'`)
	s.kill(0)
	b.until("that the page is stale", `/^Stale since/.test(document.querySelector('.strip .phase').innerText)`)
	b.until("why, and what helps", `/f2 and f3.*--tls-cert/.test(document.querySelector('.notices')?.textContent)`)
	s.start(0)
	s.Post(play(match, "GAU", 5))
	b.until("the change, from its own frontend", isLive+` && `+inList(match, 1)+` === '5'`)
	if got := b.status("frontend"); got != "f1" {
		t.Errorf("the page is served by %s", got)
	}
	b.until("no warning", `!document.querySelector('.notices, .warning')`)
}

// A crowded frontend redirects watchers to others, but does not know whom a browser trusts.
func TestACrowdedFrontendServesAPageThatCanUseNoOther(t *testing.T) {
	t.Parallel()
	s := newSecureSite(t, 3, false, "")
	s.Post(defineMatch(match)...)
	s.watch(0, 20)
	ctx, end, err := startBrowser(chromedp.Flag("ignore-certificate-errors-spki-list", s.spki(0)))
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	b := newTab(t, desktop, &tab{ctx: ctx}).open(s.URL(0)).live()
	if got := b.status("frontend"); got != "f1" {
		t.Errorf("the page is served by %s", got)
	}
}

func TestAStreamThatEndsWithoutAnEventIsAFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	var unavailable atomic.Bool
	var tries atomic.Int64
	target, _ := url.Parse(s.URL(0))
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Host = p.In.Host
		},
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/v1/watch") && unavailable.Load() {
			tries.Add(1)
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "retry: 1000\n: unavailable\n\n") //nolint:errcheck // the page is gone
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	endWithTest(t, front)
	b := newTab(t, desktop, nil)
	// What the page tells other tabs; it may be over before it is shown.
	b.before(`new BroadcastChannel('laurel').onmessage = (e) => {
		if (e.data.kind !== 'status') return
		window.phase = e.data.status.phase
		window.wasLive ||= window.phase === 'live'
	}`)
	b.open(front.URL).live()
	// The page resumes: it has an event id.
	unavailable.Store(true)
	front.CloseClientConnections()
	b.until("that the page waits", `window.phase && window.phase !== 'live'`)
	b.do(`window.wasLive = false`)
	eventually(t, "four tries", func() bool { return tries.Load() >= 4 })
	if eval[bool](b, `window.wasLive`) {
		t.Error("the page took a stream without an event for a live one")
	}
	unavailable.Store(false)
	b.live()
	s.Post(play(match, "GAU", 1))
	b.until("a change", inList(match, 1)+` === '1'`)
}
