package httpapi

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"laurel/httpapi/admission"
	"laurel/internal/address"
	"laurel/score"
	"laurel/trust/access"
)

// watchedGroup is a group whose other frontends a test chooses.
type watchedGroup struct {
	testMember
	url    string
	others atomic.Pointer[[]score.Frontend]

	draining atomic.Bool
}

func (g *watchedGroup) Frontends() score.Frontends {
	own := score.Frontend{ID: g.id, URL: g.url, State: score.Serving}
	if g.draining.Load() {
		own.State = score.Draining
	}
	f := score.Frontends{Mode: score.Push, Frontends: []score.Frontend{own}}
	if others := g.others.Load(); others != nil {
		f.Frontends = append(f.Frontends, *others...)
	}
	return f
}

// setOthers sets the other frontends.
func (g *watchedGroup) setOthers(others ...score.Frontend) { g.others.Store(&others) }

func newWatchedGroup(t *testing.T) (*watchedGroup, *API, string) {
	t.Helper()
	return newWatchedGroupAt(t, "", Options{Options: admission.Options{PublicHost: testHost}})
}

// newWatchedGroupAt starts a frontend with a public URL, without one that of its own port.
func newWatchedGroupAt(t *testing.T, public string, o Options) (*watchedGroup, *API, string) {
	t.Helper()
	store := openStore(t, append(raceEvents(),
		`{"type":"contest.define","contest_id":"OG/1","data":{"kind":"head_to_head","sport":"chess"}}`,
		`{"type":"contest.define","contest_id":"OG/2","data":{"kind":"head_to_head","sport":"chess"}}`)...)
	server := httptest.NewUnstartedServer(nil)
	u, err := address.Parse(cmp.Or(public, "http://"+server.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	g := &watchedGroup{testMember: testMember{id: "f1", store: store}, url: u.String()}
	o.URL, o.Direct = u, public == ""
	a := newPatientAPI(t, groupOf(g), o)
	server.Config.Handler = a.Handler()
	server.Start()
	t.Cleanup(func() {
		a.Close()
		server.Close()
	})
	return g, a, server.URL
}

// readUntil reads a stream until it has sent all the words, and returns what it has read.
func readUntil(t *testing.T, url string, words ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("got %s", answer.Status)
	}
	for name, want := range map[string]string{
		"Content-Type":                "text/event-stream",
		"X-Accel-Buffering":           "no",
		"Access-Control-Allow-Origin": "*",
		"Laurel-Frontend":             "f1",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Fatalf("%s is %q; want %q", name, got, want)
		}
	}
	var all strings.Builder
	for s := bufio.NewScanner(answer.Body); ; {
		missing := false
		for _, word := range words {
			missing = missing || !strings.Contains(all.String(), word)
		}
		if !missing {
			return all.String()
		}
		if !s.Scan() {
			t.Fatalf("the stream ended without all of %q:\n%s", words, all.String())
		}
		all.WriteString(s.Text() + "\n")
	}
}

func TestStreamBeginsWithARetryAndASnapshot(t *testing.T) {
	_, _, url := newWatchedGroup(t)
	all := readUntil(t, url+"/v1/watch?contest=OG/1", "retry: ", "event: snapshot\ndata: {", `"contest_id":"OG/1"`,
		"\nid: fake-")
	if strings.Contains(all, "OG/2") {
		t.Errorf("the stream has a contest that it does not watch:\n%s", all)
	}
	readUntil(t, url+"/v1/watch?competition=OG", `"contest_id":"OG/1"`, `"contest_id":"OG/2"`)
	readUntil(t, url+"/v1/watch", `"contest_id":"OG/1"`, `"contest_id":"OG/2"`)
}

func TestImpossibleStreamIsRefused(t *testing.T) {
	t.Parallel()
	g, _, url := newWatchedGroup(t)
	get := func(path string) *http.Response {
		answer, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	for _, path := range []string{
		"/v1/watch?contests=OG/1",
		"/v1/watch?contest=OG//1",
		"/v1/watch?contest=%00",
		"/v1/watch?home=" + strings.Repeat("f", maxHome+1),
		"/v1/watch?home=a/b",
		"/v1/watch?" + strings.Repeat("contest=OG/1&", maxSubjects+1),
	} {
		if a := get(path); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%.40s: got %s", path, a.Status)
		}
	}
	g.unleased.Store(true)
	if a := get("/v1/watch?contest=OG/1"); a.StatusCode != http.StatusServiceUnavailable ||
		a.Header.Get("Retry-After") == "" {
		t.Errorf("without a lease: got %s and Retry-After %q", a.Status, a.Header.Get("Retry-After"))
	}
}

func TestNewWatcherIsRedirectedOnceFromAFrontendFarAboveItsShare(t *testing.T) {
	g, a, url := newWatchedGroup(t)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(path string) *http.Response {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		answer, err := client.Do(r.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	g.setOthers(
		score.Frontend{ID: "f2", URL: "http://there", State: score.Serving},
		score.Frontend{ID: "f3", URL: "http://down", State: score.Unreachable},
		score.Frontend{ID: "f4", URL: "http://corrupt", State: score.Serving, PutOut: &score.PutOut{}},
	)
	for range minExcess {
		if answer := ask("/v1/watch?contest=OG/1"); answer.StatusCode != http.StatusOK {
			t.Fatalf("with %d watchers: a new one got %s", a.hub.Count(), answer.Status)
		}
	}
	for ask("/v1/watch?contest=OG/1&moved=1").StatusCode == http.StatusOK && a.hub.Count() < 4*minExcess {
	}
	answer := ask("/v1/watch?contest=OG/1&home=f1")
	to := answer.Header.Get("Location")
	if want := "http://there/v1/watch?contest=OG%2F1&home=f1&moved=1"; answer.StatusCode != http.StatusTemporaryRedirect || to != want {
		t.Errorf("with %d watchers: a new one got %s to %s; want %s", a.hub.Count(), answer.Status, to, want)
	}
	g.setOthers(score.Frontend{ID: "f2", URL: "http://there", State: score.Serving, Watchers: 4 * minExcess})
	if answer := ask("/v1/watch?contest=OG/1"); answer.StatusCode != http.StatusOK {
		t.Errorf("while the other frontend has as many watchers: a new one got %s", answer.Status)
	}
}

// crowd opens streams at a frontend until it has as many as a crowded one, with header
// fields, and returns a function that asks for one more and returns where it is sent, "" if
// it is kept.
func crowd(t *testing.T, a *API, url string, fields ...string) (sentTo func(change func(*http.Request)) string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(path string, change func(*http.Request)) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	for a.hub.Count() < 4*minExcess {
		watchWith(t, url+"/v1/watch?contest=OG/1&moved=1", fields...)
	}
	return func(change func(*http.Request)) string {
		t.Helper()
		answer := ask("/v1/watch?contest=OG/1", change)
		if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusTemporaryRedirect {
			t.Errorf("a new watcher got %s", answer.Status)
		}
		return answer.Header.Get("Location")
	}
}

// watchWith opens a stream with header fields, until the end of the test.
func watchWith(t *testing.T, url string, fields ...string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("a watcher got %s", answer.Status)
	}
}

func TestTheHeadOfAWatchIsNoStream(t *testing.T) {
	t.Parallel()
	g, a := newTestAPI(t, Options{})
	g.store = openStore(t)
	w := &way{addr: serveAPI(t, a, false)}
	c := w.connect(t)
	if _, err := io.WriteString(c, rawRequest("HEAD", "/v1/watch")); err != nil {
		t.Fatal(err)
	}
	head, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodHead})
	if err != nil || head.StatusCode != http.StatusOK || head.Header.Get("Content-Type") != typeEvents {
		t.Fatalf("got %v (%v)", head, err)
	}
	if got := c.ask(t, rawGet("/livez")); got != "200" {
		t.Errorf("the next answer on the connection is %s", got)
	}
	if n := a.hub.Count(); n > 0 {
		t.Errorf("there are %d watchers", n)
	}
}

// A browser does not send the cookie to where it is sent itself.
func TestAWatcherWithASessionIsSentNowhere(t *testing.T) {
	t.Parallel()
	g, a, url := newWatchedGroup(t)
	c := newGuardedGroup(t, &g.testMember)
	g.store.change(access.SettingPrivate, "true")
	g.setOthers(score.Frontend{ID: "f2", URL: "http://there", State: score.Serving})
	token := bearer(c.reader)
	session := cookie(c.reader.NewSession(testLineage, time.Now().Add(time.Hour)))
	sentTo := crowd(t, a, url, token)
	for field, sent := range map[string]bool{token: true, session: false} {
		name, value, _ := strings.Cut(field, ": ")
		if to := sentTo(func(r *http.Request) { r.Header.Set(name, value) }); (to != "") != sent {
			t.Errorf("with %s: it is sent to %q", name, to)
		}
	}
	g.setOthers() // or the balancer could send guests home before they are counted
	watchWith(t, url+"/v1/watch?contest=OG/1&home=f2&moved=1", session)
	if guests := a.hub.Guests("f1"); len(guests) > 0 {
		t.Errorf("a watcher with a session would be sent home: %v", guests)
	}
	watchWith(t, url+"/v1/watch?contest=OG/1&home=f2&moved=1", token)
	if guests := a.hub.Guests("f1"); guests["f2"] != 1 {
		t.Errorf("a watcher with a token would not be sent home: %v", guests)
	}
}

// A spectator of https://scores.example must not be sent to http://127.0.0.1:8002, nor
// to an address that only the proxy knows.
func TestAWatcherIsSentOnlyWhereItCanGoByTheWayItCame(t *testing.T) {
	plain := func(*http.Request) {}
	host := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	field := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, "192.0.2.7") }
	}
	guarded := Options{Options: admission.Options{
		Secure: true, Limits: admission.Limits{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}}
	const there = "http://f2.example/v1/watch?contest=OG%2F1&moved=1"
	for _, c := range []struct {
		what   string
		public string // "" is the URL of the port
		other  string // the URL of another frontend with few watchers
		change func(*http.Request)
		to     string // "" if the frontend keeps the watcher
	}{
		{"directly", "", "http://f2.example", plain, there},
		{"by another name", "", "http://f2.example", host("scores.example"), ""},
		{"by no name", "", "http://f2.example", host("none:none"), ""},
		{"by a proxy that gives its own address as Host", "", "http://f2.example", field("X-Forwarded-For"), ""},
		{"by a proxy that names itself", "", "http://f2.example", field("Via"), ""},
		{"to another scheme", "", "https://f2.example", plain, ""},
		{"to no URL", "", "", plain, ""},
		{"to a wrong URL", "", "javascript:alert(1)", plain, ""},
		{"by a public URL", "http://f1.example", "http://f2.example", host("f1.example"), there},
		{"by a public URL with its port", "http://f1.example", "http://f2.example", host("F1.example:80"), there},
		{"by a public URL with a prefix", "http://f1.example/live", "http://f2.example/live", host("f1.example"),
			"http://f2.example/live/v1/watch?contest=OG%2F1&moved=1"},
		{"by a public URL of a proxy", "http://f1.example", "http://f2.example", func(r *http.Request) {
			r.Host = "f1.example"
			r.Header.Set("X-Forwarded-For", "192.0.2.7")
		}, there},
		{"by a public URL of a trusted proxy that ends TLS", "https://f1.example", "https://f2.example", func(r *http.Request) {
			r.Host = "f1.example"
			r.Header.Set("X-Forwarded-Proto", "https")
		}, "https://f2.example/v1/watch?contest=OG%2F1&moved=1"},
		{"past the public URL", "http://f1.example", "http://f2.example", plain, ""},
		{"in the clear, by a public URL with https", "https://f1.example", "https://f2.example", host("f1.example"), ""},
		{"to the same URL, by which all are reached", "http://f1.example", "http://f1.example", host("f1.example"), ""},
		{"to a loopback address", "http://f1.example", "http://127.0.0.1:8002", host("f1.example"), ""},
		{"to an address of the inside", "http://f1.example", "http://10.0.0.2:8001", host("f1.example"), ""},
		{"to a name of the inside", "http://f1.example", "http://box:8001", host("f1.example"), ""},
		{"to a local name", "http://f1.example", "http://localhost:8002", host("f1.example"), ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			g, a, url := newWatchedGroupAt(t, c.public, guarded)
			g.setOthers(score.Frontend{ID: "f2", URL: c.other, State: score.Serving})
			if to := crowd(t, a, url)(c.change); to != c.to {
				t.Errorf("it is sent to %q; want %q", to, c.to)
			}
		})
	}
}

func TestAWatcherBehindAProxyIsNotSentHome(t *testing.T) {
	t.Parallel()
	g, a, url := newWatchedGroupAt(t, "", Options{Options: admission.Options{Secure: true}})
	g.setOthers(score.Frontend{ID: "f2", URL: "http://there", State: score.Serving})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/watch?contest=OG/1&home=f2", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "scores.example"
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if guests := a.hub.Guests("f1"); a.hub.Count() != 1 || len(guests) > 0 {
		t.Errorf("of %d watchers it would send home %v", a.hub.Count(), guests)
	}
}

// balancer_test.go tests when watchers are sent, and how many at a time.
func TestWatcherIsSentHomeWhenItsHomeIsBack(t *testing.T) {
	t.Parallel()
	g, a, url := newWatchedGroup(t)
	away := score.Frontend{ID: "f2", URL: "http://there", State: score.Unreachable}
	g.setOthers(away)
	home := make(chan string, 1)
	go func() {
		defer close(home) // readUntil may end this goroutine
		event := "event: home\ndata: {\"id\":\"f2\",\"url\":\"http://there\"}"
		home <- readUntil(t, url+"/v1/watch?contest=OG/1&home=f2", event)
	}()
	for deadline := time.Now().Add(patience); a.hub.Guests("f1")["f2"] != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the watcher did not connect")
		}
	}
	away.State = score.Serving
	g.setOthers(away)
	<-home
}
