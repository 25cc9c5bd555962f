package httpapi

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"laurel/httpapi/admission"
	"laurel/score"
)

// watchedGroup is a group whose other frontends a test chooses.
type watchedGroup struct {
	testMember
	others atomic.Pointer[[]score.Frontend]
}

func (g *watchedGroup) Frontends() score.Frontends {
	own := score.Frontend{ID: g.id, URL: "http://here", State: score.Serving}
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
	store := openStore(t, append(raceEvents(),
		`{"type":"contest.define","contest_id":"OG/1","data":{"kind":"head_to_head","sport":"chess"}}`,
		`{"type":"contest.define","contest_id":"OG/2","data":{"kind":"head_to_head","sport":"chess"}}`)...)
	g := &watchedGroup{testMember: testMember{id: "f1", store: store}}
	a := New(groupOf(g), Options{Options: admission.Options{PublicHost: testHost}})
	server := httptest.NewServer(a.Handler())
	t.Cleanup(func() {
		a.Close()
		server.Close()
	})
	return g, a, server.URL
}

// readUntil reads a stream until it has sent all the words, and returns what it has read.
func readUntil(t *testing.T, url string, words ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
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
	g.unleased = true
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

// balancer_test.go tests when watchers are sent, and how many at a time.
func TestWatcherIsSentHomeWhenItsHomeIsBack(t *testing.T) {
	t.Parallel()
	g, a, url := newWatchedGroup(t)
	away := score.Frontend{ID: "f2", URL: "http://there", State: score.Unreachable}
	g.setOthers(away)
	home := make(chan string, 1)
	go func() {
		event := "event: home\ndata: {\"id\":\"f2\",\"url\":\"http://there\"}"
		home <- readUntil(t, url+"/v1/watch?contest=OG/1&home=f2", event)
	}()
	for deadline := time.Now().Add(20 * time.Second); a.hub.Guests("f1")["f2"] != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the watcher did not connect")
		}
	}
	away.State = score.Serving
	g.setOthers(away)
	<-home
}
