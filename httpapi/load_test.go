package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// from asks a handler as somebody at an address.
func from(h http.Handler, addr, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = addr
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAddressGetsSoMuchAndNoMoreAndOthersGetTheirs(t *testing.T) {
	_, a := newFake(t, Options{Limits: Limits{ReadsPerAddress: 5, PostsPerAddress: 3, Proxies: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}})
	h := a.Handler()
	count := func(addr, method, path, body string) (ok int) {
		for range 40 {
			w := from(h, addr, method, path, body, isJSON)
			switch {
			case w.Code == http.StatusOK:
				ok++
			case w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "":
				t.Fatalf("%s %s from %s: got %d %s", method, path, addr, w.Code, w.Body)
			}
		}
		return ok
	}
	for _, addr := range []string{"192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1"} {
		if n := count(addr, "GET", "/v1/scores", ""); n < 10 || n > 15 {
			t.Errorf("%s: %d questions of 40 were answered; want 10 and a few", addr, n)
		}
		if n := count(addr, "POST", "/v1/events", alert("", "")); n < 6 || n > 9 {
			t.Errorf("%s: %d posts of 40 were taken; want 6 and a few", addr, n)
		}
	}
	for _, addr := range []string{"127.0.0.1:1", "198.51.100.9:1"} {
		if n := count(addr, "GET", "/v1/scores", ""); n != 40 {
			t.Errorf("%s: %d questions of 40 were answered", addr, n)
		}
	}
	if n := from(h, "192.0.2.1:1", "GET", "/livez", ""); n.Code != http.StatusOK {
		t.Errorf("/livez gives %d", n.Code)
	}
	if n := refusals(a, "address_rate"); n < 100 {
		t.Errorf("counted %v", n)
	}
}

func TestCallerGetsTheRateOfItsGrant(t *testing.T) {
	t.Parallel() // it waits
	c, a, s := guardedServer(t, Options{})
	slow := pki.NewBearerToken()
	if err := c.group.ChangeAccess(t.Context(), access.Change{At: time.Now().UTC(), By: "test",
		Grant: &access.Grant{ID: slow.ID, Name: "feed", Role: access.RoleBard, Hash: slow.Hash(), Rate: 20}}); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for range 60 {
		switch got := ask(t, s, "POST", "/v1/events", alert("", ""), isJSON, bearer(slow)); got.StatusCode {
		case http.StatusOK:
			taken++
		case http.StatusTooManyRequests:
		default:
			t.Fatalf("got %d %s", got.StatusCode, got.body)
		}
	}
	if taken < 20 || taken > 40 || refusals(a, "caller_rate") == 0 {
		t.Errorf("%d of 60 events were taken at once; want some 20", taken)
	}
	if got := ask(t, s, "POST", "/v1/events", alert("", ""), isJSON, bearer(c.bard)); got.StatusCode != http.StatusOK {
		t.Errorf("another bard: got %d", got.StatusCode)
	}
	// A stream waits instead, and loses nothing.
	start := time.Now()
	got := ask(t, s, "POST", "/v1/events", strings.Repeat(alert("", "")+"\n", 50), isNDJSON, bearer(slow))
	if n := strings.Count(got.body, score.Applied); n != 50 || time.Since(start) < time.Second {
		t.Errorf("%d of 50 events of a stream were taken in %s; want all, in two seconds", n, time.Since(start))
	}
}

func TestReadsAndWatchersGoElsewhereBeforePostsAreRefused(t *testing.T) {
	_, a := newFake(t, Options{Limits: Limits{MaxPosts: 10}})
	s := serve(t, a, a.Handler())
	status := func(method, path, body string) int {
		return ask(t, s, method, path, body, isJSON).StatusCode
	}
	for _, c := range []struct{ under, read, post int }{{0, 200, 200}, {5, 200, 200}, {6, 503, 200}, {9, 503, 200}, {10, 503, 429}} {
		release := holdPosts(a, c.under)
		if got := status("GET", "/v1/scores", ""); got != c.read {
			t.Errorf("with %d of 10 posts under way a question gets %d; want %d", c.under, got, c.read)
		}
		if c.read == 503 {
			if got := status("GET", "/v1/watch?contest=OG50BC/1", ""); got != 503 {
				t.Errorf("with %d of 10 posts under way a watcher gets %d", c.under, got)
			}
		}
		if got := status("POST", "/v1/events", alert("", "")); got != c.post {
			t.Errorf("with %d of 10 posts under way a post gets %d; want %d", c.under, got, c.post)
		}
		if got := status("GET", "/metrics", ""); got != 200 {
			t.Errorf("with %d of 10 posts under way /metrics gives %d", c.under, got)
		}
		if got := postsUnderWay(a); got != c.under {
			t.Errorf("%d posts are under way after those; want %d", got, c.under)
		}
		release()
	}
}

func TestBodiesTakeOnlySoMuchMemoryTogether(t *testing.T) {
	_, a := newFake(t, Options{Limits: Limits{MaxPostBytes: 64 << 10}})
	s := serve(t, a, a.Handler())
	big := "[" + strings.Repeat(alert("", strings.Repeat("x", 900))+",", 99) + alert("", "") + "]"
	if got := ask(t, s, "POST", "/v1/events", big, isJSON); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	if got := ask(t, s, "POST", "/v1/events", "["+strings.Repeat(alert("", strings.Repeat("x", 4000))+",", 3)+alert("", "")+"]", isJSON); got.StatusCode != http.StatusOK {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	if n := a.admission.Bodies.Held(); n != 0 {
		t.Errorf("%d bytes are held after all was answered", n)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	_, a := newFake(t, Options{Limits: Limits{MaxStreams: 2}})
	s := serve(t, a, a.Handler())
	gate, caller := a.admission.ClientGate(), &handler.Caller{}
	leave1, _ := gate.EnterStream(caller)
	leave2, _ := gate.EnterStream(caller)
	if got := ask(t, s, "POST", "/v1/events", alert("", "")+"\n", isNDJSON); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	leave1()
	leave2()
	if got := ask(t, s, "POST", "/v1/events", alert("", "")+"\n", isNDJSON); got.StatusCode != http.StatusOK || streamsUnderWay(a) != 0 {
		t.Errorf("got %d, and %d streams are left", got.StatusCode, streamsUnderWay(a))
	}
}

func streamsUnderWay(a *API) int {
	_, _, streams := a.admission.UnderWay()
	return streams
}

func readsUnderWay(a *API) int {
	reads, _, _ := a.admission.UnderWay()
	return reads
}

// admit has the gate of clients admit a read over TLS from an address.
func admit(t *testing.T, a *API, addr string, token pki.BearerToken) *score.Problem {
	t.Helper()
	r := &fastpath.Request{Method: "GET", Path: []byte("/v1/scores"), Peer: overTLS(addr), Authorization: []byte("Bearer " + token.Text())}
	return a.admission.ClientGate().Admit(t.Context(), admission.PermitRead, handler.FromFastPath(t.Context(), r, nil))
}

func TestTokensFromAnAddressWithTooManyInvalidOnesAreNotLookedAt(t *testing.T) {
	const burst = 20
	g, a := newFake(t, Options{Private: true})
	c := newGuardedGroup(t, g)
	w := from(a.Handler(), "192.0.2.9:1", "GET", "/v1/scores", "", bearer(c.reader))
	if w.Code != http.StatusUnauthorized {
		t.Fatalf("in the clear: got %d", w.Code)
	}
	if problem := admit(t, a, "192.0.2.9", c.reader); problem != nil {
		t.Fatal(problem)
	}
	tries, unknown := 0, pki.NewBearerToken()
	for ; tries < 100; tries++ {
		if problem := admit(t, a, "192.0.2.9", unknown); problem.Code == score.RateLimited {
			break
		}
	}
	if tries < burst || tries > burst+5 {
		t.Errorf("%d invalid tokens were looked at; want %d", tries, burst)
	}
	if problem := admit(t, a, "192.0.2.9", c.reader); problem == nil || problem.Code != score.RateLimited {
		t.Errorf("a valid token from there: got %v", problem)
	}
	if problem := admit(t, a, "192.0.2.10", c.reader); problem != nil {
		t.Errorf("a valid token from elsewhere: %v", problem)
	}
}

func TestFrontendsThatWantToJoinAreSlowedDown(t *testing.T) {
	_, _, s := guardedServer(t, Options{})
	body := `{"token":"x","csr":"","member":"f1@x"}`
	for range 20 {
		ask(t, s, "POST", "/v1/cluster/enroll", body, isJSON)
	}
	if got := ask(t, s, "POST", "/v1/cluster/enroll", body, isJSON); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

func TestPagesOfTheListAndOfTheGroupMayRead(t *testing.T) {
	_, a := newFake(t, Options{Origins: []string{"https://Scores.example/"}})
	s := serve(t, a, a.Handler())
	for origin, may := range map[string]bool{"https://scores.example": true, "http://127.0.0.1:8002": true, "https://evil.example": false, "http://scores.example": false, "null": false, "": false} {
		got := ask(t, s, "GET", "/v1/scores", "", "Origin: "+origin)
		if allowed := got.Header.Get("Access-Control-Allow-Origin"); got.StatusCode != 200 || (allowed == origin && origin != "") != may || allowed == "*" {
			t.Errorf("%q: got %d and %q", origin, got.StatusCode, allowed)
		}
		if !strings.Contains(strings.Join(got.Header.Values("Vary"), ","), "Origin") {
			t.Errorf("%q: Vary is %q", origin, got.Header.Values("Vary"))
		}
	}
	if got := ask(t, s, "POST", "/v1/cluster/transfer", "", "Origin: https://evil.example"); got.StatusCode != http.StatusForbidden {
		t.Errorf("a page elsewhere changes the group: got %d", got.StatusCode)
	}
	if got := ask(t, s, "POST", "/v1/cluster/transfer", "", "Sec-Fetch-Site: cross-site"); got.StatusCode != http.StatusForbidden {
		t.Errorf("a page elsewhere changes the group: got %d", got.StatusCode)
	}
}

func TestPackedBodyIsRefusedUnopened(t *testing.T) {
	_, s := start(t)
	for _, kind := range []string{isJSON, isNDJSON} {
		got := ask(t, s, "POST", "/v1/events", alert("", ""), kind, "Content-Encoding: gzip")
		var p score.Problem
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.StatusCode != http.StatusUnsupportedMediaType || p.Field != "Content-Encoding" {
			t.Errorf("%s: got %d %s", kind, got.StatusCode, got.body)
		}
	}
}
