package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

const (
	isForm   = "Content-Type: application/x-www-form-urlencoded"
	asksHTML = "Accept: text/html"
)

// privateServer serves a private group over TCP.
func privateServer(t testing.TB) (*guardedGroup, *API, *httptest.Server) {
	t.Helper()
	c, a, s := guardedServer(t, Options{})
	c.group.store.change(access.SettingPrivate, "true")
	return c, a, s
}

// form returns the body of a form.
func form(name, value string) string { return url.Values{name: {value}}.Encode() }

// cookie returns the header field with a session.
func cookie(session string) string {
	return "Cookie: theme=dark; " + access.SessionCookie(testLineage) + "=" + session
}

// signIn signs in by the form and returns the header field with the session.
func signIn(t testing.TB, s *httptest.Server, token access.BearerToken) string {
	t.Helper()
	got := ask(t, s, "POST", "/", form("token", token.Text()), isForm, asksHTML)
	if got.StatusCode != http.StatusSeeOther || len(got.Cookies()) != 1 {
		t.Fatalf("got %d %s, cookies %v", got.StatusCode, got.body, got.Cookies())
	}
	return cookie(got.Cookies()[0].Value)
}

func TestAReaderSignsInByAFormForACookieThatPagesCannotRead(t *testing.T) {
	c, _, s := privateServer(t)
	got := ask(t, s, "GET", "/", "", asksHTML)
	if got.StatusCode != http.StatusUnauthorized || !strings.Contains(got.body, `<form method="post">`) ||
		got.Header.Get("Www-Authenticate") == "" || got.Header.Get("Cache-Control") != "no-store" ||
		!strings.Contains(got.Header.Get("Content-Security-Policy"), "form-action 'self'") {
		t.Errorf("without a session: got %d %v %s", got.StatusCode, got.Header, got.body)
	}
	if got := ask(t, s, "GET", "/", ""); got.StatusCode != 401 || !strings.HasPrefix(got.body, "{") {
		t.Errorf("a client that is no browser got %d %s", got.StatusCode, got.body)
	}
	got = ask(t, s, "POST", "/", form("token", c.reader.Text()), isForm, asksHTML)
	if len(got.Cookies()) != 1 || got.Header.Get("Location") != "./" {
		t.Fatalf("got %d %v", got.StatusCode, got.Header)
	}
	one := got.Cookies()[0]
	if !one.HttpOnly || !one.Secure || one.SameSite != http.SameSiteStrictMode || one.Domain != "" || one.Path != "/" ||
		one.MaxAge != 12*60*60 || !strings.HasPrefix(one.Name, "__Host-") {
		t.Errorf("the cookie is %v", got.Header["Set-Cookie"])
	}
	if strings.Contains(one.Value, c.reader.Secret) {
		t.Error("the cookie has the secret of the token")
	}
	got = ask(t, s, "GET", "/", "", asksHTML, cookie(one.Value))
	if got.StatusCode != 200 || !strings.Contains(got.body, "sign_out") || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("with the session: got %d %v", got.StatusCode, got.Header)
	}
}

func TestASessionEndsWhenItsUserSignsOut(t *testing.T) {
	c, _, s := privateServer(t)
	session := signIn(t, s, c.reader)
	got := ask(t, s, "POST", "/", form("sign_out", "yes"), isForm, session)
	if got.StatusCode != http.StatusSeeOther || len(got.Cookies()) != 1 || got.Cookies()[0].MaxAge != -1 ||
		got.Header.Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("got %d %v", got.StatusCode, got.Header)
	}
}

// The requests that a browser sends with a cookie may be another page's.
func TestASessionReadsAndDoesNothingElse(t *testing.T) {
	c, a, s := privateServer(t)
	session := signIn(t, s, c.reader)
	// A session by the operator's token, which the form does not make, has no other rights.
	for name, session := range map[string]string{
		"reader":   session,
		"operator": cookie(c.operator.NewSession(testLineage, time.Now().Add(time.Hour))),
	} {
		for _, rt := range a.clientServer().routes() {
			path := strings.NewReplacer("{contest:.+}", contest, "{competition}", "OG50BC",
				"{organisation:.+}", "GAU", "{source:.+}", "bard/cacofonix", "{id}", "f9", "{file}", "x.js",
			).Replace(rt.pattern)
			if rt.permit == admission.PermitWatch {
				path += "?contest=" // a request that is refused once it is admitted
			}
			got := ask(t, s, rt.method, path, "", session)
			reads := rt.method == http.MethodGet && (rt.permit == admission.PermitRead ||
				rt.permit == admission.PermitWatch || rt.permit == admission.PermitMetrics)
			switch refused := got.StatusCode == 401 || got.StatusCode == 403; {
			case reads && refused:
				t.Errorf("%s: %s %s: got %d %s", name, rt.method, path, got.StatusCode, got.body)
			case !reads && !refused && rt.permit != admission.PermitAll && rt.permit != admission.PermitEnroll &&
				rt.permit != admission.PermitSigned && rt.permit != admission.PermitPost:
				t.Errorf("%s: %s %s: got %d %s", name, rt.method, path, got.StatusCode, got.body)
			}
		}
		if got := ask(t, s, "POST", "/v1/events", alert("a", ""), isJSON, session); got.StatusCode != 401 {
			t.Errorf("%s posts: got %d %s", name, got.StatusCode, got.body)
		}
		if got := ask(t, s, "GET", "/v1/scores", "", session, bearer(access.NewBearerToken())); got.StatusCode != 401 {
			t.Errorf("%s, and a wrong token: got %d", name, got.StatusCode)
		}
	}
	if len(c.group.members) > 0 || len(c.group.events()) > 0 {
		t.Errorf("a session had effects: %v, %d events", c.group.members, len(c.group.events()))
	}
}

func TestASessionReadsFromMemoryAndThroughTheMaster(t *testing.T) {
	for _, fast := range []bool{false, true} {
		g, a := newTestAPI(t, Options{})
		g.keeps = true
		c := newGuardedGroup(t, g)
		g.store.change(access.SettingPrivate, "true")
		w := &way{addr: serveAPI(t, a, fast)}
		session := cookie(c.reader.NewSession(testLineage, time.Now().Add(time.Hour)))
		for range 2 {
			if got, _ := w.send(t, rawGet("/v1/scores/"+contest, session), 1); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
				t.Errorf("fast path %t: got %.300s", fast, got)
			}
		}
		g.elsewhere.Store(true)
		g.forward = func(w http.ResponseWriter, r *http.Request) error {
			if got := "Cookie: " + r.Header.Get("Cookie"); got != session {
				t.Errorf("fast path %t: the master gets %q; want %q", fast, got, session)
			}
			return score.Problemf(score.NoMaster, "no")
		}
		if got, _ := w.send(t, rawGet("/v1/scores/"+contest, session), 1); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
			t.Errorf("fast path %t: forwarded: got %.300s", fast, got)
		}
	}
}

func TestOnlyAReadersTokenSignsIn(t *testing.T) {
	c, a, s := privateServer(t)
	for name, one := range map[string]struct {
		token  string
		status int
	}{
		"an operator's":     {c.operator.Text(), 403},
		"a bard's":          {c.bard.Text(), 403},
		"one revoked":       {c.revoked.Text(), 401},
		"one expired":       {c.expired.Text(), 401},
		"one unknown":       {access.NewBearerToken().Text(), 401},
		"none":              {"", 401},
		"something else":    {"open sesame", 401},
		"a token and a CR":  {c.reader.Text() + "\r\nx", 401},
		"a large form":      {strings.Repeat("x", 2000), 413},
		"a session's":       {c.reader.NewSession(testLineage, time.Now().Add(time.Hour)), 401},
		"a reader's, twice": {c.reader.Text() + "&token=x", 401},
	} {
		got := ask(t, s, "POST", "/", form("token", one.token), isForm, asksHTML)
		if got.StatusCode != one.status || len(got.Cookies()) > 0 {
			t.Errorf("%s: got %d, cookies %v; want %d", name, got.StatusCode, got.Cookies(), one.status)
		}
		if !strings.Contains(got.body, `role="alert"`) || one.token != "" && strings.Contains(got.body, one.token) {
			t.Errorf("%s: the form does not tell why, or quotes the token:\n%s", name, got.body)
		}
	}
	for name, body := range map[string]string{
		"no field": "", "another": "token=x&next=//evil.example", "two": "token=x&token=y", "not a form": "%zz",
	} {
		if got := ask(t, s, "POST", "/", body, isForm); len(got.Cookies()) > 0 || got.StatusCode < 400 {
			t.Errorf("%s: got %d %s", name, got.StatusCode, got.body)
		}
	}
	if got := ask(t, s, "POST", "/", `{"token":"x"}`, isJSON); got.StatusCode != 415 {
		t.Errorf("JSON: got %d", got.StatusCode)
	}
	if n := refusals(a, string(admission.ReasonRole)); n != 2 {
		t.Errorf("counted %v; want 2", n)
	}
}

func TestASessionThatIsNotValidAnyMoreAsksToSignInAgain(t *testing.T) {
	c, _, s := privateServer(t)
	in := time.Now().Add(time.Hour)
	valid := cookie(c.reader.NewSession(testLineage, in))
	for name, session := range map[string]string{
		"that has ended":     cookie(c.reader.NewSession(testLineage, time.Now().Add(-time.Second))),
		"of another store":   cookie(c.reader.NewSession("rome", in)),
		"of a revoked token": cookie(c.revoked.NewSession(testLineage, in)),
		"of an expired one":  cookie(c.expired.NewSession(testLineage, in)),
		"that is forged":     valid + "A",
		"with a token":       cookie(c.reader.Text()),
	} {
		got := ask(t, s, "GET", "/", "", asksHTML, session)
		if got.StatusCode != 401 || !strings.Contains(got.body, "Your session has ended.") {
			t.Errorf("one %s: got %d %s", name, got.StatusCode, got.body)
		}
		if got := ask(t, s, "GET", "/v1/scores", "", session); got.StatusCode != 401 {
			t.Errorf("one %s reads: got %d", name, got.StatusCode)
		}
	}
	another := strings.Replace(valid, access.SessionCookie(testLineage), access.SessionCookie("rome"), 1)
	for name, session := range map[string]string{"no cookie": "Cookie: theme=dark", "the cookie of another group": another} {
		got := ask(t, s, "GET", "/", "", asksHTML, session)
		if got.StatusCode != 401 || strings.Contains(got.body, `role="alert"`) {
			t.Errorf("%s: got %d %s", name, got.StatusCode, got.body)
		}
	}
	if got := ask(t, s, "GET", "/v1/scores", "", valid); got.StatusCode != 200 {
		t.Errorf("the valid one: got %d", got.StatusCode)
	}
	if err := c.group.ChangeAccess(t.Context(), access.Change{At: in, By: "test", Revoke: c.reader.ID}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, s, "GET", "/v1/scores", "", valid); got.StatusCode != 401 {
		t.Errorf("once its token is revoked: got %d", got.StatusCode)
	}
}

func TestAWatcherIsToldNothingAfterItsSession(t *testing.T) {
	c, a, _ := privateServer(t)
	gate := a.admission.ClientGate()
	state := gate.Access()
	grant, err := state.Session(c.reader.NewSession(testLineage, time.Now().Add(time.Hour)), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	caller := &handler.Caller{Grant: grant, Session: true}
	if !gate.MayStillRead(caller) {
		t.Error("a watcher is cut off during its session")
	}
	grant.Expires = time.Now().Add(-time.Second)
	if gate.MayStillRead(caller) {
		t.Error("a watcher goes on after its session")
	}
}

func TestAPageOfAnotherOriginNeitherSignsInNorOut(t *testing.T) {
	c, _, s := privateServer(t)
	for _, body := range []string{form("token", c.reader.Text()), form("sign_out", "yes")} {
		for _, origin := range [][]string{
			{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"},
			{"Origin: https://evil.example"}, {"Origin: null"},
		} {
			got := ask(t, s, "POST", "/", body, append(origin, isForm, asksHTML)...)
			if got.StatusCode != 403 || len(got.Cookies()) > 0 {
				t.Errorf("%v: got %d, cookies %v", origin, got.StatusCode, got.Cookies())
			}
		}
	}
}

// A browser sends no strict cookie with a request that a link of another site has caused.
func TestALinkOfAnotherSiteLeadsToThePageOfASession(t *testing.T) {
	_, _, s := privateServer(t)
	for site, reloads := range map[string]bool{"cross-site": true, "same-origin": false, "none": false, "": false} {
		got := ask(t, s, "GET", "/", "", asksHTML, "Sec-Fetch-Site: "+site)
		if strings.Contains(got.body, `http-equiv="refresh"`) != reloads {
			t.Errorf("from %q: got %s", site, got.body)
		}
	}
}

func TestInTheClearThereIsNoFormAndNoSession(t *testing.T) {
	c, a, _ := privateServer(t)
	const far = "192.0.2.7:999"
	session := cookie(c.reader.NewSession(testLineage, time.Now().Add(time.Hour)))
	got := from(a.Handler(), far, "GET", "/", "", asksHTML)
	// Behind a proxy that is not known, the browser did use https.
	if text := got.Body.String(); got.Code != 401 || strings.Contains(text, "<form") || !strings.Contains(text, "https") ||
		!strings.Contains(text, "--proxies") {
		t.Errorf("got %d %s", got.Code, got.Body)
	}
	got = from(a.Handler(), far, "POST", "/", form("token", c.reader.Text()), isForm, asksHTML)
	if got.Code != 401 || got.Header().Get("Set-Cookie") != "" || strings.Contains(got.Body.String(), "<form") {
		t.Errorf("got %d %v", got.Code, got.Header())
	}
	if got := from(a.Handler(), far, "GET", "/v1/scores", "", session); got.Code != 401 {
		t.Errorf("a session: got %d", got.Code)
	}
}

// It cannot name the cookie that the browser is to forget.
func TestNobodySignsOutAtAFrontendThatDoesNotKnowItsGroup(t *testing.T) {
	g, a := newTestAPI(t, Options{Options: admission.Options{Secure: true}})
	g.store = nil // as if nothing had been applied
	s := serve(t, a, a.Handler())
	for _, body := range []string{form("sign_out", "yes"), form("token", access.NewBearerToken().Text())} {
		got := ask(t, s, "POST", "/", body, isForm)
		if got.StatusCode != http.StatusServiceUnavailable || len(got.Cookies()) > 0 {
			t.Errorf("got %d %s, cookies %v", got.StatusCode, got.body, got.Cookies())
		}
	}
}

func TestAPublicGroupMakesNoSessions(t *testing.T) {
	c, _, s := guardedServer(t, Options{})
	got := ask(t, s, "POST", "/", form("token", c.reader.Text()), isForm)
	if got.StatusCode != http.StatusSeeOther || len(got.Cookies()) > 0 {
		t.Errorf("got %d, cookies %v", got.StatusCode, got.Cookies())
	}
	got = ask(t, s, "GET", "/", "", asksHTML, cookie("x"))
	if got.StatusCode != 200 || strings.Contains(got.body, "sign_out") {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}
