package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"laurel/trust/access"
)

// foreign are names that an attacker can have resolve to a loopback address, and others that
// name nobody.
var foreign = []string{"evil.example", "evil.example:8001", "localhost.evil.example", "127.0.0.1.evil.example:8001",
	"0.0.0.0:8001", "[::]", "10.0.0.1", "b", "a.evil.example"}

func TestAnOpenStoreTakesOnlyRequestsThatNameIt(t *testing.T) {
	for _, fast := range []bool{false, true} {
		g, a := newTestAPI(t, Options{})
		g.keeps = true
		w := &way{addr: serveAPI(t, a, fast)}
		as := func(request, host string) string {
			return strings.Replace(request, "Host: "+testHost, "Host: "+host, 1)
		}
		var requests []string
		for _, r := range a.clientServer().routes() {
			if r.pattern != "/v1/watch" { // it does not end
				requests = append(requests, rawRequest(r.method, pathOf(r.pattern)))
			}
		}
		requests = append(requests, rawRequest("GET", "/nowhere"), rawRequest("PATCH", "/v1/events"),
			rawPost(alert("a", ""), isJSON), rawPost(alert("a", "")+"\n", isNDJSON),
			rawGet("/v1/scores/"+contest), rawGet("/v1/scores/"+contest, "If-None-Match: *"), rawGet(boardPath))
		for _, request := range requests {
			for _, host := range []string{"localhost", "127.0.0.1:8001", "[::1]:8001", testHost, testHost + ":8001"} {
				if got, _ := w.send(t, as(request, host), 1); strings.Contains(got, "is not the name of this frontend") {
					t.Errorf("%s, fast path %t: got %.400s for\n%s", host, fast, got, request)
				}
			}
		}
		posted, changes := len(g.events()), len(g.members)
		for _, request := range requests {
			for _, host := range foreign {
				got, _ := w.send(t, as(request, host), 1)
				if !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.Contains(got, "is not the name of this frontend") {
					t.Errorf("%s, fast path %t: got %.400s for\n%s", host, fast, got, request)
				}
			}
		}
		if n := len(g.events()) - posted; n != 0 || len(g.members) != changes {
			t.Errorf("fast path %t: %d events were taken, and the group changed by %q", fast, n, g.members[changes:])
		}
		if refusals(a, "foreign_host") < float64(len(requests)*len(foreign)) {
			t.Errorf("%v refusals were counted", refusals(a, "foreign_host"))
		}
	}
}

func TestARequestWithoutAHostIsRefusedByAnOpenStore(t *testing.T) {
	_, a := newTestAPI(t, Options{})
	for _, fast := range []bool{false, true} {
		w := &way{addr: serveAPI(t, a, fast)}
		for _, request := range []string{"GET /v1/scores HTTP/1.0\r\n\r\n", "GET /v1/scores HTTP/1.1\r\nHost:\r\n\r\n",
			"GET http://evil.example/v1/scores HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
			if got, _ := w.send(t, request, 1); !strings.Contains(got, " 403 ") {
				t.Errorf("fast path %t: got %.300s for\n%s", fast, got, request)
			}
		}
	}
}

func TestAnOpenStoreTakesOnlyHTTP2RequestsThatNameIt(t *testing.T) {
	_, s := newHTTP2Server(t)
	for host, want := range map[string]int{"": 200, "localhost": 200, "evil.example": 403} {
		for _, path := range []string{"/v1/scores", "/v1/watch?colour=red"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			got, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got.Body.Close()
			if got.ProtoMajor != 2 || (got.StatusCode == 403) != (want == 403) {
				t.Errorf("%q: got %s %s; want %d", host, got.Proto, got.Status, want)
			}
		}
	}
}

// Where callers are authenticated, a page has no token to send.
func TestAGuardedStoreIsReadByEveryName(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	newGuardedGroup(t, g)
	for _, fast := range []bool{false, true} {
		w := &way{addr: serveAPI(t, a, fast)}
		for _, host := range foreign {
			got, _ := w.send(t, strings.Replace(rawGet("/v1/scores/"+contest), "Host: "+testHost, "Host: "+host, 1), 1)
			if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
				t.Errorf("%s, fast path %t: got %.300s", host, fast, got)
			}
		}
	}
}

// The member that forwards a request has looked at the name.
func TestAForwardedRequestIsTakenWhateverItsHost(t *testing.T) {
	_, a := newTestAPI(t, Options{})
	r := httptest.NewRequest(http.MethodGet, "/v1/scores", nil)
	r.Host = "scores.example"
	r.Header.Set(access.CallerHeader, access.NoMember)
	w := httptest.NewRecorder()
	if a.ForwardedHandler().ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
