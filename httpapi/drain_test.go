package httpapi

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"laurel/score"
)

func TestADrainingFrontendSendsItsWatchersToOthers(t *testing.T) {
	g, a, url := newWatchedGroup(t)
	follows := watchStream(t, url+"/v1/watch?contest=OG/1&home=f1")
	plain := watchStream(t, url+"/v1/watch?contest=OG/1")
	for _, lines := range []<-chan string{follows, plain} {
		awaitLine(t, lines, "event: snapshot")
	}
	eventually(t, "both watch", func() bool { return a.hub.Count() == 2 })

	// With nobody to take them over, it keeps them, and takes others.
	g.draining.Store(true)
	g.setOthers(score.Frontend{ID: "f3", URL: "http://down", State: score.Starting})
	step := &balancer{url: a.balancer.url, direct: true, status: a.balancer.status, hub: a.hub}
	step.drain(step.balance())
	a.Drain(t.Context())
	late := watchStream(t, url+"/v1/watch?contest=OG/1&home=f1")
	awaitLine(t, late, "event: snapshot")
	if n := a.hub.Count(); n != 3 {
		t.Fatalf("without others %d of 3 watchers are left", n)
	}

	g.setOthers(score.Frontend{ID: "f2", URL: "http://there", State: score.Serving})
	ended, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		a.Drain(ended)
	}()
	if !awaitLine(t, follows, "event: home") || !awaitLine(t, follows, `data: {"id":"f2","url":"http://there"}`) {
		t.Error("a client that follows is not told where to go")
	}
	if awaitLine(t, plain, "event: home") {
		t.Error("a client that names no home is told where to go")
	}
	// These do not follow, so their streams end.
	if awaitLine(t, follows, "never") || awaitLine(t, late, "never") {
		t.Error("a stream goes on")
	}
	<-drained
	if n := a.hub.Count(); n != 0 || ended.Err() != nil {
		t.Errorf("%d watchers are left, %v", n, ended.Err())
	}
}

func TestADrainingFrontendTakesNoNewWatchers(t *testing.T) {
	g, _, url := newWatchedGroup(t)
	g.draining.Store(true)
	g.setOthers(score.Frontend{ID: "f2", URL: "http://there", State: score.Serving})
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for what, c := range map[string]struct {
		query, field, value string
		status              int
	}{
		"one that can go elsewhere":     {"", "", "", http.StatusTemporaryRedirect},
		"one that was sent here":        {"&moved=1", "", "", http.StatusServiceUnavailable},
		"one behind a proxy":            {"", "Via", "1.1 x", http.StatusServiceUnavailable},
		"an EventSource behind a proxy": {"", "Accept", "text/event-stream", http.StatusOK},
	} {
		r, err := http.NewRequest(http.MethodGet, url+"/v1/watch?contest=OG/1"+c.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.field != "" {
			r.Header.Set(c.field, c.value)
		}
		if c.field == "Accept" {
			r.Header.Set("Via", "1.1 x")
		}
		a, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 4096)
		n, _ := a.Body.Read(body)
		a.Body.Close()
		if a.StatusCode != c.status || c.status == http.StatusTemporaryRedirect &&
			!strings.HasPrefix(a.Header.Get("Location"), "http://there/v1/watch?") {
			t.Errorf("%s: %s to %q", what, a.Status, a.Header.Get("Location"))
		}
		if c.status == http.StatusOK && !strings.Contains(string(body[:n]), "event: unavailable") {
			t.Errorf("%s: %s", what, body[:n])
		}
	}
}
