package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"laurel/trust/access"
)

func TestAReaderSignsInAndOutInABrowser(t *testing.T) {
	t.Parallel()
	s := newSecureSite(t, 1, true, "")
	s.Post(defineMatch(match)...)
	b := newTab(t, phone, nil).trustsAll().open(s.URL(0) + matchView)
	const fits = `document.documentElement.scrollWidth <= innerWidth`
	b.until("a form that fits on a phone", signInForm+` && `+fits)
	b.signIn("open sesame")
	b.until("why that fails", `document.querySelector('[role=alert]')?.textContent.includes('bearer token')`)
	b.signIn(s.reader.Text())
	b.live()
	if got := eval[string](b, `location.hash + document.cookie + location.search`); got != "#/contest/"+match {
		t.Errorf("after signing in the page has the fragment, cookies and query %q", got)
	}
	b.until("a header that fits on a phone", fits)
	second := newTab(t, desktop, b).trustsAll().open(s.URL(0)).live()
	s.Post(play(match, "GAU", 2))
	second.until("Gaul's 2 in another tab", inList(match, 1)+` === '2'`)

	// Another site: the names of a host are different sites.
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<a href='%s/'>scores</a>", s.URL(0))
	}))
	defer elsewhere.Close()
	u, _ := url.Parse(elsewhere.URL)
	third := newTab(t, desktop, b).trustsAll().open("http://localhost:" + u.Port())
	const read = `fetch('%s/v1/scores', {credentials: 'include'}).then((a) => a.status, () => 'blocked')`
	if got := eval[string](third, fmt.Sprintf(read, s.URL(0))); got != "blocked" {
		t.Errorf("a page of another site reads: %s", got)
	}
	third.do(`document.querySelector('a').click()`)
	third.live()

	b.do(`document.querySelector('form button[name=sign_out]').click()`)
	for _, one := range []*tab{b, second, third} {
		one.until("the form to sign in", signInForm)
	}
	b.do(`location.reload()`)
	b.until("the form to sign in again", signInForm)
}

func TestAUserSeesThatSigningOutHasFailed(t *testing.T) {
	t.Parallel()
	needBrowser(t)
	var targets atomic.Pointer[[]string]
	targets.Store(new([]string))
	proxy := onePublicURL(t, &targets)
	s := newSecureSite(t, 1, true, proxy.URL)
	targets.Store(&[]string{s.URL(0)})
	b := newTab(t, phone, nil).trustsAll().open(proxy.URL)
	b.signIn(s.reader.Text())
	b.live()
	targets.Store(new([]string)) // the proxy answers 502
	const signOut = `document.querySelector('form button[name=sign_out]').click()`
	b.do(signOut)
	b.until("that it has failed", `/Signing out has failed/.test(document.querySelector('[role=alert]')?.innerText)`)
	targets.Store(&[]string{s.URL(0)})
	b.do(signOut)
	b.until("the form to sign in", signInForm)
}

func TestAPageThatIsSignedInStaysAtItsFrontend(t *testing.T) {
	t.Parallel()
	s := newSecureSite(t, 2, true, "")
	s.Post(defineMatch(match)...)
	s.watch(0, 3) // so the other one has fewer watchers
	b := newTab(t, phone, nil).trustsAll().open(s.URL(0))
	b.signIn(s.reader.Text())
	b.live()
	if got := s.unauthorized(1); got != "0" {
		t.Errorf("the other frontend has refused the page %s times", got)
	}
}

func TestAReaderSignsInWithoutScripts(t *testing.T) {
	t.Parallel()
	s := newSecureSite(t, 1, true, "")
	s.Post(defineMatch(match)...)
	d := desktop
	d.noScript = true
	b := newTab(t, d, nil).trustsAll().open(s.URL(0))
	b.signIn(s.reader.Text())
	b.until("the scores", inList(match, 1)+` === '0'`)
	b.do(`document.querySelector('form button[name=sign_out]').click()`)
	b.until("the form to sign in", signInForm)
}

// onePublicURL is a proxy before frontends that answers by the first that it reaches.
func onePublicURL(t *testing.T, targets *atomic.Pointer[[]string]) *httptest.Server {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, target := range *targets.Load() {
			u, _ := url.Parse(target)
			reached := true
			proxy := httputil.ReverseProxy{
				Transport:     transport,
				FlushInterval: -1,
				Rewrite: func(p *httputil.ProxyRequest) {
					p.SetURL(u)
					p.Out.Host = p.In.Host
				},
				ErrorHandler: func(http.ResponseWriter, *http.Request, error) { reached = false },
			}
			if proxy.ServeHTTP(w, r); reached {
				return
			}
		}
		http.Error(w, "no frontend answers", http.StatusBadGateway)
	}))
	endWithTest(t, server)
	return server
}

func TestASessionSurvivesItsFrontendBehindOnePublicURL(t *testing.T) {
	t.Parallel()
	needBrowser(t)
	var targets atomic.Pointer[[]string]
	targets.Store(new([]string))
	proxy := onePublicURL(t, &targets)
	s := newSecureSite(t, 3, true, proxy.URL)
	targets.Store(&[]string{s.URL(0), s.URL(1), s.URL(2)})
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil).trustsAll().open(proxy.URL)
	b.signIn(s.reader.Text())
	b.live()
	s.kill(0)
	s.Post(play(match, "GAU", 3))
	b.until("the change, from another frontend", isLive+` && `+inList(match, 1)+` === '3'`)
	b.open(proxy.URL).live() // and it loads from there
}

func TestThePageOfAnotherFrontendAsksToSignInAgain(t *testing.T) {
	t.Parallel()
	s := newSecureSite(t, 3, true, "")
	s.Post(defineMatch(match)...)
	b := newTab(t, phone, nil).trustsAll().open(s.URL(0) + matchView)
	b.signIn(s.reader.Text())
	b.live()
	s.kill(0)
	const link = `[...document.querySelectorAll('.notices a')].find((a) => a.textContent === 'f2')`
	b.until("where to sign in", link+` && document.querySelector('.notices').textContent.includes('sign in at')`)
	// The browser sends the cookie of a host to all its ports.
	b.do(link + `.click()`)
	b.live()
	if got := eval[string](b, `location.origin + location.hash`); got != s.URL(1)+"#/contest/"+match {
		t.Errorf("the page is now %s", got)
	}
}

func TestThePageAsksToSignInAgainWhenItsTokenIsRevoked(t *testing.T) {
	t.Parallel()
	s := newSecureSite(t, 1, true, "")
	s.Post(defineMatch(match)...)
	b := newTab(t, desktop, nil).trustsAll().open(s.URL(0))
	b.signIn(s.reader.Text())
	b.live()
	s.change(access.Change{Revoke: s.reader.ID})
	s.Post(play(match, "GAU", 1))
	b.until("a button to sign in", `document.querySelector('.notices button')`)
	if eval[bool](b, inList(match, 1)+` !== '0'`) {
		t.Error("the page shows what came later")
	}
	b.do(`document.querySelector('.notices button').click()`)
	b.until("the form to sign in", signInForm+` && document.body.textContent.includes('Your session has ended')`)
}
