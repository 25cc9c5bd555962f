package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"laurel/httpapi/admission"
	"laurel/score"
	"laurel/trust/access"
)

const press = "https://press.example"

func TestOriginsAreParsedAsBrowsersSendThem(t *testing.T) {
	for text, want := range map[string]string{
		"https://Scores.example/":     "https://scores.example",
		"https://scores.example:443":  "https://scores.example",
		"http://scores.example:80/":   "http://scores.example",
		"http://scores.example:443":   "http://scores.example:443",
		"HTTPS://scores.example:8443": "https://scores.example:8443",
		"http://[2001:DB8::1]:8001":   "http://[2001:db8::1]:8001",
		"http://[::1]:80":             "http://[::1]",
		"http://127.0.0.1:8001":       "http://127.0.0.1:8001",
		"scores.example":              "",
		"scores.example:8001":         "",
		"//scores.example":            "",
		"ftp://scores.example":        "",
		"https://scores.example/live": "",
		"https://scores.example?a":    "",
		"https://scores.example#a":    "",
		"https://me@scores.example":   "",
		"https://*.scores.example":    "",
		"https://größe.example":       "",
		"https://":                    "",
		"https://:8001":               "",
		"https://a b":                 "",
		"null":                        "",
		"*":                           "",
		"":                            "",
	} {
		got, err := ParseOrigin(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q (%v); want %q", text, got, err, want)
		}
	}
}

func TestPagesOfTheGroupAndOfListedOriginsMayRead(t *testing.T) {
	_, a := newTestAPI(t, Options{Origins: []string{press}})
	s := serve(t, a, a.Handler())
	for origin, may := range map[string]bool{
		press:                   true,
		"http://127.0.0.1:8002": true,
		"https://evil.example":  false,
		"http://press.example":  false,
		press + ":8443":         false,
		"null":                  false,
		"":                      false,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			got := ask(t, s, method, "/v1/scores", "", "Origin: "+origin)
			allowed := got.Header.Get("Access-Control-Allow-Origin")
			if got.StatusCode != 200 || (allowed == origin && origin != "") != may || allowed == "*" {
				t.Errorf("%s from %q: got %d and %q", method, origin, got.StatusCode, allowed)
			}
			if !strings.Contains(strings.Join(got.Header.Values("Vary"), ","), "Origin") {
				t.Errorf("%s from %q: Vary is %q", method, origin, got.Header.Values("Vary"))
			}
		}
	}
}

func TestAListedOriginReadsAndDoesNotWrite(t *testing.T) {
	for _, fast := range []bool{false, true} {
		g, a := newTestAPI(t, Options{Origins: []string{press}})
		w := &way{addr: serveAPI(t, a, fast)}
		for _, page := range []string{"Origin: " + press, "Origin: https://evil.example", "Origin: null",
			"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"} {
			for _, request := range []string{
				rawPost(alert("a", ""), isJSON, page),
				rawPost(alert("a", "")+"\n", isNDJSON, page),
				rawRequest("POST", "/v1/cluster/transfer", page),
				rawRequest("DELETE", "/v1/cluster/members/f3", page),
			} {
				// A browser sends the origin with every post, even to its own server.
				if fast && strings.HasPrefix(page, "Sec-") && strings.Contains(request, "/v1/events") {
					request = strings.Replace(request, page, page+"\r\nOrigin: null", 1)
				}
				got, _ := w.send(t, request, 1)
				if !strings.HasPrefix(got, "HTTP/1.1 403 ") || strings.Contains(got, "Access-Control-Allow") {
					t.Errorf("%s, fast path %t: got %.400s for\n%s", page, fast, got, request)
				}
			}
		}
		if n := len(g.events()); n > 0 || len(g.members) > 0 {
			t.Errorf("%d events were taken, and the group changed by %q", n, g.members)
		}
	}
}

func rawRequest(method, path string, fields ...string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: " + testHost + "\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// preflight is what a browser sends before a request of a page.
func preflight(path, origin, method string) string {
	return rawRequest("OPTIONS", path, "Origin: "+origin, "Access-Control-Request-Method: "+method,
		"Access-Control-Request-Headers: authorization")
}

// pathOf returns a path that a pattern matches.
func pathOf(pattern string) string {
	path, _, _ := strings.Cut(pattern, "{")
	return path + map[bool]string{true: "a"}[path != pattern]
}

// isForPages reports whether pages of other origins may read a route.
func isForPages(r route) bool {
	return r.method == http.MethodGet && r.permit != admission.PermitOperate
}

// isAllowed reports whether the answer to a preflight lets a page send a token.
func isAllowed(answer, origin string) bool {
	return strings.HasPrefix(answer, "HTTP/1.1 204 ") &&
		strings.Contains(answer, "Access-Control-Allow-Origin: "+origin+"\r\n") &&
		strings.Contains(answer, "Access-Control-Allow-Headers: Authorization, ") &&
		strings.Contains(answer, "Access-Control-Allow-Methods: GET, HEAD\r\n") &&
		!strings.Contains(answer, "Allow-Credentials")
}

func TestABrowserThatAsksFirstIsToldWhatPagesMayRead(t *testing.T) {
	for name, c := range map[string]struct {
		listed []string
		secret bool
		origin string
		want   string // the origin that is allowed; "" for none
	}{
		"public":                            {nil, false, press, "*"},
		"public, of an opaque origin":       {nil, false, "null", "*"},
		"a list":                            {[]string{press}, false, press, press},
		"a list, of another origin":         {[]string{press}, false, "https://evil.example", ""},
		"a list, of another frontend":       {[]string{press}, false, "http://127.0.0.1:8002", "http://127.0.0.1:8002"},
		"private":                           {nil, true, press, ""},
		"private, of another frontend":      {nil, true, "http://127.0.0.1:8002", "http://127.0.0.1:8002"},
		"private with a list":               {[]string{press}, true, press, press},
		"private with a list, of an opaque": {[]string{press}, true, "null", ""},
	} {
		g, a := newTestAPI(t, Options{Origins: c.listed})
		newGuardedGroup(t, g)
		if c.secret {
			g.store.change(access.SettingPrivate, "true")
		}
		w := &way{addr: serveAPI(t, a, true)}
		for _, r := range a.clientServer().routes() {
			got, _ := w.send(t, preflight(pathOf(r.pattern), c.origin, r.method), 1)
			why := "may only read"
			if isForPages(r) {
				why = "may not read here"
			}
			if want := isForPages(r) && c.want != ""; isAllowed(got, c.want) != want || !want &&
				(!strings.HasPrefix(got, "HTTP/1.1 403 ") || strings.Contains(got, "Access-Control-Allow") || !strings.Contains(got, why)) {
				t.Errorf("%s: %s %s: got %.400s", name, r.method, r.pattern, got)
			}
			if !isForPages(r) {
				continue
			}
			if got, _ := w.send(t, preflight(pathOf(r.pattern), c.origin, "HEAD"), 1); isAllowed(got, c.want) != (c.want != "") {
				t.Errorf("%s: HEAD %s: got %.400s", name, r.pattern, got)
			}
			if got, _ := w.send(t, preflight(pathOf(r.pattern), c.origin, "PATCH"), 1); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
				t.Errorf("%s: PATCH %s: got %.400s", name, r.pattern, got)
			}
		}
	}
}

func TestOptionsWithoutAQuestionAreRefused(t *testing.T) {
	_, a := newTestAPI(t, Options{})
	client, peer := serve(t, a, a.Handler()), serve(t, a, a.ForwardedHandler())
	origin, method := "Origin: "+press, "Access-Control-Request-Method: GET"
	for _, headers := range [][]string{nil, {origin}, {method}} {
		if got := ask(t, client, "OPTIONS", "/v1/scores", "", headers...); got.StatusCode != 405 ||
			got.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%q: got %d %v", headers, got.StatusCode, got.Header)
		}
	}
	if got := ask(t, peer, "OPTIONS", "/v1/scores", "", origin, method, forwarded); got.StatusCode != 405 {
		t.Errorf("at the peer port: got %d", got.StatusCode)
	}
	if got := ask(t, client, "OPTIONS", "/nowhere", "", origin, method); got.StatusCode != 404 {
		t.Errorf("of an unknown path: got %d", got.StatusCode)
	}
}

func TestPagesOfListedOriginsReadAPrivateGroup(t *testing.T) {
	for _, fast := range []bool{false, true} {
		g, a := newTestAPI(t, Options{Origins: []string{press}})
		g.keeps = true
		c := newGuardedGroup(t, g)
		g.store.change(access.SettingPrivate, "true")
		w := &way{addr: serveAPI(t, a, fast)}
		for origin, may := range map[string]bool{press: true, "https://evil.example": false} {
			for token, status := range map[string]string{bearer(c.reader): "200", bearer(c.revoked): "401", "X: y": "401"} {
				got, _ := w.send(t, rawGet("/v1/scores/"+contest, "Origin: "+origin, token), 1)
				if !strings.HasPrefix(got, "HTTP/1.1 "+status) ||
					strings.Contains(got, "\r\nAccess-Control-Allow-Origin: "+origin+"\r\n") != may {
					t.Errorf("%s, fast path %t: got %.400s; want %s", origin, fast, got, status)
				}
			}
		}
	}
}

// What is for operators is for no page, whoever may do what here.
func TestNoPageReadsWhatIsForOperators(t *testing.T) {
	for _, listed := range [][]string{nil, {press}} {
		_, a := newTestAPI(t, Options{Origins: listed})
		w := &way{addr: serveAPI(t, a, true)}
		seen := 0
		for _, r := range a.clientServer().routes() {
			path := pathOf(r.pattern)
			if path == "/v1/watch" {
				path += "?colour=red" // a stream does not end
			}
			got, _ := w.send(t, rawRequest(r.method, path, "Origin: "+press), 1)
			if allowed := strings.Contains(got, "Access-Control-"); allowed != isForPages(r) {
				t.Errorf("%s %s with the list %q: got %.400s", r.method, r.pattern, listed, got)
			}
			if r.permit == admission.PermitOperate && r.method == http.MethodGet {
				seen++
			}
		}
		if seen < 2 {
			t.Errorf("only %d routes are for operators", seen)
		}
	}
}

func TestPagesReadEveryHeaderFieldOfAnAnswer(t *testing.T) {
	for _, listed := range [][]string{nil, {press}} {
		for _, fast := range []bool{false, true} {
			g, a := newTestAPI(t, Options{Origins: listed})
			g.keeps = true
			w := &way{addr: serveAPI(t, a, fast)}
			for _, request := range []string{
				rawGet("/v1/scores/"+contest, "Origin: "+press), // from the store, then from memory
				rawGet("/v1/scores/"+contest, "Origin: "+press),
				rawGet("/v1/scores/"+contest, "Origin: "+press, "If-None-Match: *"),
				rawGet("/v1/scores/OG50BC/NO", "Origin: "+press),
				rawGet(boardPath, "Origin: "+press),
				rawGet("/v1/scores?colour=red", "Origin: "+press),
				rawGet("/v1/frontends", "Origin: "+press),
				rawGet("/metrics", "Origin: "+press),
				rawGet("/", "Origin: "+press, "Accept: text/html"),
				rawGet("/assets/none.js", "Origin: "+press),
			} {
				got, _ := w.send(t, request, 1)
				if !strings.Contains(got, "\r\nAccess-Control-Expose-Headers: *\r\n") {
					t.Errorf("list %q, fast path %t: got %.400s for\n%s", listed, fast, got, request)
				}
			}
			_, stream := request(t, w.addr, "/v1/watch?contest="+contest, "Origin: "+press)
			if res := status(t, stream); res.StatusCode != 200 || res.Header.Get("Access-Control-Expose-Headers") != "*" {
				t.Errorf("list %q, fast path %t: a stream has %s %v", listed, fast, res.Status, res.Header)
			}
		}
	}
}

func TestARequestWithAnOriginIsNeverRedirected(t *testing.T) {
	g, a, url := newWatchedGroup(t)
	g.setOthers(score.Frontend{ID: "f2", URL: "http://there", State: score.Serving, Watchers: 0})
	sentTo := crowd(t, a, url)
	if to := sentTo(func(*http.Request) {}); to == "" {
		t.Fatal("a frontend with too many watchers keeps another one")
	}
	for _, origin := range []string{press, "null", "http://here", url} {
		if to := sentTo(func(r *http.Request) { r.Header.Set("Origin", origin) }); to != "" {
			t.Errorf("a page of %s is redirected to %s", origin, to)
		}
	}
}
