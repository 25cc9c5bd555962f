package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cache"
	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

// from sends a request from an address to a handler.
func from(h http.Handler, addr, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = testHost, addr
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRatesOfAnAddressDoNotAffectOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := newTestAPI(t, limited(admission.Limits{
			ReadsPerAddress: 5,
			PostsPerAddress: 3,
			Proxies:         []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		}))
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
			if n := count(addr, "GET", "/v1/scores", ""); n != 2*5 {
				t.Errorf("%s: %d of 40 reads were answered; want 10", addr, n)
			}
			if n := count(addr, "POST", "/v1/events", alert("", "")); n != 2*3 {
				t.Errorf("%s: %d of 40 posts were accepted; want 6", addr, n)
			}
		}
		for _, addr := range []string{"127.0.0.1:1", "198.51.100.9:1"} {
			if n := count(addr, "GET", "/v1/scores", ""); n != 40 {
				t.Errorf("%s: %d of 40 reads were answered", addr, n)
			}
		}
		// A load balancer asks for them behind the same router.
		for _, path := range []string{"/livez", "/readyz", "/metrics"} {
			if n := from(h, "192.0.2.1:1", "GET", path, ""); n.Code != http.StatusOK {
				t.Errorf("%s: got %d", path, n.Code)
			}
		}
		if refusals(a, "address_rate") == 0 {
			t.Error("no refusal was counted")
		}
	})
}

func TestCallerGetsTheRateOfItsGrant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, a := newTestAPI(t, Options{})
		c, s := newGuardedGroup(t, g), serveVirtually(t, a, a.Handler())
		slow := access.NewBearerToken()
		grant := &access.Grant{ID: slow.ID, Name: "feed", Role: access.RoleBard, Hash: slow.Hash(), Rate: 20}
		change := access.Change{At: time.Now().UTC(), By: "test", Grant: grant}
		if err := c.group.ChangeAccess(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		accepted := 0
		refused := within(1000, func() bool {
			switch got := ask(t, s, "POST", "/v1/events", alert("", ""), isJSON, bearer(slow)); got.StatusCode {
			case http.StatusOK:
				accepted++
			case http.StatusTooManyRequests:
				return true
			default:
				t.Fatalf("got %d %s", got.StatusCode, got.body)
			}
			return false
		})
		if !refused || accepted != 20 || refusals(a, "caller_rate") == 0 {
			t.Errorf("%d events were accepted before one was refused; want 20", accepted)
		}
		got := ask(t, s, "POST", "/v1/events", alert("", ""), isJSON, bearer(c.bard))
		if got.StatusCode != http.StatusOK {
			t.Errorf("another bard: got %d", got.StatusCode)
		}
		// A stream waits instead.
		start := time.Now()
		got = ask(t, s, "POST", "/v1/events", strings.Repeat(alert("", "")+"\n", 50), isNDJSON, bearer(slow))
		if n := strings.Count(got.body, score.Applied); n != 50 || time.Since(start) < 2*time.Second {
			t.Errorf("%d of 50 events of a stream were accepted in %s; want all, in about 2 s", n, time.Since(start))
		}
	})
}

func TestReadsAndWatchersAreRefusedBeforePosts(t *testing.T) {
	_, a := newTestAPI(t, limited(admission.Limits{MaxPosts: 10}))
	s := serve(t, a, a.Handler())
	status := func(method, path, body string) int {
		return ask(t, s, method, path, body, isJSON).StatusCode
	}
	for _, c := range []struct{ under, read, post int }{
		{0, 200, 200},
		{5, 200, 200},
		{6, 503, 200},
		{9, 503, 200},
		{10, 503, 429},
	} {
		release := holdPosts(a, c.under)
		if got := status("GET", "/v1/scores", ""); got != c.read {
			t.Errorf("with %d of 10 posts under way: a read got %d; want %d", c.under, got, c.read)
		}
		if c.read == 503 {
			if got := status("GET", "/v1/watch?contest=OG50BC/1", ""); got != 503 {
				t.Errorf("with %d of 10 posts under way: a watcher got %d; want 503", c.under, got)
			}
		}
		if got := status("POST", "/v1/events", alert("", "")); got != c.post {
			t.Errorf("with %d of 10 posts under way: a post got %d; want %d", c.under, got, c.post)
		}
		if got := status("GET", "/metrics", ""); got != 200 {
			t.Errorf("with %d of 10 posts under way: /metrics got %d; want 200", c.under, got)
		}
		if got := postsUnderWay(a); got != c.under {
			t.Errorf("%d posts are under way afterwards; want %d", got, c.under)
		}
		release()
	}
}

func TestMemoryOfAllBodiesIsBounded(t *testing.T) {
	_, a := newTestAPI(t, limited(admission.Limits{MaxPostBytes: 64 << 10}))
	s := serve(t, a, a.Handler())
	big := "[" + strings.Repeat(alert("", strings.Repeat("x", 900))+",", 99) + alert("", "") + "]"
	got := ask(t, s, "POST", "/v1/events", big, isJSON)
	if got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" {
		t.Errorf("a large body: got %d %s", got.StatusCode, got.body)
	}
	small := "[" + strings.Repeat(alert("", strings.Repeat("x", 4000))+",", 3) + alert("", "") + "]"
	if got := ask(t, s, "POST", "/v1/events", small, isJSON); got.StatusCode != http.StatusOK {
		t.Errorf("a small body: got %d %s", got.StatusCode, got.body)
	}
	if n := a.admission.Bodies.Held(); n != 0 {
		t.Errorf("%d bytes are held after the answers", n)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	c, a, s := guardedServer(t, limited(admission.Limits{MaxStreams: 2}))
	gate, caller := a.admission.ClientGate(), &handler.Caller{Grant: a.admission.Access().Grants[c.bard.ID]}
	post := func() *readResponse {
		return ask(t, s, "POST", "/v1/events", alert("", "")+"\n", isNDJSON, bearer(c.bard))
	}
	one, _ := gate.EnterStream(caller, nil)
	two, _ := gate.EnterStream(caller, nil)
	if got := post(); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	one.Leave()
	two.Leave()
	if got := post(); got.StatusCode != http.StatusOK || streamsUnderWay(a) != 0 {
		t.Errorf("got %d, and %d streams remain", got.StatusCode, streamsUnderWay(a))
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

func TestEncodedBodyIsRefused(t *testing.T) {
	_, s := start(t)
	for _, kind := range []string{isJSON, isNDJSON} {
		got := ask(t, s, "POST", "/v1/events", alert("", ""), kind, "Content-Encoding: gzip")
		var p score.Problem
		err := json.Unmarshal([]byte(got.body), &p)
		if err != nil || got.StatusCode != http.StatusUnsupportedMediaType || p.Field != "Content-Encoding" {
			t.Errorf("%s: got %d %s", kind, got.StatusCode, got.body)
		}
	}
}

// limited returns the options of an API with other limits than the defaults.
func limited(l admission.Limits) Options { return Options{Options: admission.Options{Limits: l}} }

// A list takes a processor for long: with thousands of them the master is lost.
func TestFewListsAreMadeAtOnce(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	var atOnce, most atomic.Int64
	end := make(chan struct{})
	g.read = func(context.Context) error {
		n := atOnce.Add(1)
		defer atOnce.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-end
		return nil
	}
	h := a.Handler()
	var all sync.WaitGroup
	var refused atomic.Int64
	const lists = 3 * admission.MaxLists
	for i := range lists {
		all.Go(func() {
			w := from(h, "192.0.2.1:1", "GET", fmt.Sprint("/v1/timeline/OG50BC/CUR-M-GPA-01?after=", i+1), "")
			if w.Code == http.StatusServiceUnavailable && strings.Contains(w.Body.String(), "too many lists") {
				refused.Add(1)
			}
		})
	}
	eventually(t, "those that wait are refused", func() bool { return refused.Load() == lists-admission.MaxLists })
	if atOnce.Load() != admission.MaxLists || most.Load() != admission.MaxLists {
		t.Errorf("%d lists were made at once", most.Load())
	}
	// What is in memory can be had as JSON, but to make a long text of it takes long, too.
	g.mu.Lock()
	g.kept = map[string]*cache.Entry{"scores": {Body: []byte(`{"scores":[]}` + strings.Repeat(" ", admission.FreeAnswer))}}
	g.mu.Unlock()
	for accept, want := range map[string]int{"application/json": 200, "text/plain": 503} {
		if w := from(h, "192.0.2.1:1", "GET", "/v1/scores", "", "Accept: "+accept); w.Code != want {
			t.Errorf("scores as %s: got %d; want %d", accept, w.Code, want)
		}
	}
	close(end)
	all.Wait()
	if w := from(h, "192.0.2.1:1", "GET", "/v1/timeline/OG50BC/CUR-M-GPA-01", ""); w.Code != http.StatusOK {
		t.Errorf("afterwards a list got %d", w.Code)
	}
}
